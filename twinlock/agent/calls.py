"""Which clients the serving gateway calls, and when. Pure but for what it remembers of each client.

A client holds a way open; a call starts a new session with it at the way's address. It is due when the client is not
on the service at all, once more when it does not answer, and when it shook hands on its way anew and then says nothing
on the service: it restarted.
(A mere rekey of the way looks the same for an idle client, and a call does it no harm.)

A gateway that was lost by its twin may be alive, and shut only a moment after the twin took over: what it sends until
then still decrypts at its clients, and pulls them back to where nobody hears them. So for some seconds after it began,
whoever serves calls again and again who does not answer, and nudges who says nothing: a keepalive in the session that
both have brings the client back, and one that was never lost does not notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinlock.agent.wg import TunnelPeer
from twinlock.registry.model import Peer

AGAIN_SECONDS = 1.0  # not more often: or a peer could aim calls at others
# A client whose last way handshake is older than this is gone (WireGuard's REJECT_AFTER_TIME, and some lateness).
ALIVE_SECONDS = 195.0
ANSWER_SECONDS = 0.3  # a call that is not answered by then was lost: once more
QUIET_SECONDS = 0.5  # no byte for so long after a new way handshake: it restarted
# After a takeover the old owner is shut within 2 s: its gate has a timeout of 1 s, and in doubt it sends for 2 s to a
# client that goes silent there (lease.py, gateway.nft.j2).
CONTESTED_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Call:
    public_key: str
    endpoint: str
    address: str  # IPv4, without prefix length


@dataclass
class _Known:
    called_at: float  # monotonic seconds
    handshake: int  # of the way, when it was called
    again: bool = False  # called once more
    changed_at: float | None = None  # when a newer one was first seen
    received: int = 0


class CallBook:
    """What was called when. One a gateway; forget it all when ownership is lost."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._received: dict[str, int] = {}  # on the service, at the last look
        self._contested_until = float("-inf")

    def begin(self, clock: float) -> None:
        """This gateway serves from now on: nobody was called yet, and the old owner may still be alive."""
        self._known.clear()
        self._received.clear()
        self._contested_until = clock + CONTESTED_SECONDS

    def due(
        self,
        peers: Mapping[str, Peer],
        way: Mapping[str, TunnelPeer],
        service: Mapping[str, TunnelPeer],
        clock: float,
        now: float,
    ) -> tuple[Call, ...]:
        """`clock` is monotonic seconds, `now` epoch seconds. What it returns is taken as called."""
        calls: list[Call] = []
        for key, open_way in way.items():
            peer = peers.get(key)
            if peer is None or open_way.endpoint is None or now - open_way.handshake > ALIVE_SECONDS:
                continue
            again = self._was_lost(key, service.get(key), clock)
            if again or self._is_due(key, open_way, service.get(key), clock):
                self._known[key] = _Known(called_at=clock, handshake=open_way.handshake, again=again)
                calls.append(Call(public_key=key, endpoint=open_way.endpoint, address=peer.address))
        return tuple(calls)

    def nudges(self, service: Mapping[str, TunnelPeer], clock: float) -> tuple[str, ...]:
        """Who answered its call and has said nothing since the last look, as long as the old owner may be alive."""
        if clock >= self._contested_until:
            return ()
        silent = tuple(
            key for key, peer in service.items() if peer.handshake and self._received.get(key) == peer.received
        )
        self._received = {key: peer.received for key, peer in service.items()}
        return silent

    def _was_lost(self, key: str, service: TunnelPeer | None, clock: float) -> bool:
        known = self._known.get(key)
        if known is None or service is None or service.handshake:
            return False
        if known.again and clock >= self._contested_until:
            return False
        return clock - known.called_at >= ANSWER_SECONDS

    def _is_due(self, key: str, way: TunnelPeer, service: TunnelPeer | None, clock: float) -> bool:
        known = self._known.get(key)
        if known is not None and clock - known.called_at < AGAIN_SECONDS:
            return False
        if service is None or known is None:
            return True
        return self._restarted(known, way, service, clock)

    def _restarted(self, known: _Known, way: TunnelPeer, service: TunnelPeer, clock: float) -> bool:
        if way.handshake == known.handshake:
            known.received = service.received
            return False
        if known.changed_at is None:
            known.changed_at = clock
        elif service.received != known.received:
            # It talks: that was a rekey.
            known.handshake, known.changed_at = way.handshake, None
        known.received = service.received
        return known.changed_at is not None and clock - known.changed_at >= QUIET_SECONDS
