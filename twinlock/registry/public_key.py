"""Whether a text is a public key that may be used."""

from __future__ import annotations

import base64
import binascii

from twinlock.registry.errors import Refused

_P = 2**255 - 19
# The points of small order of Curve25519 and of its twist, as X25519 reads them: after the top bit is cleared, and
# with what is not reduced modulo p. Any of them makes the shared secret zero for everybody.
# Source: https://cr.yp.to/ecdh.html#validate
_LOW_ORDER = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _P - 1,
        _P,
        _P + 1,
    }
)


def check_public_key(key: str) -> None:
    """Raises Refused unless it is base64 of 32 bytes, as `wg pubkey` writes it, and not a point of low order."""
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refused("the public key is not base64: pass what `twinlock peer keygen` or `wg pubkey` prints") from exc
    if len(raw) != 32 or base64.b64encode(raw).decode() != key:
        raise Refused(f"the public key is {len(raw)} bytes where 32 are needed: pass what `wg pubkey` prints")
    if int.from_bytes(raw, "little") & (2**255 - 1) in _LOW_ORDER:
        raise Refused("the public key is a point of low order, which gives everybody the same secret: make another")
