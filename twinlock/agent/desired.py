"""What the box should be, from the last state and the time. Pure; whatever the registry holds is checked again here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses
from typing import TypeVar

from twinlock.agent.endings import Endings, endings
from twinlock.agent.interfaces import probe_address
from twinlock.agent.overlay import Edits, differences
from twinlock.agent.state import LastState
from twinlock.registry.definition import Definition, Service, Source, Tenant
from twinlock.registry.errors import Refused
from twinlock.registry.ground import check_name
from twinlock.registry.ipv6 import address6, addresses, network6
from twinlock.registry.model import Peer
from twinlock.registry.places import HOLDS
from twinlock.registry.preshared import PresharedKey
from twinlock.registry.public_key import check_public_key
from twinlock.registry.reach import narrowed

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Who may reach what: networks from `ipaddress`, sorted, none inside another of the same kind."""

    storage_tenants: tuple[str, ...] = ()
    internet_tenants: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()
    services: tuple[tuple[str, str, str, int], ...] = ()  # tenant's range, destination, protocol, port
    networks: tuple[tuple[str, str], ...] = ()  # tenant's range, destination
    services6: tuple[tuple[str, str, str, int], ...] = ()  # the same by IPv6
    networks6: tuple[tuple[str, str], ...] = ()
    given6: tuple[str, ...] = ()  # all destinations of these; for the rest there is no IPv6
    tenant_sources: tuple[tuple[str, str], ...] = ()  # tenant's range, the address that its packets leave from
    peer_sources: tuple[tuple[str, str], ...] = ()  # peer's address, the same


@dataclass(frozen=True, kw_only=True)
class Narrow:
    """What the peer at one address may reach, where that is less than its tenant: rows as in Reach, of its own."""

    address: str
    storage: bool
    internet: bool
    services: tuple[tuple[str, str, str, int], ...]
    networks: tuple[tuple[str, str], ...]
    address6: str = ""
    services6: tuple[tuple[str, str, str, int], ...] = ()
    networks6: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Desired:
    peers: Mapping[str, Peer]  # public key -> the peer to serve
    refused: tuple[str, ...]  # one line for each peer that the registry holds and this gateway does not believe
    reach: Reach
    until: float  # epoch seconds: none of these peers expires before
    preshared: Mapping[str, PresharedKey] = field(default_factory=dict[str, PresharedKey])  # public key ->
    rotating: Mapping[str, str] = field(default_factory=dict[str, str])  # old key -> the key that replaces it
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])  # -> the current key
    narrow: Mapping[str, Narrow] = field(default_factory=dict[str, Narrow])  # address ->
    probe: str | None = None  # the address that proofs of transfer come from
    prefix6: str = ""  # of everybody's IPv6 address; empty: IPv4 alone
    endings: Endings = field(default_factory=Endings, compare=False)

    @cached_property
    def served(self) -> frozenset[str]:
        """Addresses whose packets pass, of both families."""
        served = frozenset(one for address in self.addresses for one in addresses(self.prefix6, address))
        return served if self.probe is None else served | {self.probe}

    def waits(self, key: str) -> bool:
        """For its first handshake, until which the key that it replaces has the address."""
        peer = self.peers.get(key)
        return peer is not None and peer.replaces is not None and self.rotating.get(peer.replaces) == key


def desired(state: LastState, now: float, slot: str) -> Desired:
    """`now` in epoch seconds: a peer that has expired by then is not there. `slot` is this gateway's."""
    draft = _Draft(state, now)
    for tenant in state.definition.tenants:
        draft.admit(tenant, state.peers.get(tenant.name, {}).values())
    draft.leave_out()
    return draft.done(reach(state.definition, state.storage_prefixes, slot))


def advanced(before: Desired, was: LastState, state: LastState, now: float, slot: str) -> Desired:
    """The same as `desired`, at the cost of what changed since `before`, which was made from `was`.

    Peers meet at an address alone: those that hold one which changed are judged anew, the others stay as they are.
    Where somebody is refused, one peer's place may depend on any other's, and all are judged.
    """
    if before.refused or was.definition is not state.definition or was.storage_prefixes != state.storage_prefixes:
        return desired(state, now, slot)
    draft = _Draft(state, now, before)
    other = differences(was.preshared, state.preshared)
    ended = before.endings.ended(before.peers, now) if now >= before.until else []
    for tenant in state.definition.tenants:
        old, new = was.peers.get(tenant.name, {}), state.peers.get(tenant.name, {})
        changed = [*differences(old, new), *other]
        gone, come = [old[key] for key in changed if key in old], [new[key] for key in changed if key in new]
        gone += [peer for peer in ended if peer.tenant == tenant.name]
        touched = [kept for peer in gone + come for kept in draft.take_out(peer.address)]
        draft.admit(tenant, {peer.public_key: peer for peer in touched + come if peer.public_key in new}.values())
    draft.leave_out()
    if draft.refused:
        return desired(state, now, slot)
    return draft.done(before.reach)


class _Draft:
    """Who is served, as it is put together."""

    def __init__(self, state: LastState, now: float, before: Desired | None = None) -> None:
        self._state, self._now = state, now
        self.refused: list[str] = []
        self._before = before
        self._come: list[Peer] = []
        self._peers: MutableMapping[str, Peer] = Edits(before.peers) if before else {}
        self._addresses: MutableMapping[str, str] = Edits(before.addresses) if before else {}
        self._rotating: MutableMapping[str, str] = Edits(before.rotating) if before else {}
        self._narrow: MutableMapping[str, Narrow] = Edits(before.narrow) if before else {}
        self._preshared: MutableMapping[str, PresharedKey] = Edits(before.preshared) if before else {}

    def admit(self, tenant: Tenant, peers: Iterable[Peer]) -> None:
        for peer in sorted(peers, key=_current_first):
            if peer.ends_at is not None and peer.ends_at <= self._now:
                continue
            fault = (
                fault_of(self._state.definition, tenant, peer)
                or _clash(peer, self._peers, self._addresses)
                or _locked(peer, self._state.preshared)
            )
            if fault:
                self.refused.append(f"peer {peer.name} of tenant {tenant.name} is not served: {fault}")
                continue
            if peer.retires_at is not None:
                self._rotating[peer.public_key] = self._addresses[peer.address]
            self._addresses.setdefault(peer.address, peer.public_key)
            self._peers[peer.public_key] = peer
            self._come.append(peer)
            if peer.preshared is not None:
                self._preshared[peer.public_key] = self._state.preshared[peer.public_key]
            if peer.reach is not None:
                self._narrow.setdefault(peer.address, narrow(tenant, peer, self._state.definition.prefix6))

    def take_out(self, address: str) -> list[Peer]:
        """Who was served at this address is not any more, and comes back."""
        current = self._addresses.pop(address, None)
        self._narrow.pop(address, None)
        if current is None:
            return []
        replaced = self._peers[current].replaces
        keys = [current]
        if replaced is not None and self._rotating.get(replaced) == current:
            del self._rotating[replaced]
            keys.append(replaced)
        for key in keys:
            self._preshared.pop(key, None)
        return [self._peers.pop(key) for key in keys]

    def leave_out(self) -> None:
        """Whom there is no place for: those who were enrolled last, so that gateways agree, and the first ones stay."""
        if len(self._peers) <= HOLDS:
            return
        holders: dict[str, list[Peer]] = {}  # of an address: a peer, and the key of it that retires
        for peer in self._peers.values():
            holders.setdefault(peer.address, []).append(peer)
        places = HOLDS
        for keys in sorted(holders.values(), key=lambda keys: min((key.enrolled_at, key.public_key) for key in keys)):
            places -= len(keys)
            if places < 0:
                self._shut(keys)

    def _shut(self, keys: Iterable[Peer]) -> None:
        for peer in keys:
            del self._peers[peer.public_key]
            self._preshared.pop(peer.public_key, None)
            self._rotating.pop(peer.public_key, None)
            self._addresses.pop(peer.address, None)
            self._narrow.pop(peer.address, None)
            self.refused.append(
                f"peer {peer.name} of tenant {peer.tenant} is not served: the gateway is full, it holds {HOLDS} peers"
            )

    def done(self, reach: Reach) -> Desired:
        peers, before = _finished(self._peers), self._before
        ends = endings(peers.values()) if before is None else before.endings.after(peers, self._come, self._now)
        return Desired(
            peers=peers,
            refused=tuple(self.refused),
            reach=reach,
            until=ends.first,
            preshared=_finished(self._preshared),
            rotating=_finished(self._rotating),
            addresses=_finished(self._addresses),
            narrow=_finished(self._narrow),
            probe=probe_address(self._state.definition.gateway_address),
            prefix6=self._state.definition.prefix6,
            endings=ends,
        )


def _finished(some: MutableMapping[str, T]) -> Mapping[str, T]:
    return some.done() if isinstance(some, Edits) else some


def _locked(peer: Peer, opened: Mapping[str, PresharedKey]) -> str:
    locked = peer.preshared is not None and peer.public_key not in opened
    return "its pre-shared key is not known here yet" if locked else ""


def _current_first(peer: Peer) -> tuple[bool, str]:
    return peer.retires_at is not None, peer.name


def _clash(peer: Peer, peers: Mapping[str, Peer], addresses: Mapping[str, str]) -> str:
    """Empty if its key and address are its own, or those of the key that replaces it."""
    if peer.public_key in peers:
        return "its key is another peer's"
    holder = peers.get(addresses.get(peer.address, ""))
    if peer.retires_at is None:
        return "" if holder is None else "its address is another peer's"
    same = holder is not None and (holder.name, holder.replaces) == (peer.name, peer.public_key)
    return "" if same else "the key that replaces it is not there"


def fault_of(definition: Definition, tenant: Tenant, peer: Peer) -> str:
    """Empty if this peer may be served."""
    return _fault(definition.gateway_address, tenant.name, tenant.range, peer)


@lru_cache(maxsize=1 << 17)  # as many peers as a gateway can hold: one that came is not checked with all the others
def _fault(gateway_address: str, tenant: str, tenant_range: str, peer: Peer) -> str:
    try:
        check_name(peer.name)
        check_public_key(peer.public_key)
        address = IPv4Address(peer.address)
    except (Refused, ValueError) as exc:
        return str(exc)
    if (peer.tenant, peer.state) != (tenant, "approved"):
        return f"it is {peer.state}, and of tenant {peer.tenant}"
    if str(address) != peer.address or address not in _network(tenant_range):
        return f"its address {peer.address} is outside of {tenant_range}"
    if peer.address == gateway_address:
        return f"its address {peer.address} is the gateway's own"
    return ""


@lru_cache
def _network(cidr: str) -> IPv4Network:
    return IPv4Network(cidr)


def reach(definition: Definition, storage_prefixes: Iterable[str], slot: str) -> Reach:
    tenants = definition.tenants
    probe = f"{probe_address(definition.gateway_address)}/32"
    own = [(tenant, source) for tenant in tenants for source in tenant.sources if source.slot == slot]
    prefixes = tuple(prefix for prefix in storage_prefixes if ":" not in prefix)
    prefix6 = definition.prefix6
    by6 = [(network6(prefix6, tenant.range), tenant) for tenant in tenants] if prefix6 else []
    return Reach(
        storage_tenants=tuple(sorted([*(tenant.range for tenant in tenants if tenant.storage), probe])),
        # The storage is no part of the internet: as long as nobody knows where it is, the internet waits too.
        internet_tenants=tuple(sorted(tenant.range for tenant in tenants if tenant.internet)) if prefixes else (),
        storage=_collapsed((*prefixes, *definition.storage_addresses)),
        services=tuple(entry for tenant in tenants for entry in _services(tenant.range, tenant.services)),
        networks=tuple(entry for tenant in tenants for entry in _networks(tenant.range, tenant.cidrs)),
        services6=tuple(entry for range6, tenant in by6 for entry in _services(range6, tenant.services6)),
        networks6=tuple(entry for range6, tenant in by6 for entry in _networks(range6, tenant.cidrs6)),
        given6=_collapsed(
            cidr for _, one in by6 for cidr in (*one.cidrs6, *(service.cidr for service in one.services6))
        ),
        tenant_sources=tuple((tenant.range, source.first) for tenant, source in own),
        peer_sources=tuple(pair for tenant, source in own for pair in _peer_sources(tenant, source)),
    )


def narrow(tenant: Tenant, peer: Peer, prefix6: str) -> Narrow:
    own, host = narrowed(tenant, peer.reach), f"{peer.address}/32"
    four = Narrow(
        address=peer.address,
        storage=own.storage,
        internet=own.internet,
        services=_services(host, own.services),
        networks=_networks(host, own.cidrs),
    )
    if not prefix6:
        return four
    six = address6(prefix6, peer.address)
    return replace(
        four,
        address6=six,
        services6=_services(f"{six}/128", own.services6),
        networks6=_networks(f"{six}/128", own.cidrs6),
    )


def _peer_sources(tenant: Tenant, source: Source) -> tuple[tuple[str, str], ...]:
    """The range's first addresses, each with a source of its own; the others share the first."""
    network, first = IPv4Network(tenant.range), IPv4Address(source.first)
    last = min(source.count, network.num_addresses)
    return tuple((str(network[place]), str(first + place)) for place in range(1, last))


def _services(source: str, given: Iterable[Service]) -> tuple[tuple[str, str, str, int], ...]:
    groups: dict[tuple[str, int], list[Service]] = {}
    for service in given:
        groups.setdefault((service.protocol, service.port), []).append(service)
    return tuple(
        (source, network, protocol, port)
        for (protocol, port), services in sorted(groups.items())
        for network in _collapsed(service.cidr for service in services)
    )


def _networks(source: str, cidrs: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((source, network) for network in _collapsed(cidrs))


def _collapsed(cidrs: Iterable[str]) -> tuple[str, ...]:
    """Merged, because nftables refuses intervals that overlap; IPv4 first."""
    some = tuple(cidrs)
    four = collapse_addresses(IPv4Network(cidr) for cidr in some if ":" not in cidr)
    six = collapse_addresses(IPv6Network(cidr) for cidr in some if ":" in cidr)
    return (*map(str, four), *map(str, six))
