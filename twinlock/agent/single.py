"""Clients that hold but one peer: they know the floating address alone, and knock on the service there.

Whoever serves has every peer on the service, so that such a client may knock, and tells its twins where each is. A
gateway that takes over calls them there, from the floating address. That address takes seconds to move, and what is
sent before is lost: a few are called again and again, and with the first answer all the others. Pure but for what it
remembers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice

from twinlock.agent.calls import ALIVE_SECONDS, Call
from twinlock.agent.channel import LARGEST_WAYS, MOST_HEARD, MOST_SAID, Singles, portions
from twinlock.agent.wg import TunnelPeer
from twinlock.registry.model import Peer

CALL_SECONDS = 0.1  # between two calls of the few
FEW = 8
TRY_SECONDS = 90.0  # after a takeover; who has not answered by then is gone, or knocks by itself
_ANSWER_SECONDS = 0.5  # of the others: a call that is not answered by then was lost
_CALLS = 3  # of each of the others: then WireGuard's own attempts go on
_TOLD_SECONDS, _HEARD_SECONDS = 60.0, 200.0


@dataclass
class _Waiting:
    end: str
    called_at: float = float("-inf")
    calls: int = 0


class SingleBook:
    """Of one gateway. `clock` is monotonic seconds, `now` epoch seconds. Holds nothing of peers that are not served, so
    that nonsense from a twin does not pile up."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._told: dict[str, tuple[str, float]] = {}
        self._said: deque[tuple[Singles, float]] = deque(maxlen=MOST_HEARD)
        self._heard: dict[str, tuple[str, float]] = {}  # from whoever serves
        self._waiting: dict[str, _Waiting] = {}
        self._turns: deque[str] = deque()
        self._until = float("-inf")
        self._arrived = False

    def hear(self, said: Singles, clock: float) -> None:
        """Kept until it is known who is served: a twin speaks before this gateway has read the registry."""
        self._said.append((said, clock))

    def learn(self, served: Collection[str], clock: float) -> None:
        if not self._said:
            return
        while self._said:
            said, at = self._said.popleft()
            self._heard.update((key, (end, at)) for key, end in said.singles.items())
        self._forget(served, clock)

    def _forget(self, served: Collection[str], clock: float) -> None:
        self._heard = {
            key: one for key, one in self._heard.items() if key in served and clock - one[1] < _HEARD_SECONDS
        }

    def returned(self) -> None:
        """A twin is heard (again): it knows nothing."""
        self._told.clear()

    def news(
        self, service: Mapping[str, TunnelPeer], way: Mapping[str, TunnelPeer], clock: float, now: float
    ) -> list[Singles]:
        """What the twins are to be told, where this gateway serves: who came or moved, and each again now and then."""
        found = ends(service, way, now)
        self._told = {key: told for key, told in self._told.items() if key in found}
        changed = ((key, end) for key, end in found.items() if not self._is_told(key, end, clock))
        mine = dict(islice(changed, MOST_SAID * LARGEST_WAYS))
        self._told.update((key, (end, clock)) for key, end in mine.items())
        return [Singles(slot=self._me, singles=some) for some in portions(mine)]

    def begin(self, served: Collection[str], clock: float) -> None:
        """This gateway serves from now on: whoever was heard of is to be called."""
        self.learn(served, clock)
        self._forget(served, clock)
        self._waiting = {key: _Waiting(end) for key, (end, _) in self._heard.items()}
        self._turns = deque(self._waiting)
        self._until, self._arrived = clock + TRY_SECONDS, False
        self._told.clear()

    def end(self) -> None:
        """It serves no longer."""
        self._waiting = {}

    def is_waiting(self, clock: float) -> bool:
        """Whether somebody is still to be called."""
        if clock >= self._until:
            self._waiting = {}
        return bool(self._waiting)

    def due(self, peers: Mapping[str, Peer], service: Mapping[str, TunnelPeer], clock: float) -> tuple[Call, ...]:
        """What it returns is taken as called. `service` was read just now."""
        if not self.is_waiting(clock):
            return ()
        for key in list(self._waiting):
            held = service.get(key)
            if key not in peers:
                del self._waiting[key]
            elif held is not None and held.handshake:  # it answered, or knocked by itself: the address is here
                del self._waiting[key]
                self._arrived = True
        keys = self._others(clock) if self._arrived else self._few(clock)
        for key in keys:
            self._waiting[key].called_at = clock
            self._waiting[key].calls += 1
        return tuple(Call(public_key=key, endpoint=self._waiting[key].end, address=peers[key].address) for key in keys)

    def _few(self, clock: float) -> list[str]:
        """In turn: the first ones may have left just before."""
        self._turns = deque(key for key in self._turns if key in self._waiting)
        late = 0.5 * CALL_SECONDS  # whoever asks keeps the pace: clocks are read a little later each time
        keys = [key for key in islice(self._turns, FEW) if clock - self._waiting[key].called_at > late]
        if keys:
            self._turns.rotate(-1)
        return keys

    def _others(self, clock: float) -> list[str]:
        """Each as soon as the address is here; those that were called in vain before start counting now."""
        if self._turns:
            self._turns.clear()
            for one in self._waiting.values():
                one.called_at, one.calls = float("-inf"), 0
        late = [key for key, one in self._waiting.items() if clock - one.called_at >= _ANSWER_SECONDS]
        for key in [key for key in late if self._waiting[key].calls >= _CALLS]:
            del self._waiting[key]
        return [key for key in late if key in self._waiting]

    def _is_told(self, key: str, end: str, clock: float) -> bool:
        told = self._told.get(key)
        return told is not None and told[0] == end and clock - told[1] < _TOLD_SECONDS


def ends(service: Mapping[str, TunnelPeer], way: Mapping[str, TunnelPeer], now: float) -> dict[str, str]:
    """Who talks to the service and holds no way, and where it is."""
    return {
        key: peer.endpoint
        for key, peer in service.items()
        if peer.endpoint is not None and now - peer.handshake < ALIVE_SECONDS and not _has_way(way.get(key), now)
    }


def _has_way(way: TunnelPeer | None, now: float) -> bool:
    return way is not None and now - way.handshake < ALIVE_SECONDS
