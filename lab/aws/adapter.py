"""From what the EC2 API describes to the cloud-neutral topology that the fabric makes true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lab.aws.addresses import Target
from lab.aws.instances import Instance
from lab.aws.launcher import Launcher
from lab.aws.launcher_values import Backend, Document, flag, number, record, records, text, texts
from lab.topology import Endpoint, Interface, Machine, Network, PrivateEndpoint, Route, Rule, Subnet, Topology

Protocol = Literal["tcp", "udp", "icmp", "any"]
# IANA's numbers beside the names that the API takes.
PROTOCOLS: Mapping[str, Protocol] = {
    "tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "icmp": "icmp", "1": "icmp", "-1": "any", "all": "any",
    "icmpv6": "icmp", "58": "icmp",
}  # fmt: skip
ENDPOINT_SERVICES: Mapping[str, Literal["s3", "dynamodb"]] = {"s3": "s3", "dynamodb": "dynamodb"}


class UnrealisableError(Exception):
    """The account holds something that the fabric can't make: named, so that the lab never silently differs."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """The describe calls' results, as they came."""

    networks: tuple[Document, ...]
    subnets: tuple[Document, ...]
    route_tables: tuple[Document, ...]
    internet_gateways: tuple[Document, ...]
    endpoints: tuple[Document, ...]
    acls: tuple[Document, ...]
    groups: tuple[Document, ...]
    interfaces: tuple[Document, ...]
    prefix_lists: Mapping[str, tuple[str, ...]]  # id -> IPv4 CIDRs
    prefix_list_names: Mapping[str, str]  # com.amazonaws.REGION.s3 -> id
    addresses: Mapping[str, Target]  # public address -> where it leads now
    machines: tuple[Instance, ...]


def read_topology(backend: Backend, launcher: Launcher) -> Topology:
    """The whole cloud as it should be now. Raises UnrealisableError."""
    return topology(describe(backend, launcher))


def describe(backend: Backend, launcher: Launcher) -> Described:
    # First: what is launched later has interfaces that are described later.
    machines = launcher.running()

    def ask(action: str, key: str) -> tuple[Document, ...]:
        return records(backend("ec2", action, {}), key)

    lists = {text(item, "PrefixListName"): text(item, "PrefixListId") for item in _prefix_lists(backend)}
    endpoints, groups = (
        records(launcher.endpoints.describe({}), "VpcEndpoints"),
        ask("DescribeSecurityGroups", "SecurityGroups"),
    )
    tables = ask("DescribeRouteTables", "RouteTables")
    wanted = _referenced_lists(endpoints, groups, tables, lists)
    return Described(
        networks=ask("DescribeVpcs", "Vpcs"),
        subnets=ask("DescribeSubnets", "Subnets"),
        route_tables=tables,
        internet_gateways=ask("DescribeInternetGateways", "InternetGateways"),
        endpoints=endpoints,
        acls=ask("DescribeNetworkAcls", "NetworkAcls"),
        groups=groups,
        interfaces=tuple(launcher.interfaces.all().values()),
        prefix_lists={item: _entries(backend, item) for item in sorted(wanted)},
        prefix_list_names=lists,
        addresses=launcher.addresses.effective(),
        machines=machines,
    )


def topology(seen: Described) -> Topology:
    networks = tuple(_network(seen, item) for item in _sorted(seen.networks, "VpcId") if _matters(seen, item))
    present = {text(item, "NetworkInterfaceId") for item in seen.interfaces}
    machines = [
        Machine(id=item.id, interfaces=tuple(a.interface for a in sorted(item.attachments, key=lambda a: a.device)))
        for item in seen.machines
    ]
    # An instance may have ended, and its interface gone, between two of the describe calls.
    return Topology(networks=networks, machines=tuple(item for item in machines if present.issuperset(item.interfaces)))


def _prefix_lists(backend: Backend) -> tuple[Document, ...]:
    return records(backend("ec2", "DescribeManagedPrefixLists", {}), "PrefixLists")


def _entries(backend: Backend, prefix_list: str) -> tuple[str, ...]:
    found = records(backend("ec2", "GetManagedPrefixListEntries", {"PrefixListId": prefix_list}), "Entries")
    return tuple(sorted(text(item, "Cidr") for item in found if ":" not in text(item, "Cidr")))


def _referenced_lists(
    endpoints: Iterable[Document], groups: Iterable[Document], tables: Iterable[Document], lists: Mapping[str, str]
) -> set[str]:
    """Only lists that something names are read: each is a call."""
    named = {lists[text(item, "ServiceName")] for item in endpoints if text(item, "ServiceName") in lists}
    for group in groups:
        for permission in (*records(group, "IpPermissions"), *records(group, "IpPermissionsEgress")):
            named |= {text(item, "PrefixListId") for item in records(permission, "PrefixListIds")}
    for table in tables:
        named |= {text(route, "DestinationPrefixListId") for route in records(table, "Routes")}
    return named - {""}


def _matters(seen: Described, network: Document) -> bool:
    """The account's default network is realised only when something is in it."""
    name = text(network, "VpcId")
    return not flag(network, "IsDefault") or any(text(item, "VpcId") == name for item in seen.interfaces)


def _network(seen: Described, network: Document) -> Network:
    name = text(network, "VpcId")

    def own(items: Iterable[Document], key: str) -> list[Document]:
        return _sorted([item for item in items if text(item, "VpcId") == name], key)

    associated = [text(item, "CidrBlock") for item in records(network, "CidrBlockAssociationSet")]
    cidrs = tuple(dict.fromkeys([text(network, "CidrBlock"), *associated]))
    return Network(
        id=name,
        cidrs=cidrs,
        subnets=tuple(_subnet(seen, item, cidrs) for item in own(seen.subnets, "SubnetId")),
        endpoints=tuple(
            _endpoint(seen, item) for item in own(seen.endpoints, "VpcEndpointId") if _is_gateway_endpoint(item)
        ),
        private_endpoints=tuple(
            _private_endpoint(seen, item)
            for item in own(seen.endpoints, "VpcEndpointId")
            if text(item, "VpcEndpointType") == "Interface" and text(item, "State") != "deleted"
        ),
        host_zone=_host_zone(seen, name),
        interfaces=tuple(_interface(seen, item) for item in own(seen.interfaces, "NetworkInterfaceId")),
    )


def _host_zone(seen: Described, network: str) -> str:
    """https://docs.aws.amazon.com/vpc/latest/userguide/AWS-EC2-hostname-types.html: REGION.compute.internal."""
    zones = {text(subnet, "AvailabilityZone") for subnet in seen.subnets if text(subnet, "VpcId") == network}
    return f"{min(zones)[:-1]}.compute.internal" if zones else ""


def _subnet(seen: Described, subnet: Document, cidrs: tuple[str, ...]) -> Subnet:
    name, network = text(subnet, "SubnetId"), text(subnet, "VpcId")
    return Subnet(
        id=name,
        zone=text(subnet, "AvailabilityZone"),
        cidr=text(subnet, "CidrBlock"),
        routes=_routes(seen, _table(seen, name, network), network, cidrs),
        acl=_acl(seen, name),
    )


def _table(seen: Described, subnet: str, network: str) -> Document:
    """The table that the subnet is associated with, or the network's main one."""
    tables = [table for table in seen.route_tables if text(table, "VpcId") == network]
    for table in tables:
        if any(text(item, "SubnetId") == subnet for item in records(table, "Associations")):
            return table
    return next(t for t in tables if any(flag(item, "Main") for item in records(t, "Associations")))


def _routes(seen: Described, table: Document, network: str, cidrs: tuple[str, ...]) -> tuple[Route, ...]:
    found = [Route(destination=cidr, kind="local", target="") for cidr in cidrs]
    for route in records(table, "Routes"):
        kind, target = _target(seen, route, network)
        if kind not in ("local", "endpoint"):
            found += [Route(destination=cidr, kind=kind, target=target) for cidr in _destinations(seen, route)]
    # An endpoint's routes are those of the tables that it names, whatever the tables themselves show.
    for endpoint in seen.endpoints:
        if _is_gateway_endpoint(endpoint) and text(table, "RouteTableId") in texts(endpoint, "RouteTableIds"):
            name = text(endpoint, "VpcEndpointId")
            found += [
                Route(destination=cidr, kind="endpoint", target=name) for cidr in _endpoint(seen, endpoint).prefixes
            ]
    return tuple(sorted(set(found), key=lambda item: (item.destination, item.kind, item.target)))


def _destinations(seen: Described, route: Document) -> tuple[str, ...]:
    if text(route, "DestinationIpv6CidrBlock"):
        raise UnrealisableError(
            f"route {dict(route)} leads out by IPv6, which the lab's fabric carries inside a network"
        )
    if text(route, "DestinationPrefixListId"):
        return seen.prefix_lists[text(route, "DestinationPrefixListId")]
    return (text(route, "DestinationCidrBlock"),) if text(route, "DestinationCidrBlock") else ()


def _target(
    seen: Described, route: Document, network: str
) -> tuple[Literal["local", "internet", "interface", "endpoint", "blackhole"], str]:
    gateway, interface, instance = (text(route, key) for key in ("GatewayId", "NetworkInterfaceId", "InstanceId"))
    if gateway == "local":
        return "local", ""
    if gateway.startswith("vpce-"):
        return "endpoint", gateway
    if gateway.startswith("igw-"):
        return ("internet", "") if _attached(seen, gateway, network) else ("blackhole", "")
    if interface:
        present = any(text(item, "NetworkInterfaceId") == interface for item in seen.interfaces)
        return ("interface", interface) if present else ("blackhole", "")
    if instance:
        first = next((item.attachments[0].interface for item in seen.machines if item.id == instance), "")
        return ("interface", first) if first else ("blackhole", "")
    if text(route, "State") == "blackhole":
        return "blackhole", ""
    raise UnrealisableError(f"route {dict(route)} leads to what the lab's fabric does not have: remove the route")


def _attached(seen: Described, gateway: str, network: str) -> bool:
    return any(
        text(item, "InternetGatewayId") == gateway
        and any(text(place, "VpcId") == network for place in records(item, "Attachments"))
        for item in seen.internet_gateways
    )


def _is_gateway_endpoint(endpoint: Document) -> bool:
    return text(endpoint, "VpcEndpointType", "Gateway") == "Gateway" and text(endpoint, "State") != "deleted"


def _endpoint(seen: Described, endpoint: Document) -> Endpoint:
    full = text(endpoint, "ServiceName")
    service = full.rsplit(".", 1)[-1]
    if service not in ENDPOINT_SERVICES:
        raise UnrealisableError(
            f"{text(endpoint, 'VpcEndpointId')}: no gateway endpoint for {full}: use s3 or dynamodb"
        )
    prefixes = seen.prefix_lists[seen.prefix_list_names[full]]
    return Endpoint(id=text(endpoint, "VpcEndpointId"), service=ENDPOINT_SERVICES[service], prefixes=prefixes)


def _private_endpoint(seen: Described, endpoint: Document) -> PrivateEndpoint:
    """Its names: com.amazonaws.REGION.SERVICE -> SERVICE.REGION.amazonaws.com."""
    region, service = text(endpoint, "ServiceName").split(".", 3)[2:]
    present = {text(item, "NetworkInterfaceId") for item in seen.interfaces}
    inside = not flag(record(endpoint, "DnsOptions"), "PrivateDnsOnlyForInboundResolverEndpoint")
    return PrivateEndpoint(
        id=text(endpoint, "VpcEndpointId"),
        interfaces=tuple(item for item in texts(endpoint, "NetworkInterfaceIds") if item in present),
        names=(f"{service}.{region}.amazonaws.com",) if flag(endpoint, "PrivateDnsEnabled") and inside else (),
    )


def _acl(seen: Described, subnet: str) -> tuple[Rule, ...]:
    """The subnet's entries in order; empty when all is let through both ways, as in a network's default one."""
    found = next(
        (acl for acl in seen.acls if any(text(item, "SubnetId") == subnet for item in records(acl, "Associations"))),
        None,
    )
    if found is None:
        return ()
    ordered = sorted(records(found, "Entries"), key=lambda item: (flag(item, "Egress"), number(item, "RuleNumber", 0)))
    rules = [_acl_rule(item) for item in ordered if text(item, "CidrBlock")]
    firsts = [next((rule for rule in rules if rule.direction == way), None) for way in ("in", "out")]
    open_both = all(rule and rule.action == "allow" and _all(rule) for rule in firsts)
    return () if open_both else tuple(rules)


def _all(rule: Rule) -> bool:
    return rule.protocol == "any" and rule.cidrs == ("0.0.0.0/0",)


def _acl_rule(entry: Document) -> Rule:
    protocol = _protocol(text(entry, "Protocol"))
    ports = record(entry, "PortRange")
    return Rule(
        direction="out" if flag(entry, "Egress") else "in",
        protocol=protocol,
        ports=(number(ports, "From", 0), number(ports, "To", 65535)) if ports and protocol in ("tcp", "udp") else None,
        cidrs=(text(entry, "CidrBlock"),),
        action="allow" if text(entry, "RuleAction") == "allow" else "deny",
    )


def _interface(seen: Described, interface: Document) -> Interface:
    name = text(interface, "NetworkInterfaceId")
    public = [
        (target.private_address, address) for address, target in seen.addresses.items() if target.interface == name
    ]
    return Interface(
        id=name,
        subnet=text(interface, "SubnetId"),
        mac=text(interface, "MacAddress"),
        addresses=tuple(text(item, "PrivateIpAddress") for item in records(interface, "PrivateIpAddresses")),
        prefixes=tuple(text(item, "Ipv4Prefix") for item in records(interface, "Ipv4Prefixes")),
        public=tuple(sorted(public)),
        address_check=flag(interface, "SourceDestCheck", True),
        rules=_rules(seen, {text(item, "GroupId") for item in records(interface, "Groups")}),
        addresses6=tuple(text(item, "Ipv6Address") for item in records(interface, "Ipv6Addresses")),
    )


def _rules(seen: Described, groups: set[str]) -> tuple[Rule, ...]:
    found: set[Rule] = set()
    for group in seen.groups:
        if text(group, "GroupId") in groups:
            found |= {rule for item in records(group, "IpPermissions") for rule in _group_rules(seen, item, "in")}
            found |= {
                rule for item in records(group, "IpPermissionsEgress") for rule in _group_rules(seen, item, "out")
            }
    return tuple(sorted(found, key=lambda r: (r.direction, r.protocol, r.ports or (-1, -1), r.cidrs)))


def _group_rules(seen: Described, permission: Document, direction: Literal["in", "out"]) -> list[Rule]:
    protocol = _protocol(text(permission, "IpProtocol"))
    ports = None
    if protocol in ("tcp", "udp") and permission.get("FromPort") not in (None, -1):
        ports = (number(permission, "FromPort", 0), number(permission, "ToPort", 65535))
    cidrs = {text(item, "CidrIp") for item in records(permission, "IpRanges")}
    cidrs |= {text(item, "CidrIpv6") for item in records(permission, "Ipv6Ranges")}
    for item in records(permission, "PrefixListIds"):
        cidrs |= set(seen.prefix_lists[text(item, "PrefixListId")])
    for item in records(permission, "UserIdGroupPairs"):
        cidrs |= _members(seen, text(item, "GroupId"))
    # A reference to a group that nothing is in lets nothing through.
    return [Rule(direction=direction, protocol=protocol, ports=ports, cidrs=tuple(sorted(cidrs)))] if cidrs else []


def _members(seen: Described, group: str) -> set[str]:
    """A reference to a group means the private addresses of its interfaces ("Security group rules"), delegated ones
    too: EKS's pods have those, and the groups of their nodes ("Assign more IP addresses … with prefixes")."""
    inside = [one for one in seen.interfaces if any(text(item, "GroupId") == group for item in records(one, "Groups"))]
    addresses = {text(own, "PrivateIpAddress") for one in inside for own in records(one, "PrivateIpAddresses")}
    addresses6 = {text(own, "Ipv6Address") for one in inside for own in records(one, "Ipv6Addresses")}
    prefixes = {text(own, "Ipv4Prefix") for one in inside for own in records(one, "Ipv4Prefixes")}
    return prefixes | {f"{address}/32" for address in addresses} | {f"{address}/128" for address in addresses6}


def _protocol(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise UnrealisableError(
            f"protocol {name!r} of a rule is none that the lab's fabric filters: tcp, udp, icmp or -1"
        )
    return PROTOCOLS[name]


def _sorted(items: Iterable[Document], key: str) -> list[Document]:
    return sorted(items, key=lambda item: text(item, key))
