"""What stands in an environment's firewalls and route tables and is not its own.

No refresh of Pulumi's sees it: rules and routes are resources of their own, and it looks at those that it made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

_TAG = "twinlock:environment"
_DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
_TARGETS = ("GatewayId", "NatGatewayId", "NetworkInterfaceId", "TransitGatewayId", "VpcPeeringConnectionId",
            "EgressOnlyInternetGatewayId")  # fmt: skip
Row = Mapping[str, object]


class Ec2(Protocol):
    """What is used of boto3.client("ec2")."""

    def describe_security_groups(self, **asked: object) -> Mapping[str, Sequence[Row]]: ...
    def describe_security_group_rules(self, **asked: object) -> Mapping[str, Sequence[Row]]: ...
    def describe_route_tables(self, **asked: object) -> Mapping[str, Sequence[Row]]: ...
    def revoke_security_group_ingress(self, **asked: object) -> object: ...
    def revoke_security_group_egress(self, **asked: object) -> object: ...
    def delete_route(self, **asked: object) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of a security group."""

    id: str
    group: str
    egress: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """`kind` is what EC2 calls such a destination: IPv4, IPv6 or a prefix list."""

    table: str
    kind: str
    destination: str
    text: str


def find(ec2: Ec2, environment: str) -> tuple[Rule | Route, ...]:
    own = [{"Name": f"tag:{_TAG}", "Values": [environment]}]
    groups = {str(row["GroupId"]): _name(row) for row in ec2.describe_security_groups(Filters=own)["SecurityGroups"]}
    rules: Sequence[Row] = ()
    if groups:
        of_groups = [{"Name": "group-id", "Values": sorted(groups)}]
        rules = ec2.describe_security_group_rules(Filters=of_groups)["SecurityGroupRules"]
    tables = ec2.describe_route_tables(Filters=own)["RouteTables"]
    return (*strange_rules(rules, groups, environment), *strange_routes(tables))


def remove(ec2: Ec2, stranger: Rule | Route) -> None:
    match stranger:
        case Rule(egress=True):
            ec2.revoke_security_group_egress(GroupId=stranger.group, SecurityGroupRuleIds=[stranger.id])
        case Rule():
            ec2.revoke_security_group_ingress(GroupId=stranger.group, SecurityGroupRuleIds=[stranger.id])
        case Route():
            ec2.delete_route(RouteTableId=stranger.table, **{stranger.kind: stranger.destination})


def strange_rules(rules: Sequence[Row], groups: Mapping[str, str], environment: str) -> Iterator[Rule]:
    """Those without the environment's tag. `groups`: id -> name."""
    for row in rules:
        if _tags(row).get(_TAG) == environment:
            continue
        egress, group = bool(row["IsEgress"]), str(row["GroupId"])
        other = row.get("CidrIpv4") or row.get("CidrIpv6") or row.get("PrefixListId") or "another group"
        way = "to" if egress else "from"
        text = f"unknown rule of {groups[group]}: {_what(row)} {way} {other}"
        yield Rule(id=str(row["SecurityGroupRuleId"]), group=group, egress=egress, text=text)


def _what(row: Row) -> str:
    """A rule of all protocols has no ports."""
    return "everything" if str(row["IpProtocol"]) == "-1" else f"{row['IpProtocol']} {row['FromPort']}-{row['ToPort']}"


def strange_routes(tables: Sequence[Row]) -> Iterator[Route]:
    """The program makes one to the internet, in public tables; those of network and endpoints come by themselves."""
    for table in tables:
        for row in cast(Sequence[Row], table.get("Routes") or ()):
            target = str(next((row[kind] for kind in _TARGETS if row.get(kind)), "elsewhere"))
            kind = next((each for each in _DESTINATIONS if row.get(each)), "")
            destination = str(row.get(kind))
            public = _name(table).endswith("-public") and destination == "0.0.0.0/0" and target.startswith("igw-")
            if not kind or target == "local" or target.startswith("vpce-") or public:
                continue
            text = f"unknown route of {_name(table)}: {destination} to {target}"
            yield Route(table=str(table["RouteTableId"]), kind=kind, destination=destination, text=text)


def _tags(row: Row) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cast(Sequence[Mapping[str, str]], row.get("Tags") or ())}


def _name(row: Row) -> str:
    return _tags(row).get("Name", "")
