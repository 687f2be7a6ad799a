"""A private key that can't be printed by accident."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from twinlock.agent.errors import BadIdentity


@dataclass(frozen=True)
class PrivateKey:
    """32 bytes of Curve25519; neither `repr` nor `str` shows them."""

    raw: bytes = field(repr=False)

    def text(self) -> str:
        """Base64, as WireGuard's files hold it. For files and the secret store alone."""
        return base64.b64encode(self.raw).decode()

    def public(self) -> str:
        """The public half, base64."""
        return base64.b64encode(X25519PrivateKey.from_private_bytes(self.raw).public_key().public_bytes_raw()).decode()


def new_private_key() -> PrivateKey:
    return PrivateKey(X25519PrivateKey.generate().private_bytes_raw())


def private_key_from_text(text: str, where: str) -> PrivateKey:
    """Raises BadIdentity, which names `where` and never the text."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise BadIdentity(f"{where} holds no WireGuard key (base64 of 32 bytes)")
    return PrivateKey(raw)
