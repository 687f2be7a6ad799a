"""What is to be done so that a box that holds something becomes what is desired. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from twinlock.agent.desired import Desired, Narrow, Reach
from twinlock.agent.overlay import differences
from twinlock.registry.ipv6 import addresses, host_networks

Service = Mapping[str, tuple[str, ...]]  # public key -> allowed IPs, of those that were called


@dataclass(frozen=True, kw_only=True)
class Have:
    """What the box holds."""

    way: frozenset[str]  # public keys
    service: Service
    served: frozenset[str]  # addresses that may pass, of both families
    reach: Reach | None  # None: not known, load it again
    narrow: Mapping[str, Narrow] | None  # address ->; None: not known, load it again


@dataclass(frozen=True, kw_only=True)
class Changes:
    admit: tuple[str, ...] = ()  # addresses
    cut: tuple[str, ...] = ()  # addresses
    way_add: tuple[str, ...] = ()  # public keys
    way_remove: tuple[str, ...] = ()
    service_remove: tuple[str, ...] = ()
    reach: Reach | None = None  # None: stays
    narrow_flush: bool = False  # nothing is known of what is there
    narrow_add: tuple[Narrow, ...] = ()
    narrow_remove: tuple[Narrow, ...] = ()

    def __bool__(self) -> bool:
        return self != Changes()


def diff(want: Desired, have: Have) -> Changes:
    """What is to be done. A live peer that stays as it is appears nowhere."""
    return Changes(
        admit=tuple(sorted(want.served - have.served)),
        cut=tuple(sorted(have.served - want.served)),
        way_add=tuple(sorted(want.peers.keys() - have.way)),
        way_remove=tuple(sorted(have.way - want.peers.keys())),
        service_remove=_strangers(want, have.service, have.service),
        reach=None if want.reach == have.reach else want.reach,
        narrow_flush=have.narrow is None,
        narrow_add=_not_same(want.narrow, have.narrow or {}),
        narrow_remove=_not_same(have.narrow or {}, want.narrow),
    )


def step(was: Desired, want: Desired, service: Service) -> Changes:
    """The same, of a box that is what `was` asks for, at the cost of what is different. `service` as in Have."""
    if (was.prefix6, was.probe) != (want.prefix6, want.probe):
        return diff(want, _made(was, service))
    keys, addressed = differences(was.peers, want.peers), differences(was.addresses, want.addresses)
    narrowed = differences(was.narrow, want.narrow)
    handed = differences(was.rotating, want.rotating)
    waited = (key for old in handed for key in (was.rotating.get(old), want.rotating.get(old)) if key is not None)
    return Changes(
        admit=_hosts(want.prefix6, addressed - was.addresses.keys()),
        cut=_hosts(want.prefix6, addressed - want.addresses.keys()),
        way_add=tuple(sorted(keys - was.peers.keys())),
        way_remove=tuple(sorted(keys - want.peers.keys())),
        service_remove=_strangers(want, service, {*keys, *waited}),
        reach=None if want.reach == was.reach else want.reach,
        narrow_add=_not_same(_only(want.narrow, narrowed), was.narrow),
        narrow_remove=_not_same(_only(was.narrow, narrowed), want.narrow),
    )


def _made(was: Desired, service: Service) -> Have:
    return Have(way=frozenset(was.peers), service=service, served=was.served, reach=was.reach, narrow=was.narrow)


def _strangers(want: Desired, service: Service, keys: Iterable[str]) -> tuple[str, ...]:
    """Which of `keys` are on the service and should not be, or not so."""
    return tuple(sorted(key for key in keys if key in service and not _is_allowed(want, key, service[key])))


def _hosts(prefix6: str, some: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(one for address in some for one in addresses(prefix6, address)))


def _only(narrow: Mapping[str, Narrow], some: Iterable[str]) -> Mapping[str, Narrow]:
    return {address: narrow[address] for address in some if address in narrow}


def _not_same(some: Mapping[str, Narrow], others: Mapping[str, Narrow]) -> tuple[Narrow, ...]:
    return tuple(found for address, found in sorted(some.items()) if others.get(address) != found)


def _is_allowed(want: Desired, key: str, allowed: tuple[str, ...]) -> bool:
    """Whether the service serves this peer, with its own addresses, which WireGuard may list in another order; with
    none where it waits for those of the key that it replaces."""
    if key not in want.peers:
        return False
    own = host_networks(want.prefix6, want.peers[key].address)
    return allowed == own or set(allowed) == set(own) or (not allowed and want.waits(key))
