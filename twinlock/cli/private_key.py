"""A peer's private key: it stays on the machine that it was made on."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from twinlock.registry.errors import Refused


@dataclass(frozen=True)
class PrivateKey:
    """Shows itself to nobody by accident."""

    _raw: bytes = field(repr=False)

    def public(self) -> str:
        """Base64, as `wg pubkey` prints it."""
        raw = X25519PrivateKey.from_private_bytes(self._raw).public_key().public_bytes_raw()
        return base64.b64encode(raw).decode()

    def reveal(self) -> str:
        """Base64, as `wg genkey` prints it: for a file of 0600 alone."""
        return base64.b64encode(self._raw).decode()


def make_private_key() -> PrivateKey:
    return PrivateKey(X25519PrivateKey.generate().private_bytes_raw())


def read_private_key(path: Path) -> PrivateKey:
    try:
        raw = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not base64"
        raise Refused(f"can't read a private key from {path}: {reason}") from exc
    if len(raw) != 32:
        raise Refused(f"{path} holds {len(raw)} bytes where a private key has 32: pass a file of `peer keygen`")
    return PrivateKey(raw)


def write_private(path: Path, content: str | bytes, *, replace: bool) -> None:
    """0600 from birth. Raises Refused if it can't be written, or exists and is not to be replaced; nothing is left."""
    if path.name in ("", ".."):
        raise Refused(f"can't write {path}: it is a folder, name a file in it")
    target = path.with_name(f".{path.name}.{os.getpid()}.new") if replace else path
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode("ascii") if isinstance(content, str) else content)
        if replace:
            _put_in_place(target, path)
    except FileExistsError as exc:
        raise Refused(f"{target} is there already, and a key is never overwritten: choose another --out") from exc
    except OSError as exc:
        raise Refused(f"can't write {path}: {exc.strerror}") from exc


def _put_in_place(target: Path, path: Path) -> None:
    try:
        target.replace(path)
    except OSError:
        target.unlink()
        raise
