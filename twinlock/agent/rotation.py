"""Which of a peer's two keys carries its traffic while it rotates. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from twinlock.agent.desired import Desired
from twinlock.agent.wg import TunnelPeer
from twinlock.registry.model import Peer


def carrying(
    want: Desired, way: Mapping[str, TunnelPeer], service: Mapping[str, TunnelPeer] | None = None
) -> Mapping[str, Peer]:
    """Whoever may be called: the old key until the new one's first handshake on its way, or where it holds none on the
    service, and never after it."""
    done = {
        old
        for old, new in want.rotating.items()
        if any((held := tunnel.get(new)) is not None and held.handshake for tunnel in (way, service or {}))
    }
    return {key: peer for key, peer in want.peers.items() if key not in done} if done else want.peers
