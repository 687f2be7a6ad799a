"""The fabric: makes a topology true on this machine, follows its changes, and takes everything away again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence

from lab.fabric import cuts, kernel, names
from lab.fabric.clients import NatKind, public_address, wire_client
from lab.fabric.clock import Clock
from lab.fabric.cuts import Cut
from lab.fabric.difference import difference
from lab.fabric.names import Namespaces
from lab.fabric.resolver import Answers, answers_of, end_names, serve_names
from lab.fabric.sockets import hang_up, listening
from lab.fabric.stale import stale_flows
from lab.fabric.wiring import Key, Setting, Wiring, resolver_address, wire
from lab.topology import Interface, Network, Topology

OnSocket = Callable[[str, socket.socket], None]
EMPTY = Topology(networks=(), machines=())


class Fabric:
    """Namespaces for the internet, networks, machines, endpoints and clients; all of their names begin with `prefix`.

    `names` are (host name, public address) pairs of the cloud's services: each address is the internet's own, and each
    name, with all names under it, resolves to it everywhere. Methods may be called from any thread.

    `on_network(network id, socket)` gets the metadata service's listening socket (169.254.169.254:80) of a network
    that appeared, `on_endpoint(endpoint id, socket)` that of an endpoint (TCP 443, any address of its prefixes or of
    each of its interfaces; peers show with their private addresses). When the network or endpoint goes, the fabric
    shuts the socket down: accept() raises OSError.
    """

    def __init__(
        self,
        prefix: str = "twl",
        names: tuple[tuple[str, str], ...] = (),
        *,
        on_endpoint: OnSocket | None = None,
        on_network: OnSocket | None = None,
    ) -> None:
        self.on_endpoint = on_endpoint
        self.on_network = on_network
        self._spaces = Namespaces(prefix)
        self._names = names
        self._lock = threading.RLock()
        self._topology = EMPTY
        self._clients: dict[str, tuple[int, Wiring]] = {}
        self._made = 0
        self._wiring = Wiring()
        self._half_done = False
        self._clocks: dict[str, Clock] = {}  # of networks whose resolver runs too
        self._answers: dict[str, tuple[Answers, str]] = {}  # of the same, and the zone of its hosts
        self._sockets: dict[str, socket.socket] = {}

    def start(self) -> None:
        """Makes the internet; takes away first what a killed fabric of the same prefix left."""
        with self._lock:
            Fabric.sweep(self._spaces.prefix)
            self._realise(EMPTY)
            serve_names(self._spaces.internet, [names.PUBLIC_RESOLVER], self._names)

    def apply(self, topology: Topology) -> None:
        """Makes `topology` true. Only what differs from the last one is touched; raises `FabricError`."""
        with self._lock:
            before = self._topology
            self._realise(topology)
            for namespace, addresses in stale_flows(before, topology, self._spaces).items():
                kernel.forget_flows(namespace, addresses)
            self._open_doors(topology)

    def add_client(self, name: str, *, nat: NatKind = "none") -> str:
        """A client on the internet; returns its namespace. Its resolver is in /etc/netns."""
        with self._lock:
            if name not in self._clients:
                self._clients[name] = (self._made, wire_client(name, self._made, nat, self._spaces))
                self._made += 1
                self._realise(self._topology)
            return self._spaces.client(name)

    def remove_client(self, name: str) -> None:
        """With all that runs in it."""
        with self._lock:
            del self._clients[name]
            self._realise(self._topology)

    def client_address(self, name: str) -> str:
        """The public address that a client's packets come from."""
        return public_address(self._clients[name][0])

    def clients(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._clients)

    def client_namespace(self, name: str) -> str:
        return self._spaces.client(name)

    def nat_namespace(self, name: str) -> str:
        """Of a client that has a NAT."""
        return self._spaces.nat(name)

    def machine_namespace(self, machine: str) -> str:
        return self._spaces.of(machine)

    def network_namespace(self, network: str) -> str:
        return self._spaces.of(network)

    def cut(self, name: str, wanted: Sequence[Cut]) -> None:
        """Cuts paths of interfaces that machines hold now, until `mend`; in place of what was cut under that name."""
        with self._lock:
            by_network: dict[str, list[Cut]] = {}
            for one in wanted:
                by_network.setdefault(self._network_of(one.interface), []).append(one)
            for network, some in by_network.items():
                kernel.inside_run(self._spaces.of(network), ["nft", "-f", "-"], cuts.text(name, some))

    def mend(self, name: str) -> None:
        """Nothing happens if nothing was cut under that name."""
        with self._lock:
            for network in self._topology.networks:
                here = self._spaces.of(network.id)
                kernel.inside_run(here, ["nft", "-f", "-"], cuts.nothing(name))

    def interfaces_of(self, machine: str) -> tuple[Interface, ...]:
        """Of a machine that runs."""
        with self._lock:
            held = {i for one in self._topology.machines if one.id == machine for i in one.interfaces}
            return tuple(i for network in self._topology.networks for i in network.interfaces if i.id in held)

    def lie(self, addresses: Sequence[str], seconds: float) -> None:
        """The time source is so far ahead for these clients from now on; 0: it tells the truth again."""
        with self._lock:
            for clock in self._clocks.values():
                clock.lies.update(dict.fromkeys(addresses, seconds))

    def _network_of(self, interface: str) -> str:
        networks = self._topology.networks
        return next(network.id for network in networks if any(i.id == interface for i in network.interfaces))

    def listen(self, where: str, address: str, port: int, *, ttl: int | None = None) -> socket.socket:
        """A TCP socket of this process that listens in the internet ("internet") or in a network (its id)."""
        return listening(self._spaces.of(where), address, port, ttl=ttl)

    def teardown(self) -> None:
        """Removes every namespace of the prefix, with what runs in it."""
        with self._lock:
            for made in self._sockets.values():
                hang_up(made)
            self._sockets.clear()
            self._clients.clear()
            for clock in self._clocks.values():
                clock.stop()
            self._clocks.clear()
            self._answers.clear()
            self._topology, self._wiring = EMPTY, Wiring()
            Fabric.sweep(self._spaces.prefix)

    @staticmethod
    def sweep(prefix: str = "twl") -> None:
        """Removes what a fabric of that prefix left behind, also one that was killed: it keeps nothing elsewhere."""
        spaces = Namespaces(prefix)
        for namespace in kernel.existing():
            if spaces.owns(namespace):
                kernel.remove(namespace)

    def _realise(self, topology: Topology) -> None:
        wanted = self._internet()
        for _, client in self._clients.values():
            wanted = wanted.with_(client)
        wanted = wanted.with_(wire(topology, self._spaces))
        steps = difference(self._wiring, wanted)
        if not steps.nothing:
            again, self._half_done = self._half_done, True
            kernel.carry_out(steps, again=again)
            self._half_done = False
        self._wiring, self._topology = wanted, topology

    def _internet(self) -> Wiring:
        here = self._spaces.internet
        addresses = {names.PUBLIC_RESOLVER, *(address for _, address in self._names)}
        settings: dict[Key, Setting] = {
            (here, "address", f"{address}/32"): Setting(rest="dev lo") for address in sorted(addresses)
        }
        return Wiring(routers=frozenset({here}), settings=settings)

    def _open_doors(self, topology: Topology) -> None:
        networks = {network.id: network for network in topology.networks}
        endpoints = {e.id: e.id for network in topology.networks for e in network.endpoints}
        endpoints |= {i: e.id for network in topology.networks for e in network.private_endpoints for i in e.interfaces}
        for gone in set(self._sockets) - set(endpoints) - set(networks):
            hang_up(self._sockets.pop(gone))
        for gone in set(self._clocks) - set(networks):
            self._clocks.pop(gone).stop()
            self._answers.pop(gone, None)
        for name in sorted(set(networks) - set(self._clocks)):
            self._clocks[name] = Clock(self._spaces.of(name), names.TIME)
        for name, network in networks.items():
            self._answer(name, network)
        for network in sorted(set(networks) - set(self._sockets)):
            self._open(network, names.METADATA, 80, self.on_network, network)
        for where in sorted(set(endpoints) - set(self._sockets)):
            # Inside the endpoint's own namespace.
            self._open(where, "0.0.0.0", 443, self.on_endpoint, endpoints[where])  # noqa: S104

    def _answer(self, name: str, network: Network) -> None:
        """The network's own resolver, started anew when what it says has changed."""
        wanted = answers_of(network, self._names), network.host_zone
        if self._answers.get(name) == wanted:
            return
        here = self._spaces.of(name)
        end_names(here)
        hosts = f"{network.host_zone},{network.cidrs[0]},ip-" if network.host_zone else ""
        serve_names(here, [names.RESOLVER, resolver_address(network)], wanted[0], hosts)
        self._answers[name] = wanted

    def _open(self, where: str, address: str, port: int, tell: OnSocket | None, who: str) -> None:
        if tell is None:
            return
        made = self._sockets[where] = self.listen(where, address, port)
        tell(who, made)
