"""The pair channel: each twin's own key, as its record gives it, at the address that the user data gave."""

from __future__ import annotations

from collections.abc import Iterable

from twinlock.agent.boot import Boot
from twinlock.agent.interfaces import PAIR, pair_address
from twinlock.agent.wg import SetPeer, TunnelPeer, Wg
from twinlock.registry.errors import Refused
from twinlock.registry.model import GatewayRecord
from twinlock.registry.public_key import check_public_key

_KEEPALIVE_SECONDS = 25


def pair_peers(boot: Boot, records: Iterable[GatewayRecord]) -> tuple[SetPeer, ...]:
    """Only of the twins that the user data names; a record with a bad key is no twin."""
    twins = {twin.slot: twin.private_address for twin in boot.twins}
    return tuple(
        SetPeer(
            public_key=record.pair_public_key,
            endpoint=f"{twins[record.slot]}:{boot.port + 3}",
            allowed_ips=(f"{pair_address(boot.slots, record.slot)}/128",),
            keepalive=_KEEPALIVE_SECONDS,
        )
        for record in records
        if record.slot in twins and _is_key(record.pair_public_key)
    )


def join(wg: Wg, wanted: tuple[SetPeer, ...]) -> None:
    """Adds new twins, removes replaced ones, leaves the others alone."""
    have: dict[str, TunnelPeer] = wg.peers(PAIR)
    keys = {peer.public_key for peer in wanted}
    wg.remove_peers(PAIR, sorted(have.keys() - keys))
    wg.set_peers(PAIR, [peer for peer in wanted if peer.public_key not in have])


def _is_key(key: str) -> bool:
    try:
        check_public_key(key)
    except Refused:
        return False
    return True
