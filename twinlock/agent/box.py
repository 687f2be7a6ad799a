"""The box made equal to what is desired: read once, then differences only (changes.py)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from twinlock.agent.calls import Call
from twinlock.agent.changes import Changes, Have, diff, step
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import Desired, Narrow, Reach
from twinlock.agent.ends import Ends
from twinlock.agent.interfaces import SERVICE, WAY
from twinlock.agent.nft import End, Json, Nft, add_elements, by_family, delete_elements, flush_map, flush_set, prefix
from twinlock.agent.shut_out import ShutOut, end_from, shut_out
from twinlock.agent.sides import SidedWg
from twinlock.agent.wg import SetPeer, TunnelPeer
from twinlock.registry.ipv6 import host_networks
from twinlock.registry.model import Peer
from twinlock.registry.preshared import PresharedKey
from twinlock.registry.shards import Shards

_MAPS = frozenset({"tenant_sources", "peer_sources"})
_ONE = Shards("0.0.0.0/0")
_KEEPALIVE_SECONDS = 25  # of the service towards a client: keeps the client's NAT open, and starts the session


class Box:
    """The drivers of one gateway, and what they last made true."""

    def __init__(self, wg: SidedWg, nft: Nft, conntrack: Conntrack, shards: Shards = _ONE) -> None:
        self.wg, self.nft, self.conntrack, self._shards = wg, nft, conntrack, shards
        self._ends = Ends(nft) if shards.count > 1 else None
        self.shut_out = ShutOut(nft)
        self._known: Mapping[str, Peer] = {}  # public key -> whoever is or was last to be served
        # What the box holds: as it was read, or as it was made; None: look anew. But who is on the service, which
        # changes with every call, is in `_service` alone.
        self._holds: Have | Desired | None = None
        self._service: dict[str, tuple[str, ...]] = {}
        self._preshared: Mapping[str, PresharedKey] = {}
        self._prefix6 = ""

    @property
    def is_known(self) -> bool:
        """Whether nothing failed since the box was last looked at."""
        return self._holds is not None

    def know(self, peers: Mapping[str, Peer]) -> None:
        """Whom an agent before this one served, by public key: who has left since is told by name."""
        self._known = peers

    def look(self) -> Have:
        """Reads the box itself, rather than remember it."""
        self._holds = have = self._read()
        self._service = dict(have.service)
        return have

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
        holds = self._holds or self.look()
        self._preshared, self._prefix6 = want.preshared, want.prefix6
        if isinstance(holds, Have):
            changes = diff(want, replace(holds, service=self._service))
        else:
            changes = step(holds, want, self._service)
        self._holds = None
        if changes:
            gone = shut_out(changes.way_remove, self._known, want)
            ends = self.ends(gone)
            self._apply(changes)
            self.shut_out.watch({end: gone[key] for end, key in ends.items()})
            for key in changes.service_remove:
                del self._service[key]
        self._holds, self._known = want, want.peers
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
        holds, self._holds = self._holds, None
        allowed = {call.public_key: host_networks(self._prefix6, call.address) for call in calls}
        if self._ends is not None:
            self._ends.add({call.endpoint: self._shards.of(call.address) for call in calls})
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
        self._service |= allowed
        self._holds = holds

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
        holds, self._holds = self._holds, None
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
        for key, networks in allowed.items():
            self._service.setdefault(key, networks)
        self._holds = holds

    def carry_over(self, old: str, new: str, address: str) -> None:
        """A rotated key knocked: the address is its own from now on, and its session stays."""
        holds, self._holds = self._holds, None
        self.wg.remove_peers(SERVICE, [old])
        own = host_networks(self._prefix6, address)
        self.wg.set_peers(SERVICE, [SetPeer(public_key=new, allowed_ips=own)])
        self._service.pop(old, None)
        self._service[new] = own
        self._holds = holds

    def nudge(self, public_keys: Sequence[str]) -> None:
        """Has each of these clients, which were called, turn to this gateway again."""
        self.wg.nudge_peers(SERVICE, public_keys, _KEEPALIVE_SECONDS)

    def let_go(self, shards: Collection[int] = (0,)) -> int:
        """Removes every service peer of these shards: another gateway may call. The number of them."""
        keys = tuple(key for key, peer in self.wg.peers(SERVICE).items() if self.shard_of(peer) in shards)
        self.wg.remove_peers(SERVICE, keys)
        for key in keys:
            self._service.pop(key, None)
        return len(keys)

    def shard_of(self, peer: TunnelPeer) -> int | None:
        """Of a service peer; None for one that has no address there."""
        if self._shards.count == 1:
            return 0
        return next((self._shards.of(one.removesuffix("/32")) for one in peer.allowed_ips if "." in one), None)

    def follow_ends(self, service: Mapping[str, TunnelPeer]) -> None:
        """After a look: the firewall knows where each one is now."""
        if self._ends is not None:
            found = ((peer.endpoint, self.shard_of(peer)) for peer in service.values())
            self._ends.replace({end: shard for end, shard in found if end is not None and shard is not None})

    def _apply(self, changes: Changes) -> None:
        # Closed first, opened last: in between a peer has too little, never too much.
        self.nft.transaction(nft_commands(changes))
        self.wg.remove_peers(SERVICE, changes.service_remove)
        self.wg.remove_peers(WAY, changes.way_remove)
        self.conntrack.cut(changes.cut)
        self.wg.add_peers(WAY, (SetPeer(public_key=key, preshared=self._preshared.get(key)) for key in changes.way_add))


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
        "narrow6": [one.address6 for one in some if one.address6],
        "narrow_services6": [_service(row) for one in some for row in one.services6],
        "narrow_networks6": [_network(row) for one in some for row in one.networks6],
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
        "services6": list(map(_service, reach.services6)),
        "networks6": list(map(_network, reach.networks6)),
        "given6": [prefix(cidr) for cidr in reach.given6],
        "tenant_sources": [[prefix(cidr), source] for cidr, source in reach.tenant_sources],
        "peer_sources": [[address, source] for address, source in reach.peer_sources],
    }
    commands: list[Json] = []
    for name, elements in wanted.items():
        commands.append(flush_map(name) if name in _MAPS else flush_set(name))
        if elements:
            commands.append(add_elements(name, elements))
    return commands
