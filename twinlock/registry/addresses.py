"""Which tunnel address is free: pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from random import Random

from twinlock.registry.errors import Refused

# Seconds between the end of a lease and the next one of the same address: the last owner's packets have died out,
# and every gateway has read the change (each reads everything after 300 s at the latest).
QUARANTINE = 600


@dataclass(frozen=True)
class Room:
    """How full a tenant's range is."""

    held: int  # leased, or in quarantine
    total: int  # that could be

    @property
    def scarce(self) -> bool:
        return self.held * 10 >= self.total * 9


def room(cidr: str, reserved: Collection[str], held: Collection[str]) -> Room:
    network = IPv4Network(cidr)
    ends = {network.network_address, network.broadcast_address}
    kept = ends | {IPv4Address(address) for address in reserved if IPv4Address(address) in network}
    return Room(len(held), max(0, network.num_addresses - len(kept)))


def probes(cidr: str, reserved: Collection[str], count: int, dice: Random) -> tuple[str, ...]:
    """Random addresses of the range that could be given, `count` at most: whether they are held is not known here."""
    network = IPv4Network(cidr)
    kept = {IPv4Address(address) for address in reserved}
    kept |= {network.network_address, network.broadcast_address}
    offsets = dice.sample(range(network.num_addresses), min(network.num_addresses, count))
    return tuple(str(network[offset]) for offset in offsets if network[offset] not in kept)


def free_addresses(
    tenant: str, cidr: str, reserved: Collection[str], held: Collection[str], count: int
) -> tuple[str, ...]:
    """The lowest `count` addresses that are neither reserved nor held. Raises Refused if there are fewer.

    `held` are the addresses that are leased or in quarantine. A range's first and last address are never given.
    """
    network = IPv4Network(cidr)
    taken = {IPv4Address(address) for address in (*reserved, *held)}
    taken |= {network.network_address, network.broadcast_address}
    found = tuple(str(address) for address in islice((one for one in network if one not in taken), count))
    if len(found) == count:
        return found
    raise Refused(
        f"tenant {tenant}: all addresses of {cidr} are leased or were until {QUARANTINE // 60} minutes ago: "
        "revoke a peer, or widen the tenant's range"
        if not found
        else f"tenant {tenant}: {cidr} has {len(found)} free addresses where {count} are wanted: widen the range"
    )
