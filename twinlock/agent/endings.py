"""Who expires next: of thousands that will, the first ones are kept in order, and all are looked at rarely. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest

from twinlock.registry.model import Peer

_LEAST = 500  # of the next ones, whenever all are looked at
Ending = tuple[int, str]  # epoch seconds, public key


@dataclass(frozen=True)
class Endings:
    """Whoever ends before `complete_to` is in `soon`, which is sorted and may still name who is gone meanwhile."""

    soon: tuple[Ending, ...] = ()
    complete_to: float = math.inf  # epoch seconds

    @property
    def first(self) -> float:
        """Epoch seconds: nobody ends before."""
        return self.soon[0][0] if self.soon else self.complete_to

    def ended(self, peers: Mapping[str, Peer], now: float) -> list[Peer]:
        """Who is still among `peers` and ended by `now`."""
        keys = list(peers) if now >= self.complete_to else [key for _, key in self.soon[: self._past(now)]]
        found = (peers.get(key) for key in keys)
        return [peer for peer in found if peer is not None and peer.ends_at is not None and peer.ends_at <= now]

    def after(self, peers: Mapping[str, Peer], come: Iterable[Peer], now: float) -> Endings:
        """`peers` are those that are left at `now`, and `come` those among them that were not there before."""
        if now >= self.complete_to:
            return endings(peers.values())
        fresh = [one for one in _of(come) if one[0] < self.complete_to]
        if not fresh and now < self.first:
            return self
        return _limited(sorted({*self.soon[self._past(now) :], *fresh}), self.complete_to)

    def _past(self, now: float) -> int:
        return bisect_right(self.soon, now, key=lambda ending: ending[0])


def endings(peers: Iterable[Peer]) -> Endings:
    """Of all peers, none of whom has ended."""
    return _limited(nsmallest(2 * _LEAST + 1, _of(peers)), math.inf)


def _of(peers: Iterable[Peer]) -> Iterable[Ending]:
    return ((peer.ends_at, peer.public_key) for peer in peers if peer.ends_at is not None)


def _limited(soon: list[Ending], complete_to: float) -> Endings:
    if len(soon) <= 2 * _LEAST:
        return Endings(tuple(soon), complete_to)
    complete_to = soon[_LEAST][0]
    return Endings(tuple(one for one in soon[:_LEAST] if one[0] < complete_to), complete_to)
