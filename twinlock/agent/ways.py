"""Where ways are: a gateway tells its twins where its own are, and a twin that comes back is told where its were.

A client's session with a gateway that died ends only at its next rekey, up to two minutes later. So a gateway that is
back calls its ways itself, at the addresses that its twins remember: the client's NAT has kept them open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from itertools import islice

from twinlock.agent.calls import ALIVE_SECONDS
from twinlock.agent.channel import LARGEST_WAYS, MOST_HEARD, MOST_SAID, Ways, portions
from twinlock.agent.wg import SetPeer, TunnelPeer

_CALLS = 200  # at once: one command
_KEEPALIVE_SECONDS = 25


class WayBook:
    """Of one gateway. Holds nothing of peers that are not served, so that nonsense from a twin does not pile up."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._told: dict[str, str] = {}
        self._remembered: dict[str, dict[str, str]] = {}
        self._to_tell: deque[Ways] = deque()
        self._to_call: dict[str, str] = {}
        self._heard: deque[Ways] = deque(maxlen=MOST_HEARD)

    def returned(self, slot: str) -> None:
        """A twin is heard (again): it knows nothing, neither of its own ways nor of this gateway's."""
        self._told.clear()
        self._to_tell.extend(_datagrams(self._me, slot, self._remembered.get(slot, {})))

    def hear(self, ways: Ways) -> None:
        """Kept until it is known who may have a way: a twin speaks before this gateway has read the registry."""
        self._heard.append(ways)

    def learn(self, served: Collection[str]) -> None:
        while self._heard:
            self._learn(self._heard.popleft(), served)

    def _learn(self, ways: Ways, served: Collection[str]) -> None:
        known = {key: end for key, end in ways.ends.items() if key in served}
        if ways.of == self._me:
            self._to_call.update(known)
        elif ways.of == ways.slot:
            self._remembered.setdefault(ways.slot, {}).update(known)

    def news(self, way: Mapping[str, TunnelPeer], now: float) -> list[Ways]:
        """What the twins are to be told now: what a returned one asked for, then this gateway's own changes."""
        told = [self._to_tell.popleft() for _ in range(min(MOST_SAID, len(self._to_tell)))]
        changed = ((key, end) for key, end in self.ends(way, now).items() if self._told.get(key) != end)
        mine = dict(islice(changed, MOST_SAID * LARGEST_WAYS))
        self._told.update(mine)
        return told + _datagrams(self._me, self._me, mine)

    def ends(self, way: Mapping[str, TunnelPeer], now: float) -> dict[str, str]:
        """Where ways are open now."""
        return {key: end for key, peer in way.items() if (end := _open_end(peer, now)) is not None}

    def calls(self, way: Mapping[str, TunnelPeer], now: float) -> list[SetPeer]:
        """Ways of this gateway that its twins, or the registry, remember and that nobody has opened since."""
        due: list[SetPeer] = []
        while self._to_call and len(due) < _CALLS:
            key, end = self._to_call.popitem()
            if key in way and now - way[key].handshake >= ALIVE_SECONDS:
                due.append(SetPeer(public_key=key, endpoint=end, keepalive=_KEEPALIVE_SECONDS))
        return due


def _open_end(peer: TunnelPeer, now: float) -> str | None:
    return peer.endpoint if now - peer.handshake < ALIVE_SECONDS else None


def _datagrams(slot: str, of: str, ends: Mapping[str, str]) -> list[Ways]:
    return [Ways(slot=slot, of=of, ends=some) for some in portions(ends)]
