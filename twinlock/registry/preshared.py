"""Pre-shared keys: a second secret of each peer, beside its key pair. Pure.

The registry holds one as NUMBER.BASE64 in the peer's item: AES-GCM with the tenant's data key of that number, its nonce
before it, with the tenant and the peer's public key as associated data, so that it fits no other peer. A public key has
one pre-shared key as long as it is used: both are replaced together.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from twinlock.registry.errors import Corrupt, Refused

_BYTES, _NONCE = 32, 12


@dataclass(frozen=True)
class PresharedKey:
    """32 bytes; neither `repr` nor `str` shows them."""

    raw: bytes = field(repr=False)

    def reveal(self) -> str:
        """Base64, as `wg genpsk` prints it: for standard input and files of 0600 alone."""
        return base64.b64encode(self.raw).decode()


@dataclass(frozen=True)
class DataKey:
    """A tenant's data key, opened. 32 bytes that nothing shows."""

    tenant: str
    number: int  # from 1
    raw: bytes = field(repr=False)

    def wrap(self, key: PresharedKey, public_key: str) -> str:
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + AESGCM(self.raw).encrypt(nonce, key.raw, self._associated(public_key))
        return f"{self.number}.{base64.b64encode(sealed).decode()}"

    def unwrap(self, wrapped: str, public_key: str) -> PresharedKey:
        """Raises Corrupt if it was wrapped for another peer or with another key, or was changed."""
        try:
            sealed = base64.b64decode(wrapped.partition(".")[2], validate=True)
            raw = AESGCM(self.raw).decrypt(sealed[:_NONCE], sealed[_NONCE:], self._associated(public_key))
        except (InvalidTag, ValueError, binascii.Error) as exc:
            raise Corrupt(
                f"the pre-shared key of {public_key[:8]}… does not open with data key {self.number} of tenant "
                f"{self.tenant}: rotate that peer's key"
            ) from exc
        return PresharedKey(raw)

    def _associated(self, public_key: str) -> bytes:
        return f"{self.tenant}#{public_key}".encode()


def make_preshared_key() -> PresharedKey:
    """From the operating system's random source."""
    return PresharedKey(secrets.token_bytes(_BYTES))


def preshared_key_from_text(text: str, where: str) -> PresharedKey:
    """Raises Refused, which names `where` and never the text."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _BYTES:
        raise Refused(f"{where} holds no pre-shared key (base64 of 32 bytes): pass the file that `peer enrol` wrote")
    return PresharedKey(raw)


def data_key_number(wrapped: str) -> int:
    """Which data key opens it. Raises Corrupt."""
    number = wrapped.partition(".")[0]
    if not number.isascii() or not number.isdigit():
        raise Corrupt("a wrapped pre-shared key does not begin with its data key's number")
    return int(number)
