"""What must hold between the values of the configuration. Each check takes what is sound and yields what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations

from components import ipv6
from components.errors import Problem
from components.models import Gateway, Network, Registry, Storage, Tenant, Tunnel
from components.sources import ADDRESSES_PER_INTERFACE, prefixes_in, prefixes_needed
from twinlock.registry.policies import AUTO_TENANTS_LIMIT

# The network is cut into 16 subnets.
SUBNET_BITS = 4
# The first addresses of the tunnel's range are the gateways': the service's own, and room for more.
GATEWAY_BLOCK_PREFIX = 28
# AWS, "Amazon VPC quotas": 60 rules a direction of a security group; six are the environment's own (the one to the
# internet is the sixth), 20 the clients'.
SERVICES_LIMIT = 34
# AWS, "Bucket naming rules": 3 to 63 characters; "twinlock-ENV-NAME-" and eight of a random suffix.
BUCKET_LIMIT = 63
# Never a destination: the metadata and platform services of the clouds.
# S3, "Bucket policies": 20 KB. A tenant's own part takes 1.2 KB at most, and an existing bucket's own statements stay.
PARTS_LIMIT = 8
# RFC 6762, appendix G, and ICANN's reserved one: names of one part that are no public zone.
PRIVATE_ZONES = frozenset({"intranet", "internal", "private", "corp", "home", "lan"})
METADATA = (IPv4Network("169.254.0.0/16"), IPv4Network("168.63.129.16/32"))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The configuration's objects, None where one is wrong by itself."""

    environment: str | None
    region: str | None
    network: Network | None
    tunnel: Tunnel | None
    gateway: Gateway | None
    storage: Storage | None
    tenants: Mapping[str, Tenant] | None
    registry: Registry | None


def gateway_block(tunnel_range: IPv4Network) -> IPv4Network:
    """The addresses of the tunnel's range that no tenant may have."""
    return IPv4Network((tunnel_range.network_address, GATEWAY_BLOCK_PREFIX))


def across(parts: Parts) -> Iterator[Problem]:
    """Everything that is wrong between the parts."""
    network, tunnel, storage, tenants = parts.network, parts.tunnel, parts.storage, parts.tenants
    if network is not None:
        yield from _sizes("twinlock:network.cidr", network.cidr, 16, 24)
        yield from _zones(network, parts.region)
        yield from _adoption(network)
    if tunnel is not None:
        yield from _sizes("twinlock:tunnel.range", tunnel.range, 8, 24)
        yield from ipv6.check(parts.environment, tunnel)
        yield from _zones_of_names(tunnel, network)
    if network is not None and tunnel is not None:
        yield from _apart(
            ("twinlock:network.cidr", network.cidr), ("twinlock:tunnel.range", tunnel.range), "choose another network"
        )
        yield from ipv6.check_network(network, ipv6.prefix6(parts.environment or "", tunnel))
    if storage is not None:
        yield from _buckets(storage, parts.environment)
    if tenants is not None:
        yield from _tenants(tenants)
        if tunnel is not None and network is not None:
            yield from _by_ipv6(tenants, network, ipv6.prefix6(parts.environment or "", tunnel))
        if tunnel is not None:
            yield from _tenants_in_tunnel(tenants, tunnel.range)
            yield from _full_tunnels(tenants, tunnel)
        if storage is not None:
            yield from _tenants_buckets(tenants, storage)
            yield from _parts(tenants, storage)
        if network is not None:
            yield from _room_for_sources(tenants, network.cidr)
        if parts.gateway is not None:
            yield from _interface_for_sources(tenants, parts.gateway)
    if parts.gateway is not None:
        yield from _endpoints(parts.gateway)


def _endpoints(gateway: Gateway) -> Iterator[Problem]:
    key, modes = "twinlock:gateway.endpoints", gateway.endpoints
    if "ways" not in modes:
        yield _problem(key, list(modes), "lacks ways, which every environment has", "write [ways, floating-ip]")
    if len(set(modes)) < len(modes):
        yield _problem(key, list(modes), "names a mode twice", "name each mode once")


def _sizes(key: str, network: IPv4Network, largest: int, smallest: int) -> Iterator[Problem]:
    if not largest <= network.prefixlen <= smallest:
        yield _problem(key, network, f"must be /{largest} to /{smallest}", "choose another size")
    if not network.is_private and not network.subnet_of(IPv4Network("100.64.0.0/10")):
        yield _problem(key, network, "is public address space", "choose a part of 10.0.0.0/8, 172.16.0.0/12 or alike")
    if any(network.overlaps(reserved) for reserved in METADATA):
        yield _problem(key, network, "holds addresses of the cloud itself", "choose another network")


def _adoption(network: Network) -> Iterator[Problem]:
    if network.adopt and network.vpc_id is None:
        mend = "name it in twinlock:network.vpc_id, or leave adopt out"
        yield _problem("twinlock:network.adopt", "true", "names no VPC to adopt", mend)


def _zones(network: Network, region: str | None) -> Iterator[Problem]:
    key, zones = "twinlock:network.zones", network.zones
    if len(zones) < 2:
        yield _problem(key, list(zones), "is fewer than two zones", "name two, such as [eu-west-1a, eu-west-1b]")
    if len(set(zones)) < len(zones):
        yield _problem(key, list(zones), "names a zone twice", "name each zone once")
    for index, zone in enumerate(zones):
        if region is not None and zone[:-1] != region:
            yield _problem(f"{key}[{index}]", zone, f"is not in {region}", f"name a zone such as {region}a")


def _zones_of_names(tunnel: Tunnel, network: Network | None) -> Iterator[Problem]:
    if tunnel.dns is None:
        return
    key, zones = "twinlock:tunnel.dns.zones", tunnel.dns.zones
    if not zones and network is not None and not network.interface_endpoints:
        yield _problem(key, [], "names no zone", "name at least one, such as [corp.internal], or leave out tunnel.dns")
    if len(set(zones)) < len(zones):
        yield _problem(key, list(zones), "names a zone twice", "name each zone once")
    for index, zone in enumerate(zones):
        *_, last = labels = zone.split(".")
        if last == "local":
            rule = "is for multicast (RFC 6762): clients do not ask a server for it"
            yield _problem(f"{key}[{index}]", zone, rule, "choose another zone, such as corp.internal")
        elif len(labels) == 1 and zone not in PRIVATE_ZONES:
            rule = "is a whole top-level domain, which gateways answer nobody for"
            yield _problem(f"{key}[{index}]", zone, rule, "name the private zone itself, such as corp.internal")


def _apart(one: tuple[str, IPv4Network], other: tuple[str, IPv4Network | IPv6Network], mend: str) -> Iterator[Problem]:
    if one[1].overlaps(other[1]):
        yield _problem(other[0], other[1], f"overlaps {one[0]} ({one[1]})", mend)


def _buckets(storage: Storage, environment: str | None) -> Iterator[Problem]:
    key = "twinlock:storage.buckets"
    if not storage.names:
        yield _problem(key, [], "names no bucket", "name at least one, such as [data], here or in storage.existing")
    if len(set(storage.names)) < len(storage.names):
        yield _problem(key, list(storage.names), "names a bucket twice", "name each bucket once")
    if len(set(storage.existing.values())) < len(storage.existing):
        names = list(storage.existing.values())
        yield _problem("twinlock:storage.existing", names, "names a bucket twice", "name each bucket once")
    for index, bucket in enumerate(storage.adopt):
        if bucket not in storage.existing:
            rule, mend = "is no bucket of storage.existing", "name it there, with its whole name"
            yield _problem(f"twinlock:storage.adopt[{index}]", bucket, rule, mend)
    if len(set(storage.adopt)) < len(storage.adopt):
        yield _problem("twinlock:storage.adopt", list(storage.adopt), "names a bucket twice", "name each bucket once")
    if "agent" in storage.existing:
        yield _problem("twinlock:storage.existing.agent", "agent", "is the gateways' own bucket", "choose another name")
    for index, bucket in enumerate(storage.buckets):
        if bucket == "agent":
            yield _problem(f"{key}[{index}]", bucket, "is the name of the gateways' own bucket", "choose another name")
        name = f"twinlock-{environment or ''}-{bucket}-00000000"
        if len(name) > BUCKET_LIMIT:
            yield _problem(f"{key}[{index}]", bucket, f"makes a name of over {BUCKET_LIMIT}", "choose a shorter name")


def _tenants(tenants: Mapping[str, Tenant]) -> Iterator[Problem]:
    if not tenants:
        yield _problem("twinlock:tenants", "{}", "names no tenant", "name at least one, such as {red: {range: …}}")
    for (name, tenant), (other, second) in combinations(tenants.items(), 2):
        key = f"twinlock:tenants.{other}.range"
        yield from _apart((f"twinlock:tenants.{name}.range", tenant.range), (key, second.range), "give each its own")
    auto = sum(tenant.approval == "auto" for tenant in tenants.values())
    if auto > AUTO_TENANTS_LIMIT:
        rule = f"is more than the {AUTO_TENANTS_LIMIT} that the enrollers' policy has room for"
        yield _problem("twinlock:tenants", f"{auto} with approval auto", rule, "let somebody approve for some of them")
    services = {(item.cidr, item.port, item.protocol) for tenant in tenants.values() for item in tenant.services}
    networks = {cidr for tenant in tenants.values() for cidr in tenant.cidrs}
    if len(services) + len(networks) > SERVICES_LIMIT:
        count = len(services) + len(networks)
        yield _problem(
            "twinlock:tenants", f"{count} destinations", f"is over {SERVICES_LIMIT}", "join them in networks"
        )
    for name, tenant in tenants.items():
        yield from _destinations(f"twinlock:tenants.{name}", tenant)


def _destinations(key: str, tenant: Tenant) -> Iterator[Problem]:
    named = [(f"{key}.services[{index}].cidr", service.cidr) for index, service in enumerate(tenant.services)]
    named += [(f"{key}.cidrs[{index}]", cidr) for index, cidr in enumerate(tenant.cidrs)]
    for place, cidr in named:
        if any(cidr.overlaps(reserved) for reserved in METADATA):
            yield _problem(place, cidr, "holds addresses of the cloud itself", "name only what peers may reach")
    names = [service.name for service in tenant.services]
    if len(set(names)) < len(names):
        yield _problem(f"{key}.services", names, "names a service twice", "name each service once")
    for name, meaning in (("storage", "the storage"), ("internet", "the internet")):
        if name in names:
            yield _problem(f"{key}.services", name, f"is the name of {meaning} itself", "choose another name")


def _tenants_in_tunnel(tenants: Mapping[str, Tenant], tunnel_range: IPv4Network) -> Iterator[Problem]:
    reserved = gateway_block(tunnel_range) if tunnel_range.prefixlen <= GATEWAY_BLOCK_PREFIX else tunnel_range
    for name, tenant in tenants.items():
        key = f"twinlock:tenants.{name}.range"
        if tenant.range.prefixlen > 29:
            yield _problem(key, tenant.range, "has no room for peers", "choose /29 or larger")
        if not tenant.range.subnet_of(tunnel_range):
            yield _problem(key, tenant.range, f"is not inside twinlock:tunnel.range ({tunnel_range})", "choose a part")
        elif tenant.range.overlaps(reserved):
            yield _problem(key, tenant.range, f"holds the gateways' own addresses ({reserved})", "choose a later part")
        for place, cidr in _reached(name, tenant):
            yield from _apart(("twinlock:tunnel.range", tunnel_range), (place, cidr), "name what is outside the tunnel")


def _full_tunnels(tenants: Mapping[str, Tenant], tunnel: Tunnel) -> Iterator[Problem]:
    for name, tenant in tenants.items():
        if tenant.internet and not tunnel.ipv6:
            rule = "would have clients wait for IPv6: only where the tunnel has it, gateways can say that there is none"
            yield _problem(f"twinlock:tenants.{name}.internet", "true", rule, "set twinlock:tunnel.ipv6 to true")


def _by_ipv6(tenants: Mapping[str, Tenant], network: Network, used: IPv6Network | None) -> Iterator[Problem]:
    for name, tenant in tenants.items():
        for place, cidr in _reached(name, tenant):
            if isinstance(cidr, IPv6Network):
                yield from ipv6.check_destination(place, cidr, network.ipv6, used)


def _reached(name: str, tenant: Tenant) -> Iterator[tuple[str, IPv4Network | IPv6Network]]:
    for index, service in enumerate(tenant.services):
        yield f"twinlock:tenants.{name}.services[{index}].cidr", service.cidr
    for index, cidr in enumerate(tenant.cidrs):
        yield f"twinlock:tenants.{name}.cidrs[{index}]", cidr


def _tenants_buckets(tenants: Mapping[str, Tenant], storage: Storage) -> Iterator[Problem]:
    for name, tenant in tenants.items():
        for index, bucket in enumerate(tenant.buckets or ()):
            if bucket not in storage.names:
                key = f"twinlock:tenants.{name}.buckets[{index}]"
                yield _problem(key, bucket, "is not in twinlock:storage", f"name one of {list(storage.names)}")


def _parts(tenants: Mapping[str, Tenant], storage: Storage) -> Iterator[Problem]:
    """Tenants' own parts of the buckets."""
    own = {name: tenant for name, tenant in tenants.items() if tenant.prefix is not None}
    for name, tenant in own.items():
        if tenant.source_address == "gateway":
            rule = "can't be told from other tenants, which leave from the gateway's address too"
            yield _problem(f"twinlock:tenants.{name}.prefix", tenant.prefix, rule, "set source_address to tenant")
    for (name, tenant), (other, second) in combinations(own.items(), 2):
        one, two = tenant.prefix or "", second.prefix or ""
        if (one.startswith(two) or two.startswith(one)) and _buckets_of(tenant, storage) & _buckets_of(second, storage):
            rule = f"is not apart from twinlock:tenants.{name}.prefix ({one})"
            yield _problem(f"twinlock:tenants.{other}.prefix", two, rule, "give each its own")
    for bucket in storage.names:
        count = sum(bucket in _buckets_of(tenant, storage) for tenant in own.values())
        if count > PARTS_LIMIT:
            rule = f"is more than the {PARTS_LIMIT} that the policy of bucket {bucket} has room for"
            yield _problem("twinlock:tenants", f"{count} prefixes", rule, "spread them over buckets")


def _buckets_of(tenant: Tenant, storage: Storage) -> set[str]:
    return set(storage.names if tenant.buckets is None else tenant.buckets)


def _room_for_sources(tenants: Mapping[str, Tenant], cidr: IPv4Network) -> Iterator[Problem]:
    needed, room = prefixes_needed(tenants), prefixes_in(cidr.prefixlen + SUBNET_BITS)
    if needed > room:
        rule = f"has room for {room} blocks of 16 source addresses in a gateway's subnet; the tenants want {needed}"
        mend = "choose a larger network, or set source_address of tenants to gateway"
        yield _problem("twinlock:network.cidr", cidr, rule, mend)


def _interface_for_sources(tenants: Mapping[str, Tenant], gateway: Gateway) -> Iterator[Problem]:
    """The floating address takes as much of the interface as a block does."""
    taken, floating = 1 + gateway.floating, " beside the floating address" if gateway.floating else ""
    needed, room = prefixes_needed(tenants), ADDRESSES_PER_INTERFACE[gateway.instance_type] - taken
    if needed > room:
        rule = f"holds {room} blocks of 16 source addresses on its interface{floating}; the tenants want {needed}"
        mend = "choose a larger type, or fewer source_addresses of tenants"
        yield _problem("twinlock:gateway.instance_type", gateway.instance_type, rule, mend)


def _problem(key: str, value: object, rule: str, mend: str) -> Problem:
    return Problem(key=key, value=str(value), rule=rule, mend=mend)
