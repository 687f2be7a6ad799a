"""Looks in the account for what a creation made before it was cut off, by the environment's tags; AWS alone.

A name that is taken by something without the environment's tags is somebody else's: NotOurs, and nothing is adopted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TypeVar, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs]

T = TypeVar("T")
Inputs = Mapping[str, object]
_TAG = "twinlock:environment"

# A second creation writes over the first, or makes nothing outside of the state.
AGAIN = frozenset(
    {
        "random:index/randomId:RandomId",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:s3/bucketVersioning:BucketVersioning",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketObjectv2:BucketObjectv2",
    }
)
# Type -> operation, the list in its answer, the id's name in an entry.
_BY_TAG = {
    "aws:ec2/vpc:Vpc": ("describe_vpcs", "Vpcs", "VpcId"),
    "aws:ec2/subnet:Subnet": ("describe_subnets", "Subnets", "SubnetId"),
    "aws:ec2/internetGateway:InternetGateway": (
        "describe_internet_gateways", "InternetGateways", "InternetGatewayId",
    ),
    "aws:ec2/routeTable:RouteTable": ("describe_route_tables", "RouteTables", "RouteTableId"),
    "aws:ec2/securityGroup:SecurityGroup": ("describe_security_groups", "SecurityGroups", "GroupId"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "aws:ec2/eip:Eip": ("describe_addresses", "Addresses", "AllocationId"),
    "aws:ec2/networkInterface:NetworkInterface": (
        "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId",
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
}  # fmt: skip
_RULES = {
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": False,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": True,
}
_GONE = ("NotFound", "NoSuchEntity", "NoSuchBucket", "404", "NoSuchTagSet")


class NotOurs(Exception):  # noqa: N818
    pass


class Account:
    """Of the credentials, region and endpoint in the process's environment."""

    def knows(self, kind: str) -> bool:
        return kind in _BY_TAG or kind in _RULES or kind in _NAMED or kind in _TIES

    def ties(self, kind: str) -> bool:
        return kind in _TIES

    def find(self, kind: str, inputs: Inputs) -> str | None:
        """The id under which the engine knows it. Raises NotOurs."""
        if kind in _BY_TAG:
            operation, key, identifier = _BY_TAG[kind]
            return _one(_tagged(operation, key, inputs), identifier, inputs)
        if kind in _RULES:
            return _rule(inputs, egress=_RULES[kind])
        found = _unless_gone(lambda: _NAMED[kind](inputs))
        if found is None:
            return None
        identifier, tags = found
        if tags.get(_TAG) != _tags(inputs)[_TAG]:
            raise NotOurs(f"{identifier} exists and is not of this environment: rename it, or delete what stands there")
        return identifier

    def undo(self, kind: str, inputs: Inputs) -> bool:
        """Whether there was something to undo."""
        return bool(_unless_gone(lambda: _TIES[kind](inputs)))


@cache
def _client(service: str) -> object:
    return cast(object, boto3.client(service))  # pyright: ignore[reportUnknownMemberType]


def _call(service: str, operation: str, **parameters: object) -> dict[str, object]:
    return cast(Callable[..., dict[str, object]], getattr(_client(service), operation))(**parameters)


def _unless_gone(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except ClientError as error:
        code = str(cast(dict[str, dict[str, str]], error.response)["Error"]["Code"])  # pyright: ignore[reportUnknownMemberType]
        if any(word in code for word in _GONE):
            return None
        raise


def _tags(inputs: Inputs) -> Mapping[str, str]:
    """A group has a list of them."""
    tags = cast(Mapping[str, str] | list[dict[str, str]], inputs["tags"])
    return _listed(tags, "key", "value") if isinstance(tags, list) else tags


def _rows(answer: Mapping[str, object], key: str) -> list[dict[str, object]]:
    return cast(list[dict[str, object]], answer.get(key) or [])


def _tagged(operation: str, key: str, inputs: Inputs) -> list[dict[str, object]]:
    wanted = {name: _tags(inputs)[name] for name in ("Name", _TAG)}
    filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in wanted.items()]
    return [row for row in _rows(_call("ec2", operation, Filters=filters), key) if _lives(row)]


def _lives(row: Mapping[str, object]) -> bool:
    return str(row.get("State", "")).lower() not in ("deleting", "deleted")


def _one(rows: Iterable[Mapping[str, object]], identifier: str, inputs: Inputs) -> str | None:
    found = sorted(str(row[identifier]) for row in rows)
    if len(found) > 1:
        raise NotOurs(f"{_tags(inputs)['Name']} is there {len(found)} times ({', '.join(found)}): delete all but one")
    return found[0] if found else None


def _rule(inputs: Inputs, *, egress: bool) -> str | None:
    """By what it lets through: the cloud refuses a second one that does the same, whatever its tags are."""
    group = {"Name": "group-id", "Values": [inputs["securityGroupId"]]}
    for row in _rows(_call("ec2", "describe_security_group_rules", Filters=[group]), "SecurityGroupRules"):
        other = cast(Mapping[str, str], row.get("ReferencedGroupInfo") or {}).get("GroupId")
        is_one = row["IsEgress"] is egress and row["IpProtocol"] == inputs["ipProtocol"]
        ports = inputs["ipProtocol"] == "-1" or all(
            row.get(theirs) == inputs.get(ours) for theirs, ours in (("FromPort", "fromPort"), ("ToPort", "toPort"))
        )
        side = (row.get("CidrIpv4"), row.get("CidrIpv6"), row.get("PrefixListId"), other)
        wanted = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
        if is_one and ports and tuple(each or None for each in side) == tuple(inputs.get(name) for name in wanted):
            return str(row["SecurityGroupRuleId"])
    return None


def _listed(rows: object, key: str = "Key", value: str = "Value") -> dict[str, str]:
    return {each[key]: each[value] for each in cast(list[dict[str, str]], rows or [])}


Found = tuple[str, Mapping[str, str]] | None


def _iam(operation: str, noun: str) -> Callable[[Inputs], Found]:
    def find(inputs: Inputs) -> Found:
        row = cast(dict[str, object], _call("iam", operation, **{f"{noun}Name": inputs["name"]})[noun])
        return str(inputs["name"]), _listed(row.get("Tags"))

    return find


def _policy(inputs: Inputs) -> Found:
    account = str(_call("sts", "get_caller_identity")["Account"])
    arn = f"arn:aws:iam::{account}:policy/{inputs['name']}"
    return arn, _listed(cast(dict[str, object], _call("iam", "get_policy", PolicyArn=arn)["Policy"]).get("Tags"))


def _bucket(inputs: Inputs) -> Found:
    """It gets its tags in a second call: without any it is ours if it is the account's, its name ends at random."""
    name = str(inputs["bucket"])
    account = str(_call("sts", "get_caller_identity")["Account"])
    _call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=account)
    found = _unless_gone(lambda: _call("s3", "get_bucket_tagging", Bucket=name)["TagSet"])
    return name, _listed(found) or _tags(inputs)


def _table(inputs: Inputs) -> Found:
    table = cast(dict[str, str], _call("dynamodb", "describe_table", TableName=inputs["name"])["Table"])
    found = _call("dynamodb", "list_tags_of_resource", ResourceArn=table["TableArn"])
    return str(inputs["name"]), _listed(found["Tags"])


def _secret(inputs: Inputs) -> Found:
    found = _call("secretsmanager", "describe_secret", SecretId=inputs["name"])
    return None if found.get("DeletedDate") else (str(found["ARN"]), _listed(found.get("Tags")))


def _parameter(inputs: Inputs) -> Found:
    name = inputs["name"]
    _call("ssm", "get_parameter", Name=name)
    found = _call("ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId=name)
    return str(name), _listed(found["TagList"])


def _group(inputs: Inputs) -> Found:
    rows = _rows(
        _call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[inputs["name"]]),
        "AutoScalingGroups",
    )
    return (str(inputs["name"]), _listed(rows[0].get("Tags"))) if rows else None


def _key(inputs: Inputs) -> Found:
    keys = cast(Iterable[dict[str, object]], _pages("kms", "list_keys", "Keys"))
    for each in keys:
        identifier = str(each["KeyId"])
        tags = _listed(_call("kms", "list_resource_tags", KeyId=identifier).get("Tags"), "TagKey", "TagValue")
        same = all(tags.get(name) == _tags(inputs)[name] for name in ("Name", _TAG))
        if same and not _leaves(identifier):
            return identifier, tags
    return None


def _leaves(identifier: str) -> bool:
    found = cast(dict[str, str], _call("kms", "describe_key", KeyId=identifier)["KeyMetadata"])
    return found["KeyState"] == "PendingDeletion"


def _pages(service: str, operation: str, key: str) -> Iterable[object]:
    paginator = cast(Callable[[str], object], getattr(_client(service), "get_paginator"))(operation)  # noqa: B009
    for page in cast(Iterable[dict[str, list[object]]], cast(Callable[[], object], getattr(paginator, "paginate"))()):  # noqa: B009
        yield from page[key]


_NAMED: Mapping[str, Callable[[Inputs], Found]] = {
    "aws:iam/role:Role": _iam("get_role", "Role"),
    "aws:iam/instanceProfile:InstanceProfile": _iam("get_instance_profile", "InstanceProfile"),
    "aws:iam/policy:Policy": _policy,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:dynamodb/table:Table": _table,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:ssm/parameter:Parameter": _parameter,
    "aws:autoscaling/group:Group": _group,
    "aws:kms/key:Key": _key,
}


def _no_route(inputs: Inputs) -> bool:
    place = {"RouteTableId": inputs["routeTableId"], "DestinationCidrBlock": inputs["destinationCidrBlock"]}
    _call("ec2", "delete_route", **place)
    return True


def _no_table_association(inputs: Inputs) -> bool:
    by_subnet = [{"Name": "association.subnet-id", "Values": [inputs["subnetId"]]}]
    for table in _rows(_call("ec2", "describe_route_tables", Filters=by_subnet), "RouteTables"):
        for each in _rows(table, "Associations"):
            if each.get("SubnetId") == inputs["subnetId"] and table["RouteTableId"] == inputs["routeTableId"]:
                _call("ec2", "disassociate_route_table", AssociationId=each["RouteTableAssociationId"])
                return True
    return False


def _no_address_association(inputs: Inputs) -> bool:
    [address] = _rows(_call("ec2", "describe_addresses", AllocationIds=[inputs["allocationId"]]), "Addresses")
    if address.get("NetworkInterfaceId") != inputs["networkInterfaceId"]:
        return False
    _call("ec2", "disassociate_address", AssociationId=address["AssociationId"])
    return True


def _no_alias(inputs: Inputs) -> bool:
    for each in cast(Iterable[dict[str, str]], _pages("kms", "list_aliases", "Aliases")):
        if each["AliasName"] == inputs["name"] and each.get("TargetKeyId") == inputs["targetKeyId"]:
            _call("kms", "delete_alias", AliasName=inputs["name"])
            return True
    return False


def _no_item(inputs: Inputs) -> bool:
    """Only if it is what was being written: somebody else's stays."""
    item = cast(dict[str, object], json.loads(str(inputs["item"])))
    key = {str(inputs[name]): item[str(inputs[name])] for name in ("hashKey", "rangeKey") if inputs.get(name)}
    found = _call("dynamodb", "get_item", TableName=inputs["tableName"], Key=key, ConsistentRead=True).get("Item")
    if found != item:
        return False
    _call("dynamodb", "delete_item", TableName=inputs["tableName"], Key=key)
    return True


_TIES: Mapping[str, Callable[[Inputs], bool]] = {
    "aws:ec2/route:Route": _no_route,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _no_table_association,
    "aws:ec2/eipAssociation:EipAssociation": _no_address_association,
    "aws:kms/alias:Alias": _no_alias,
    "aws:dynamodb/tableItem:TableItem": _no_item,
}
