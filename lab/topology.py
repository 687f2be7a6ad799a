"""A cloud, as plain data: what an adapter (AWS now) reads from its API and the fabric makes true with namespaces.

Cloud-neutral: no AWS word in here. Frozen, compared by value: the fabric applies the difference of two of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Lets traffic through a stateful filter (or a stateless one, in order, where `action` counts)."""

    direction: Literal["in", "out"]
    protocol: Literal["tcp", "udp", "icmp", "any"]
    ports: tuple[int, int] | None  # first and last, None for all
    cidrs: tuple[str, ...]  # the other side; groups and prefix lists are already resolved to these
    action: Literal["allow", "deny"] = "allow"


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A network interface with its stateful filter."""

    id: str
    subnet: str
    mac: str
    addresses: tuple[str, ...]  # private IPv4, the primary first
    prefixes: tuple[str, ...]  # delegated CIDRs
    public: tuple[tuple[str, str], ...]  # (private, public) pairs, translated one to one at the network's edge
    address_check: bool  # drops what is neither from nor to its own addresses
    rules: tuple[Rule, ...]
    addresses6: tuple[str, ...] = ()  # private IPv6: between interfaces of the network, and no further


@dataclass(frozen=True, kw_only=True)
class Route:
    destination: str  # CIDR
    kind: Literal["local", "internet", "interface", "endpoint", "blackhole"]
    target: str  # id of the interface or endpoint, "" otherwise


@dataclass(frozen=True, kw_only=True)
class Subnet:
    id: str
    zone: str
    cidr: str
    routes: tuple[Route, ...]
    acl: tuple[Rule, ...]  # stateless, first match decides, empty means all is let through


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A private door from a network to a service of the cloud, by route (no address of its own)."""

    id: str
    service: Literal["s3", "dynamodb"]
    prefixes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PrivateEndpoint:
    """A private door by address: interfaces of its own in the network, and names that lead to them there."""

    id: str
    interfaces: tuple[str, ...]  # ids, of the network's own
    names: tuple[str, ...]  # host names, each with all names under it; empty when names are not changed


@dataclass(frozen=True, kw_only=True)
class Network:
    id: str
    cidrs: tuple[str, ...]
    subnets: tuple[Subnet, ...]
    endpoints: tuple[Endpoint, ...]
    private_endpoints: tuple[PrivateEndpoint, ...] = ()
    host_zone: str = ""  # where ip-10-20-0-10 is 10.20.0.10, for the network's own resolver alone
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An instance that should be running."""

    id: str
    interfaces: tuple[str, ...]  # ids, device order


@dataclass(frozen=True, kw_only=True)
class Topology:
    networks: tuple[Network, ...]
    machines: tuple[Machine, ...]
