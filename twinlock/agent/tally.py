"""How much each peer sent, received and was refused, from the firewall's own counters, and where that is kept.

Counting costs a packet one look-up, whatever the rules; reading costs by the number of peers and is done ever less
often the longer it takes. What is read belongs to whoever holds the address: one that is given again begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Protocol

from twinlock.agent.nft import Counted
from twinlock.registry.ipv6 import address4
from twinlock.registry.traffic import Traffic, line, of, piece, pieces

SETS = ("sent", "received", "refused")  # in the order of the fields of Traffic
_WRITE_SECONDS, _BYTES_PER_SECOND = 2.0, 2048  # so that what is kept costs no more than a few dollars a month


class TrafficStore(Protocol):
    """The registry, as far as counters go."""

    def keep_traffic(self, slot: str, piece: str, lines: tuple[str, ...]) -> None: ...


class Tally:
    """Since this agent began. Of one thread."""

    def __init__(self) -> None:
        self._last: dict[str, Traffic] = {}  # address -> what its counters stood at
        self._held: dict[str, tuple[str, Traffic]] = {}  # address -> who holds it, and what was counted of them
        self._total = Traffic()

    @property
    def total(self) -> Traffic:
        """Of all peers that ever were."""
        return self._total

    def read(self, counters: Callable[[str], Mapping[str, Counted]], holders: Mapping[str, str]) -> None:
        """`counters` are the firewall's, by the name of the set; IPv6's end in 6, and count for the same host.
        `holders` is address -> who holds it; what comes from an address that nobody holds any more is its last
        holder's."""
        found = {name: _by_host(counters(name), counters(f"{name}6")) for name in SETS}
        seen = {address for some in found.values() for address in some}
        for address in seen:
            now = of(chain.from_iterable(found[name].get(address, (0, 0)) for name in SETS))
            fresh = now.since(self._last.get(address, Traffic()))
            self._last[address] = now
            holder, before = self._held.get(address, ("", Traffic()))
            current = holders.get(address, holder)
            if current:
                self._held[address] = current, (before if current == holder else Traffic()) + fresh
                self._total += fresh
        for address in self._last.keys() - seen:  # its counters ended, after a day without a packet
            del self._last[address]
        for address in self._held.keys() - seen - holders.keys():
            del self._held[address]

    def pieces(self) -> dict[str, tuple[str, ...]]:
        """A line for each peer of whom something was counted, in the registry's pieces."""
        found: dict[str, list[str]] = {}
        for address, (holder, counted) in sorted(self._held.items()):
            found.setdefault(piece(address), []).append(line(address, holder, counted))
        return {name: tuple(lines) for name, lines in found.items()}


def _by_host(four: Mapping[str, Counted], six: Mapping[str, Counted]) -> dict[str, Counted]:
    found = dict(four)
    for address, (packets, size) in six.items():
        before = found.get(address4(address), (0, 0))
        found[address4(address)] = before[0] + packets, before[1] + size
    return found


class TrafficMemory:
    """Writes one changed piece at a time, so that peers in thousands hold nothing up. The follower's thread."""

    def __init__(self, slot: str, store: TrafficStore, clock: Callable[[], float]) -> None:
        self._slot, self._store, self._clock = slot, store, clock
        self._kept: dict[str, tuple[str, ...]] = {}
        self._turn, self._next = 0, clock()

    def keep(self, wanted: Mapping[str, tuple[str, ...]]) -> None:
        """Nothing is written of a piece that never held anything: what the agent before this one wrote stays there."""
        if self._clock() < self._next:
            return
        names = pieces()
        for _ in names:
            name = names[self._turn % len(names)]
            self._turn += 1
            lines = wanted.get(name, ())
            if lines != self._kept.get(name, ()):
                self._store.keep_traffic(self._slot, name, lines)
                self._kept[name] = lines
                self._next = self._clock() + max(_WRITE_SECONDS, sum(map(len, lines)) / _BYTES_PER_SECOND)
                return
