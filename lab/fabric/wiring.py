"""A topology as the kernel will hold it: namespaces, cables between them, and addresses, routes and rules in each.

Pure: no process, no kernel. `difference.py` compares two of these, `kernel.py` carries the difference out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.fabric import filters, names
from lab.fabric.names import Namespaces
from lab.topology import Endpoint, Interface, Network, Route, Subnet, Topology

ROUTER6 = "fe80::1"  # of a network, on each of its cables
Kind = Literal["address", "route", "rule"]
# Namespace, kind, and what identifies the setting there (an address, a rule, a table's destination).
Key = tuple[str, Kind, str]


@dataclass(frozen=True, kw_only=True)
class Cable:
    """A veth pair; the near end is the router's."""

    near: str  # namespace
    near_device: str
    far: str  # namespace
    far_device: str
    far_mac: str = ""
    mtu: int = names.INTERNET_MTU
    ipv6: bool = False  # whether the router speaks it there


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What `ip … add` takes after the key; `device` is what takes the setting with it when it goes."""

    rest: str = ""
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """`routers` and `nats` forward and filter; `hosts` are only placed somewhere (machines, clients, endpoints)."""

    routers: frozenset[str] = frozenset()
    nats: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    cables: frozenset[Cable] = frozenset()
    settings: Mapping[Key, Setting] = field(default_factory=dict[Key, Setting])
    rulesets: Mapping[str, str] = field(default_factory=dict[str, str])  # namespace -> nft text
    resolvers: Mapping[str, str] = field(default_factory=dict[str, str])  # namespace -> what its resolv.conf names

    @property
    def namespaces(self) -> frozenset[str]:
        return self.routers | self.nats | self.hosts

    def with_(self, other: Wiring) -> Wiring:
        """Both together; they must not speak of the same setting."""
        return Wiring(
            routers=self.routers | other.routers,
            nats=self.nats | other.nats,
            hosts=self.hosts | other.hosts,
            cables=self.cables | other.cables,
            settings={**self.settings, **other.settings},
            rulesets={**self.rulesets, **other.rulesets},
            resolvers={**self.resolvers, **other.resolvers},
        )


def wire(topology: Topology, spaces: Namespaces) -> Wiring:
    """The whole of a topology. Interfaces that no machine holds have no cable: nothing reaches them."""
    held = {interface: (m.id, n) for m in topology.machines for n, interface in enumerate(m.interfaces)}
    doors = [i for network in topology.networks for e in network.private_endpoints for i in e.interfaces]
    # Each of a private endpoint's interfaces is a host by itself, which listens.
    held |= {interface: (interface, 0) for interface in doors}
    hosts = {spaces.of(machine.id) for machine in topology.machines} | {spaces.of(interface) for interface in doors}
    wiring = Wiring(hosts=frozenset(hosts))
    for network in topology.networks:
        wiring = wiring.with_(_network(network, held, spaces))
    return wiring


def resolver_address(network: Network) -> str:
    """The resolver of a network: the base of its first range plus two, as in a VPC."""
    return str(ipaddress.ip_network(network.cidrs[0])[2])


def _network(network: Network, held: Mapping[str, tuple[str, int]], spaces: Namespaces) -> Wiring:
    here = spaces.of(network.id)
    attached = {i.id: i for i in network.interfaces if i.id in held}
    settings = dict(_own_settings(here, network))
    cables = {uplink(here, network.id, spaces)}
    settings |= uplink_settings(here, network.id, spaces)
    for interface in attached.values():
        machine, index = held[interface.id]
        cables.add(_interface_cable(here, spaces.of(machine), interface, index))
        settings |= _interface_settings(here, spaces, interface, network, machine, index)
        settings |= {(spaces.internet, "route", public): _via_uplink(network.id) for _, public in interface.public}
    for subnet in network.subnets:
        settings |= _table(here, subnet, attached, network)
    for endpoint in network.endpoints:
        cables.add(_endpoint_cable(here, spaces.of(endpoint.id), endpoint))
        settings |= _endpoint_settings(here, spaces.of(endpoint.id), endpoint)
    resolver = resolver_address(network)
    return Wiring(
        routers=frozenset({here}),
        hosts=frozenset(spaces.of(e.id) for e in network.endpoints),
        cables=frozenset(cables),
        settings=settings,
        rulesets={here: filters.ruleset(network, tuple(attached.values()))},
        resolvers={spaces.of(held[i][0]): resolver for i in attached},
    )


def _own_settings(here: str, network: Network) -> Iterator[tuple[Key, Setting]]:
    own = {names.METADATA, names.TIME, names.RESOLVER, resolver_address(network)}
    own |= {_first(subnet) for subnet in network.subnets}
    for address in sorted(own):
        yield (here, "address", f"{address}/32"), Setting(rest="dev lo")


def uplink(here: str, owner: str, spaces: Namespaces) -> Cable:
    """The cable between the internet and `here`."""
    return Cable(near=spaces.internet, near_device=names.uplink_device(owner), far=here, far_device=names.UPLINK)


def uplink_settings(here: str, owner: str, spaces: Namespaces) -> dict[Key, Setting]:
    """Addresses of that cable's two ends."""
    near, far = names.link_addresses(owner)
    device = names.uplink_device(owner)
    return {
        (spaces.internet, "address", f"{near}/32"): Setting(rest=f"peer {far} dev {device}", device=device),
        (here, "address", f"{far}/32"): Setting(rest=f"peer {near} dev {names.UPLINK}", device=names.UPLINK),
    }


def _via_uplink(owner: str) -> Setting:
    device = names.uplink_device(owner)
    return Setting(rest=f"via {names.link_addresses(owner)[1]} dev {device} onlink", device=device)


def public_route(address: str, owner: str, spaces: Namespaces) -> dict[Key, Setting]:
    """The internet's route to a public address of a client or its NAT."""
    return {(spaces.internet, "route", address): _via_uplink(owner)}


def _interface_cable(here: str, there: str, interface: Interface, index: int) -> Cable:
    return Cable(
        near=here,
        near_device=names.interface_device(interface.id),
        far=there,
        far_device=names.machine_device(index),
        far_mac=interface.mac,
        mtu=names.NETWORK_MTU,
        ipv6=bool(interface.addresses6),
    )


def _interface_settings(
    here: str, spaces: Namespaces, interface: Interface, network: Network, machine: str, index: int
) -> dict[Key, Setting]:
    device, far_device = names.interface_device(interface.id), names.machine_device(index)
    subnet = next(s for s in network.subnets if s.id == interface.subnet)
    primary, length = interface.addresses[0], subnet.cidr.partition("/")[2]
    there = spaces.of(machine)
    settings: dict[Key, Setting] = {
        (here, "rule", f"iif {device} lookup {names.table(subnet.id)} priority 1000"): Setting(),
        (there, "address", f"{primary}/{length}"): Setting(rest=f"dev {far_device}", device=far_device),
    }
    settings[here, "route", primary] = Setting(rest=f"dev {device}", device=device)
    # A cloud delivers to the interface, whether or not its machine answers for the address.
    for prefix in (*interface.addresses[1:], *interface.prefixes):
        settings[here, "route", prefix] = Setting(rest=f"via {primary} dev {device} onlink", device=device)
    if index == 0:
        settings[there, "route", "default"] = Setting(rest=f"via {_first(subnet)} dev {far_device}", device=far_device)
    if interface.addresses6:
        settings |= _settings6(here, there, interface, index)
    return settings


def _settings6(here: str, there: str, interface: Interface, index: int) -> Iterator[tuple[Key, Setting]]:
    """The router has one link-local address towards all, and knows where each interface is and nothing else."""
    device, far_device = names.interface_device(interface.id), names.machine_device(index)
    yield (here, "address", f"{ROUTER6}/64 dev {device}"), Setting(rest="nodad", device=device)
    for address in interface.addresses6:
        yield (here, "route", f"{address}/128"), Setting(rest=f"dev {device}", device=device)
        yield (there, "address", f"{address}/128"), Setting(rest=f"dev {far_device} nodad", device=far_device)
    if index == 0:
        yield (there, "route", "::/0"), Setting(rest=f"via {ROUTER6} dev {far_device}", device=far_device)


def _table(here: str, subnet: Subnet, attached: Mapping[str, Interface], network: Network) -> dict[Key, Setting]:
    """A subnet's own table. What is local goes on to the main table, which knows the interfaces and nothing else."""
    number = names.table(subnet.id)
    nothing = f"blackhole default metric 9999 table {number}"
    settings: dict[Key, Setting] = {(here, "route", nothing): Setting()}
    local = (Route(destination=cidr, kind="local", target="") for cidr in network.cidrs)
    for route in (*local, *subnet.routes):
        if ":" in route.destination:  # the fabric carries IPv4 alone
            continue
        kind, rest, device = _hop(route, attached, network)
        # A key holds the kind of route too: the kernel tells `throw` from a plain one only by replacing it.
        settings[here, "route", f"{kind}{route.destination} table {number}"] = Setting(rest=rest, device=device)
    return settings


def _hop(route: Route, attached: Mapping[str, Interface], network: Network) -> tuple[str, str, str]:
    """The type before the destination, what follows it, and the device that it hangs on."""
    match route.kind:
        case "local":
            return "throw ", "", ""
        case "internet":
            return "", f"via {names.link_addresses(network.id)[0]} dev {names.UPLINK} onlink", names.UPLINK
        case "interface" if route.target in attached:
            device = names.interface_device(route.target)
            return "", f"via {attached[route.target].addresses[0]} dev {device} onlink", device
        case "endpoint" if any(e.id == route.target for e in network.endpoints):
            device = names.endpoint_device(route.target)
            return "", f"dev {device}", device
        case "blackhole" | "interface" | "endpoint":  # the last two without their target, as on a real cloud
            return "blackhole ", "", ""


def _endpoint_cable(here: str, there: str, endpoint: Endpoint) -> Cable:
    return Cable(
        near=here,
        near_device=names.endpoint_device(endpoint.id),
        far=there,
        far_device=names.UPLINK,
        mtu=names.ENDPOINT_MTU,
    )


def _endpoint_settings(here: str, there: str, endpoint: Endpoint) -> dict[Key, Setting]:
    """The endpoint holds its prefixes as addresses of its own, and sends everything back the way it came."""
    device = names.endpoint_device(endpoint.id)
    near, _ = names.link_addresses(endpoint.id)
    settings: dict[Key, Setting] = {
        (here, "address", f"{near}/32"): Setting(rest=f"dev {device}", device=device),
        (there, "route", "default"): Setting(rest=f"via {near} dev {names.UPLINK} onlink", device=names.UPLINK),
    }
    for prefix in endpoint.prefixes:
        settings[there, "route", f"local {prefix} table local"] = Setting(rest="dev lo")
    return settings


def _first(subnet: Subnet) -> str:
    return str(ipaddress.ip_network(subnet.cidr)[1])
