"""How many peers a gateway has a place for: pure."""

from __future__ import annotations

from collections.abc import Iterable

from twinlock.registry.errors import Refused
from twinlock.registry.model import GatewayRecord

# wireguard-go takes no more on an interface. The kernel's WireGuard takes a million, but a peer that one gateway holds
# and its twin does not would be lost at the next switch: one number for all.
HOLDS = 65_536
# Nobody is let in beyond: those who come at the same moment, and keys that retire, still find a place.
OPEN = 65_000


def is_scarce(held: int) -> bool:
    return held * 10 >= OPEN * 9


def check_places(records: Iterable[GatewayRecord], more: int) -> str:
    """A warning, or empty. Raises Refused where a gateway has no place for so many more, by what it last said."""
    if more <= 0:
        return ""
    held = max((record.peers or 0 for record in records), default=0)
    if held + more > OPEN:
        raise Refused(
            f"the gateways are full: they hold {held:,} peers, {more:,} more would be beyond {OPEN:,}: "
            "revoke some, or move a tenant to another environment"
        )
    return f"the gateways hold {held:,} of {OPEN:,} peers: they will soon be full" if is_scarce(held + more) else ""
