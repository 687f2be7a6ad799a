"""The box made equal to what is desired: read once, then differences only. `diff` is pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from twinlock.agent.calls import Call
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import Desired, Narrow, Reach
from twinlock.agent.interfaces import SERVICE, WAY
from twinlock.agent.nft import End, Json, Nft, add_elements, by_family, delete_elements, flush_map, flush_set, prefix
from twinlock.agent.shut_out import ShutOut, end_from, shut_out
from twinlock.agent.sides import SidedWg
from twinlock.agent.wg import SetPeer
from twinlock.registry.ipv6 import host_networks
from twinlock.registry.model import Peer
from twinlock.registry.preshared import PresharedKey

_MAPS = frozenset({"tenant_sources", "peer_sources"})
_KEEPALIVE_SECONDS = 25  # of the service towards a client: keeps the client's NAT open, and starts the session


@dataclass(frozen=True, kw_only=True)
class Have:
    """What the box holds."""

    way: frozenset[str]  # public keys
    service: Mapping[str, tuple[str, ...]]  # public key -> allowed IPs, of those that were called
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
    waiting = frozenset(want.rotating.values())  # for their first handshake, until which the old key has the address
    gone = (
        key
        for key, allowed in have.service.items()
        if not (_is_allowed(want, key, allowed) or (key in want.peers and key in waiting and not allowed))
    )
    return Changes(
        admit=tuple(sorted(want.served - have.served)),
        cut=tuple(sorted(have.served - want.served)),
        way_add=tuple(sorted(want.peers.keys() - have.way)),
        way_remove=tuple(sorted(have.way - want.peers.keys())),
        service_remove=tuple(sorted(gone)),
        reach=None if want.reach == have.reach else want.reach,
        narrow_flush=have.narrow is None,
        narrow_add=_not_same(want.narrow, have.narrow or {}),
        narrow_remove=_not_same(have.narrow or {}, want.narrow),
    )


def _not_same(some: Mapping[str, Narrow], others: Mapping[str, Narrow]) -> tuple[Narrow, ...]:
    return tuple(found for address, found in some.items() if others.get(address) != found)


class Box:
    """The drivers of one gateway, and what they last made true."""

    def __init__(self, wg: SidedWg, nft: Nft, conntrack: Conntrack) -> None:
        self.wg, self.nft, self.conntrack = wg, nft, conntrack
        self.shut_out = ShutOut(nft)
        self._known: Mapping[str, Peer] = {}  # public key -> whoever is or was last to be served
        self._have: Have | None = None
        self._preshared: Mapping[str, PresharedKey] = {}
        self._prefix6 = ""

    @property
    def is_known(self) -> bool:
        """Whether nothing failed since the box was last looked at."""
        return self._have is not None

    def know(self, peers: Mapping[str, Peer]) -> None:
        """Whom an agent before this one served, by public key: who has left since is told by name."""
        self._known = peers

    def look(self) -> Have:
        """Reads the box itself, rather than remember it."""
        self._have = self._read()
        return self._have

    def mends(self, want: Desired) -> Changes:
        """What would make the box what `want` says, read from the box itself; nothing is changed. Networks, services
        and ports are not read: they are loaded anew by every full look."""
        return diff(want, replace(self._read(), reach=want.reach, narrow=want.narrow))

    def _read(self) -> Have:
        service = self.wg.peers(SERVICE)
        return Have(
            way=frozenset(self.wg.peers(WAY)),
            service={key: peer.allowed_ips for key, peer in service.items()},
            served=self.nft.addresses("served") | self.nft.addresses("served6"),
            reach=None,
            narrow=None,
        )

    def reconcile(self, want: Desired) -> Changes:
        """Applies the difference, which it returns. After an error the next pass looks anew."""
        have = self._have or self.look()
        self._preshared, self._prefix6 = want.preshared, want.prefix6
        changes = diff(want, have)
        if changes:
            self._have = None
            gone = shut_out(changes.way_remove, self._known, want)
            ends = self.ends(gone)
            self._apply(changes)
            self.shut_out.watch({end: gone[key] for end, key in ends.items()})
            self._have = _after(have, want, changes)
        self._known = want.peers
        return changes

    def ends(self, public_keys: Collection[str], since: int = 0) -> dict[End, str]:
        """Where these peers were, those whose last handshake was at `since` or later: -> public key. As they were
        last seen: the thread that calls looks every second, and no other has to."""
        found = [self.wg.last_ends(interface, public_keys, since) for interface in (WAY, SERVICE)]
        return {end_from(end): key for ends in found for key, some in ends.items() for end in some}

    def call(self, calls: Sequence[Call]) -> None:
        """Each starts a new session with a client, at the endpoint of its way.

        Always remove, then add: an old session that both ends once shared would swallow what is sent.
        """
        if not calls:
            return
        have, self._have = self._have, None
        allowed = {call.public_key: host_networks(self._prefix6, call.address) for call in calls}
        self.wg.renew_peers(
            SERVICE,
            (
                SetPeer(
                    public_key=call.public_key,
                    allowed_ips=allowed[call.public_key],
                    endpoint=call.endpoint,
                    keepalive=_KEEPALIVE_SECONDS,
                    preshared=self._preshared.get(call.public_key),
                )
                for call in calls
            ),
        )
        self._have = have and replace(have, service={**have.service, **allowed})

    def call_single(self, calls: Sequence[Call]) -> None:
        """As `call`, from the floating address: these clients know no other, and their NATs let no other in."""
        if not calls:
            return
        ends = (call.endpoint.rpartition(":") for call in calls)
        known: list[Json] = [{"concat": [address, int(port)]} for address, _, port in ends]
        self.nft.transaction([add_elements("single", known)])
        self.call(calls)

    def let_knock(self, peers: Mapping[str, str | None]) -> None:
        """Lets each of these on the service, if it is not there yet: public key -> its address, or None for a key that
        another one's address waits for."""
        if not peers:
            return
        have, self._have = self._have, None
        allowed = {
            key: () if address is None else host_networks(self._prefix6, address) for key, address in peers.items()
        }
        self.wg.let_knock(
            SERVICE,
            {
                key: SetPeer(public_key=key, allowed_ips=networks, preshared=self._preshared.get(key))
                for key, networks in allowed.items()
            },
        )
        self._have = have and replace(have, service={**allowed, **have.service})

    def carry_over(self, old: str, new: str, address: str) -> None:
        """A rotated key knocked: the address is its own from now on, and its session stays."""
        have, self._have = self._have, None
        self.wg.remove_peers(SERVICE, [old])
        own = host_networks(self._prefix6, address)
        self.wg.set_peers(SERVICE, [SetPeer(public_key=new, allowed_ips=own)])
        if have is not None:
            service = {key: allowed for key, allowed in have.service.items() if key != old}
            self._have = replace(have, service={**service, new: own})

    def nudge(self, public_keys: Sequence[str]) -> None:
        """Has each of these clients, which were called, turn to this gateway again."""
        self.wg.nudge_peers(SERVICE, public_keys, _KEEPALIVE_SECONDS)

    def let_go(self) -> int:
        """Removes every service peer: the other gateway may call. The number of them."""
        keys = tuple(self.wg.peers(SERVICE))
        self.wg.remove_peers(SERVICE, keys)
        if self._have is not None:
            self._have = replace(self._have, service={})
        return len(keys)

    def _apply(self, changes: Changes) -> None:
        # Closed first, opened last: in between a peer has too little, never too much.
        self.nft.transaction(nft_commands(changes))
        self.wg.remove_peers(SERVICE, changes.service_remove)
        self.wg.remove_peers(WAY, changes.way_remove)
        self.conntrack.cut(changes.cut)
        self.wg.add_peers(WAY, (SetPeer(public_key=key, preshared=self._preshared.get(key)) for key in changes.way_add))


def _after(have: Have, want: Desired, changes: Changes) -> Have:
    return Have(
        way=frozenset(want.peers),
        service={key: allowed for key, allowed in have.service.items() if key not in changes.service_remove},
        served=want.served,
        reach=want.reach,
        narrow=want.narrow,
    )


def _is_allowed(want: Desired, key: str, allowed: tuple[str, ...]) -> bool:
    """Whether the service serves this peer, with its own addresses, which WireGuard may list in another order."""
    if key not in want.peers:
        return False
    own = host_networks(want.prefix6, want.peers[key].address)
    return allowed == own or set(allowed) == set(own)


def nft_commands(changes: Changes) -> list[Json]:
    commands = by_family(delete_elements, "served", changes.cut)
    if changes.reach is not None:
        commands += _reach_commands(changes.reach)
    if changes.narrow_flush:
        commands += [flush_set(name) for name in _narrow_elements(())]
    commands += _narrow_commands(delete_elements, changes.narrow_remove)
    commands += _narrow_commands(add_elements, changes.narrow_add)
    return commands + by_family(add_elements, "served", changes.admit)


def _narrow_commands(verb: Callable[[str, Sequence[Json]], Json], some: Sequence[Narrow]) -> list[Json]:
    return [verb(name, elements) for name, elements in _narrow_elements(some).items() if elements]


def _narrow_elements(some: Sequence[Narrow]) -> dict[str, list[Json]]:
    """Of the firewall's sets for peers that reach less than their tenant."""
    return {
        "narrow": [one.address for one in some],
        "narrow_storage": [one.address for one in some if one.storage],
        "narrow_internet": [one.address for one in some if one.internet],
        "narrow_services": [_service(row) for one in some for row in one.services],
        "narrow_networks": [_network(row) for one in some for row in one.networks],
    }


def _service(row: tuple[str, str, str, int]) -> Json:
    source, destination, protocol, port = row
    return {"concat": [prefix(source), prefix(destination), protocol, port]}


def _network(row: tuple[str, str]) -> Json:
    return {"concat": [prefix(row[0]), prefix(row[1])]}


def _reach_commands(reach: Reach) -> list[Json]:
    wanted: dict[str, list[Json]] = {
        "storage_tenants": [prefix(cidr) for cidr in reach.storage_tenants],
        "internet_tenants": [prefix(cidr) for cidr in reach.internet_tenants],
        "storage": [prefix(cidr) for cidr in reach.storage],
        "services": list(map(_service, reach.services)),
        "networks": list(map(_network, reach.networks)),
        "tenant_sources": [[prefix(cidr), source] for cidr, source in reach.tenant_sources],
        "peer_sources": [[address, source] for address, source in reach.peer_sources],
    }
    commands: list[Json] = []
    for name, elements in wanted.items():
        commands.append(flush_map(name) if name in _MAPS else flush_set(name))
        if elements:
            commands.append(add_elements(name, elements))
    return commands
