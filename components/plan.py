"""Settings -> Plan: addresses, zones, rules and names. Pure arithmetic, no cloud: read this first.

A slot is a place for a gateway, one a zone, with addresses that never move: adding a zone moves no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from string import ascii_lowercase
from typing import Literal

from components.checks import SUBNET_BITS, gateway_block
from components.ipv6 import prefix6
from components.models import Settings, Tenant
from components.sources import SourcePool, pools, prefixes

# The network is cut into 16: gateways' subnets from the first half, private ones from the second, eight zones at most.
PRIVATE_HALF = 8
# The host number of a gateway in its subnet: AWS keeps the first four and the last (a /28 is the smallest subnet).
GATEWAY_HOST = 10
# Of the address that the floating public one leads to, where a slot's gateway serves.
FLOATING_HOST = 11
ANYWHERE = "0.0.0.0/0"
# https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html: of every network, whatever its addresses.
RESOLVER = "169.254.169.253"


@dataclass(frozen=True, kw_only=True)
class SlotPlan:
    """A place for a gateway that outlives gateways. Addresses and networks as text."""

    name: str  # "a", "b", …
    number: int  # from 0; of its public subnet by IPv6, where there is any, and with PRIVATE_HALF of the private one
    zone: str
    public_subnet: str
    private_subnet: str
    private_address: str
    floating_address: str | None  # private, the interface's second: the floating public one leads to it
    source_prefixes: tuple[str, ...]  # delegated to its interface
    sources: Mapping[str, SourcePool]  # tenant -> what its traffic leaves from


@dataclass(frozen=True, kw_only=True)
class FilterRule:
    """Lets traffic of a gateway through. `other` is the other side: a network as text, the gateways themselves, the
    endpoints of the storage or of the registry, or the interface endpoints of the other services."""

    name: str
    direction: Literal["in", "out"]
    protocol: Literal["tcp", "udp", "any"]
    ports: tuple[int, int] | None  # first and last, None for all
    other: str | Literal["gateways", "storage", "registry", "endpoints"]  # a network of either family
    description: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where everything goes."""

    name: str  # begins every name
    slots: tuple[SlotPlan, ...]
    rules: tuple[FilterRule, ...]
    gateway_address: str  # of the service, inside the tunnel, the same on each gateway
    prefix6: str  # of IPv6 addresses inside the tunnel; empty: it has IPv4 alone
    zones: tuple[str, ...]  # whose names the gateways answer peers for, sorted
    storage_zone: str  # the same, where that name leads to the storage's private endpoint; or empty
    port: int  # public; +1 the service's socket, +2 the way's, +3 the pair channel's
    table: str
    service_secret: str
    discovery: str  # name of the discovery record

    @property
    def all_zones(self) -> tuple[str, ...]:
        """Empty: the gateways answer for no names."""
        return tuple(sorted({*self.zones, self.storage_zone} - {""}))

    def gateway_name(self, slot: str) -> str:
        """Of the slot's role, template, group and interface."""
        return f"{self.name}-gateway-{slot}"


def plan(settings: Settings) -> Plan:
    """Places everything that `settings` asks for. Settings are sound (components.settings); nothing fails here."""
    name = f"twinlock-{settings.environment}"
    return Plan(
        name=name,
        slots=tuple(_slots(settings)),
        rules=tuple(_rules(settings)),
        gateway_address=str(next(gateway_block(settings.tunnel.range).hosts())),
        prefix6=str(prefix6(settings.environment, settings.tunnel) or ""),
        zones=tuple(sorted(settings.tunnel.dns.zones)) if settings.tunnel.dns else (),
        storage_zone=_storage_zone(settings),
        port=settings.tunnel.port,
        table=name,
        service_secret=f"twinlock/{settings.environment}/service",
        discovery=f"/twinlock/{settings.environment}/discovery",
    )


def bucket_name(environment: str, bucket: str, suffix: str) -> str:
    """Bucket names are global: `suffix` is the environment's random one."""
    return f"twinlock-{environment}-{bucket}-{suffix}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a bucket that is one tenant's alone."""

    tenant: str
    prefix: str  # of its keys, ends with a slash
    sources: tuple[str, ...]  # CIDRs, on all gateways
    principals: tuple[str, ...]  # ARNs


def admitted(settings: Settings, bucket: str) -> tuple[str, ...]:
    """The principals (ARNs) of the tenants that may use the whole of `bucket`, each once."""
    tenants = [tenant for _, tenant in _tenants_of(settings, bucket) if tenant.prefix is None]
    return tuple(sorted({arn for tenant in tenants for arn in tenant.principals}))


def parts(settings: Settings, slots: Sequence[SlotPlan], bucket: str) -> tuple[Part, ...]:
    """The tenants' own parts of `bucket`."""
    return tuple(
        Part(
            tenant=name,
            prefix=tenant.prefix,
            sources=tuple(network for slot in slots for network in slot.sources[name].networks),
            principals=tuple(sorted(set(tenant.principals))),
        )
        for name, tenant in _tenants_of(settings, bucket)
        if tenant.prefix is not None
    )


def _tenants_of(settings: Settings, bucket: str) -> Iterator[tuple[str, Tenant]]:
    for name, tenant in sorted(settings.tenants.items()):
        if tenant.buckets is None or bucket in tenant.buckets:
            yield name, tenant


def way_secret(environment: str, slot: str) -> str:
    return f"twinlock/{environment}/way-{slot}"


def _storage_zone(settings: Settings) -> str:
    """Of the interface endpoints the storage's alone: the other APIs are the gateways', and no tenant reaches them."""
    private = settings.tunnel.dns is not None and settings.network.interface_endpoints
    return f"s3.{settings.region}.amazonaws.com" if private else ""


def _slots(settings: Settings) -> Iterator[SlotPlan]:
    subnets = tuple(settings.network.cidr.subnets(prefixlen_diff=SUBNET_BITS))
    for index, zone in enumerate(settings.network.zones):
        public, private = subnets[index], subnets[PRIVATE_HALF + index]
        yield SlotPlan(
            name=ascii_lowercase[index],
            number=index,
            zone=zone,
            public_subnet=str(public),
            private_subnet=str(private),
            private_address=str(public[GATEWAY_HOST]),
            floating_address=str(public[FLOATING_HOST]) if settings.gateway.floating else None,
            source_prefixes=prefixes(settings.tenants, public),
            sources=dict(pools(settings.tenants, public)),
        )


def _rules(settings: Settings) -> Iterator[FilterRule]:
    port = settings.tunnel.port
    for client in sorted(set(settings.tunnel.client_ranges)):
        yield _rule(f"tunnel-in-{_label(client)}", "in", "udp", (port, port), str(client), "clients of the tunnel")
        # A gateway calls its clients, at whatever port their address translation gave them.
        yield _rule(f"tunnel-out-{_label(client)}", "out", "udp", (0, 65535), str(client), "calls to clients")
    yield _rule("pair-in", "in", "udp", (port + 3, port + 3), "gateways", "pair channel")
    yield _rule("pair-out", "out", "udp", (port + 3, port + 3), "gateways", "pair channel")
    yield from _apis(settings)
    if settings.gateway.stock_image:
        yield _rule("mirror-out", "out", "tcp", (80, 80), ANYWHERE, "packages, until bootstrapped")
    yield from _destinations(settings)


def _apis(settings: Settings) -> Iterator[FilterRule]:
    """443, which nftables on the box narrows to root and the agent. Most APIs have no prefix list: without interface
    endpoints it is to anywhere."""
    if not settings.network.interface_endpoints:
        yield _rule("api-out", "out", "tcp", (443, 443), ANYWHERE, "APIs and storage")
        return
    for other in ("storage", "registry", "endpoints"):
        yield _rule(f"{other}-out", "out", "tcp", (443, 443), other, f"{other} inside the network")


def _destinations(settings: Settings) -> Iterator[FilterRule]:
    """What tenants were given beside storage: each destination once, however many tenants share it."""
    tenants = settings.tenants.values()
    if any(tenant.internet for tenant in tenants):
        # A group can't say "but not there": what is private, nftables on the box keeps back.
        yield _rule("internet-out", "out", "any", None, ANYWHERE, "internet of a tenant")
    services = {(item.cidr, item.port, item.protocol): item for tenant in tenants for item in tenant.services}
    for _, item in sorted(services.items(), key=lambda entry: (_order(entry[1].cidr), entry[0][1:])):
        name = f"service-out-{_label(item.cidr)}-{item.protocol}-{item.port}"
        yield _rule(name, "out", item.protocol, (item.port, item.port), str(item.cidr), "service of a tenant")
    for cidr in sorted({cidr for tenant in tenants for cidr in tenant.cidrs}, key=_order):
        yield _rule(f"network-out-{_label(cidr)}", "out", "any", None, str(cidr), "network of a tenant")


def _rule(
    name: str,
    direction: Literal["in", "out"],
    protocol: Literal["tcp", "udp", "any"],
    ports: tuple[int, int] | None,
    other: str,
    description: str,
) -> FilterRule:
    return FilterRule(
        name=name, direction=direction, protocol=protocol, ports=ports, other=other, description=description
    )


def _order(network: IPv4Network | IPv6Network) -> tuple[int, int, int]:
    """IPv4 first; the two can't be compared."""
    return network.version, int(network.network_address), network.prefixlen


def _label(network: IPv4Network | IPv6Network) -> str:
    return str(network).replace("/", "-").replace(":", "-")
