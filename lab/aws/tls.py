"""The lab's private certificate authority: made once in the state folder, trusted by the lab's machines and clients."""

from __future__ import annotations

import ipaddress
import os
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.aws.names import certificate_names


@dataclass(frozen=True)
class Authority:
    """A certificate authority. Its key stays in the state folder (0600)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def authority(folder: Path) -> Authority:
    """The authority kept in FOLDER (`ca.pem`, `ca.key`), made when there is none."""
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    if certificate_file.exists() and key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} is not the lab's key: delete {folder} and start again")
        return Authority(x509.load_pem_x509_certificate(certificate_file.read_bytes()), key)
    made = _make_authority()
    _write(key_file, _pem(made.key))
    _write(certificate_file, made.certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return made


def _make_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Twinlock lab authority")])
    usage = _usage(signs=True)
    certificate = (
        _builder(name, name, key.public_key(), days=3650)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


class Certificates:
    """Server-side TLS contexts: one for AWS's own host names, and one for each other name that a client asks for."""

    def __init__(self, ca: Authority, folder: Path) -> None:
        self._ca, self._folder = ca, folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._covered = certificate_names()
        self.context = self._make("front", self._covered)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None or any(_covers(pattern, name) for pattern in self._covered):
            return
        with self._lock:
            if name not in self._contexts:
                self._contexts[name] = self._make("name", (name,))
            connection.context = self._contexts[name]

    def _make(self, label: str, names: tuple[str, ...]) -> ssl.SSLContext:
        chain = self._folder / f"{label}.pem"
        _write(chain, _pem(self._key) + self._leaf(names).public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(chain)
        return context

    def _leaf(self, names: tuple[str, ...]) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        issuer_id = x509.SubjectKeyIdentifier.from_public_key(self._ca.key.public_key())
        return (
            _builder(subject, self._ca.certificate.subject, self._key.public_key(), days=397)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
            .sign(self._ca.key, hashes.SHA256())
        )


def _covers(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.lower().partition(".")[2] == pattern[2:]
    return name.lower() == pattern


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """0600 from birth, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
