"""Shards: equal blocks of the tunnel's range, each served by one gateway. Pure.

A peer's shard follows from its address. Its IPv6 address holds the IPv4 one (ipv6.py): both are of the same shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network

COUNTS = (1, 16)  # that an environment may have


@dataclass(frozen=True)
class Shards:
    """`count`, a power of two, of the range."""

    tunnel_range: str
    count: int = 1

    @property
    def all(self) -> range:
        return range(self.count)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The networks, in order of the shards."""
        network = IPv4Network(self.tunnel_range)
        return tuple(str(block) for block in network.subnets(prefixlen_diff=self.count.bit_length() - 1))

    def of(self, address: str) -> int:
        """Of an IPv4 address inside of the range, as text."""
        return 0 if self.count == 1 else _number(address) - self._first >> self._shift

    @cached_property
    def _first(self) -> int:
        return int(IPv4Network(self.tunnel_range).network_address)

    @cached_property
    def _shift(self) -> int:
        return 32 - IPv4Network(self.tunnel_range).prefixlen - (self.count.bit_length() - 1)


@lru_cache(maxsize=1 << 17)  # of as many peers as a gateway can hold, again and again
def _number(address: str) -> int:
    return int(IPv4Address(address))


def assign(
    shards: Iterable[int],
    healthy: Collection[str],
    current: Mapping[int, str],
    drained: Collection[str] = (),
) -> dict[int, str]:
    """Who is to serve each shard: whoever does, as long as it is healthy and not drained, however few the others have.
    The other shards go to whoever has least. A drained gateway serves where nobody else is left; without a healthy one
    nobody does."""
    able = sorted(set(healthy) - set(drained)) or sorted(healthy)
    if not able:
        return {}
    found = {shard: owner for shard in shards if (owner := current.get(shard)) in able}
    held = Counter(found.values())
    for shard in shards:
        if shard not in found:
            found[shard] = min(able, key=lambda slot: (held[slot], slot))
            held[found[shard]] += 1
    return found


def balance(
    shards: Iterable[int],
    healthy: Collection[str],
    current: Mapping[int, str],
    drained: Collection[str] = (),
) -> dict[int, str]:
    """`assign`, and as few moves more as it takes that no two gateways differ by more than one shard."""
    found = assign(shards, healthy, current, drained)
    able = sorted(set(healthy) - set(drained)) or sorted(healthy)
    while found:
        held = Counter(found.values())
        most, least = min(able, key=lambda slot: (-held[slot], slot)), min(able, key=lambda slot: (held[slot], slot))
        if held[most] - held[least] <= 1:
            break
        found[_between(found, most)] = least
    return found


def _between(found: Mapping[int, str], owner: str) -> int:
    """The shard of `owner` with the most of its own beside it: neighbours are often of one tenant, which is to be
    spread."""
    own = sorted(shard for shard, slot in found.items() if slot == owner)
    return max(own, key=lambda shard: (sum(found.get(shard + side) == owner for side in (-1, 1)), -shard))


def numbers_text(shards: Collection[int]) -> str:
    """ "3", or "0-2, 5": for people."""
    runs: list[list[int]] = []
    for shard in sorted(shards):
        if runs and runs[-1][-1] == shard - 1:
            runs[-1].append(shard)
        else:
            runs.append([shard])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
