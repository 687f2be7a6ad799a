"""Reads what AWS's own resource schemas (CloudFormation's, which cfn-lint carries) say of the properties in use.

Run it to write `constraints.json` anew. A property's name there is Pulumi's in PascalCase, but for the names below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import cast

from .constraints import FILE, KEYWORDS, Constraint
from .shape import Property, Type, shapes
from .tables import all_resources

# Token -> AWS's type, and where it names or places a property in another way; "*" is where all others lie, and ""
# means that the schema says something else of it than the API that the provider calls.
_SCHEMAS: dict[str, tuple[str, dict[str, str]]] = {
    "aws:ec2/vpc:Vpc": ("AWS::EC2::VPC", {}),
    "aws:ec2/subnet:Subnet": ("AWS::EC2::Subnet", {}),
    "aws:ec2/route:Route": ("AWS::EC2::Route", {}),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("AWS::EC2::VPCEndpoint", {"dnsOptions": ""}),  # a text for the API's boolean
    "aws:ec2/securityGroup:SecurityGroup": (
        "AWS::EC2::SecurityGroup",
        {"name": "GroupName", "description": "GroupDescription"},
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        "AWS::EC2::SecurityGroupIngress",
        {
            "cidrIpv4": "CidrIp",
            "prefixListId": "SourcePrefixListId",
            "referencedSecurityGroupId": "SourceSecurityGroupId",
            "securityGroupId": "GroupId",
        },
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": (
        "AWS::EC2::SecurityGroupEgress",
        {
            "cidrIpv4": "CidrIp",
            "prefixListId": "DestinationPrefixListId",
            "referencedSecurityGroupId": "DestinationSecurityGroupId",
            "securityGroupId": "GroupId",
        },
    ),
    "aws:ec2/networkInterface:NetworkInterface": ("AWS::EC2::NetworkInterface", {"securityGroups": "GroupSet"}),
    "aws:ec2/launchTemplate:LaunchTemplate": (
        "AWS::EC2::LaunchTemplate",
        {
            "*": "LaunchTemplateData",
            "name": "LaunchTemplateName",
            "description": "VersionDescription",
            "vpcSecurityGroupIds": "LaunchTemplateData.SecurityGroupIds",
            "networkInterfaces.securityGroups": "LaunchTemplateData.NetworkInterfaces.Groups",
            "tagSpecifications": "",  # of all that has tags, where a template takes four
        },
    ),
    "aws:autoscaling/group:Group": (
        "AWS::AutoScaling::AutoScalingGroup",
        {
            "name": "AutoScalingGroupName",
            "vpcZoneIdentifiers": "VPCZoneIdentifier",
            "launchTemplate.id": "LaunchTemplate.LaunchTemplateId",
            "launchTemplate.name": "LaunchTemplate.LaunchTemplateName",
        },
    ),
    "aws:iam/role:Role": ("AWS::IAM::Role", {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"}),
    "aws:iam/rolePolicy:RolePolicy": ("AWS::IAM::RolePolicy", {"name": "PolicyName", "role": "RoleName"}),
    "aws:iam/instanceProfile:InstanceProfile": (
        "AWS::IAM::InstanceProfile",
        {"name": "InstanceProfileName", "role": "Roles"},
    ),
    "aws:iam/policy:Policy": ("AWS::IAM::ManagedPolicy", {"name": "ManagedPolicyName"}),
    "aws:kms/key:Key": ("AWS::KMS::Key", {"deletionWindowInDays": "PendingWindowInDays"}),
    "aws:kms/alias:Alias": ("AWS::KMS::Alias", {"name": "AliasName"}),
    "aws:secretsmanager/secret:Secret": ("AWS::SecretsManager::Secret", {}),
    "aws:dynamodb/table:Table": (
        "AWS::DynamoDB::Table",
        {
            "name": "",  # a name by the schema may be an ARN
            "attributes": "AttributeDefinitions",
            "attributes.name": "AttributeDefinitions.AttributeName",
            "attributes.type": "AttributeDefinitions.AttributeType",
            "pointInTimeRecovery": "PointInTimeRecoverySpecification",
            "ttl": "TimeToLiveSpecification",
        },
    ),
    "aws:s3/bucket:Bucket": ("AWS::S3::Bucket", {"bucket": "BucketName"}),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "AWS::S3::Bucket",
        {
            "rules": "BucketEncryption.ServerSideEncryptionConfiguration",
            "rules.applyServerSideEncryptionByDefault": (
                "BucketEncryption.ServerSideEncryptionConfiguration.ServerSideEncryptionByDefault"
            ),
            "rules.applyServerSideEncryptionByDefault.sseAlgorithm": (
                "BucketEncryption.ServerSideEncryptionConfiguration.ServerSideEncryptionByDefault.SSEAlgorithm"
            ),
        },
    ),
    # CloudFormation makes no SecureString.
    "aws:ssm/parameter:Parameter": ("AWS::SSM::Parameter", {"type": ""}),
}
_BETWEEN = frozenset({"requiredXor", "requiredOr", "dependentExcluded", "dependentRequired"})
_Node = Mapping[str, object]


class _Reader:
    """One type: walks the SDK's shape and AWS's schema side by side."""

    def __init__(self, token: str, schema: _Node, renamed: Mapping[str, str]) -> None:
        self._schema, self._renamed, self._known = schema, renamed, all_resources()[token].known
        self._properties = shapes()[token].inputs

    def constraints(self) -> dict[str, Constraint]:
        found = dict(self._of(Type("object", properties=self._properties), self._schema, "", ""))
        return {path: constraint for path, constraint in found.items() if constraint}

    def _of(self, kind: Type, node: _Node, path: str, named: str) -> Iterator[tuple[str, Constraint]]:
        """`path` marks lists with [], `named` is the same without them."""
        node = self._resolved(node)
        items = self._resolved(cast(_Node, node["items"])) if "items" in node else None
        within = {key: value for key, value in node.items() if key in KEYWORDS - _BETWEEN}
        if kind.kind == "list" and kind.item is not None:
            yield path, within if items is not None else {}
            yield from self._of(kind.item, items or node, f"{path}[]", named)
        elif kind.kind == "object":
            yield path, self._between(kind.properties, items or node, named)
            for entry in kind.properties:
                yield from self._inside(entry, items or node, path, named)
        elif kind.kind != "map":
            of = items if items is not None else node
            yield path, {key: value for key, value in of.items() if key in KEYWORDS - _BETWEEN}

    def _inside(self, entry: Property, node: _Node, path: str, named: str) -> Iterator[tuple[str, Constraint]]:
        below = f"{named}.{entry.name}" if named else entry.name
        known = any(
            name == below or name.startswith(f"{below}.") or below.startswith(f"{name}.") for name in self._known
        )
        found = self._find(node, below, entry.name) if known else None
        if found is not None:
            yield from self._of(entry.type, found, f"{path}.{entry.name}" if path else entry.name, below)

    def _carried_out(self, named: str) -> bool:
        return any(f"{name}.".startswith(f"{named}.") or named.startswith(f"{name}.") for name in self._known)

    def _find(self, node: _Node, named: str, name: str) -> _Node | None:
        """The schema's node of a property: where a rename leads from the top, else below `node`."""
        if (renamed := self._renamed.get(named)) is not None:
            return self._at(renamed) if renamed else None
        if "." not in named and "*" in self._renamed and (inside := self._at(f"{self._renamed['*']}.{_pascal(name)}")):
            return inside
        return cast("dict[str, _Node]", node.get("properties", {})).get(_pascal(name))

    def _at(self, place: str) -> _Node | None:
        node: _Node | None = self._schema
        for step in place.split("."):
            node = self._resolved(node) if node is not None else {}
            node = self._resolved(cast(_Node, node["items"])) if "items" in node else node
            node = cast("dict[str, _Node]", node.get("properties", {})).get(step)
        return node

    def _resolved(self, node: _Node) -> _Node:
        while "$ref" in node:
            steps = str(node["$ref"]).removeprefix("#/").split("/")
            node = reduce(lambda inside, step: cast(_Node, inside[step]), steps, self._schema)
        return node

    def _between(self, properties: tuple[Property, ...], node: _Node, named: str) -> Constraint:
        """What properties ask of each other, in Pulumi's names; those that the lab does not carry out are left out."""
        carried = [
            entry.name for entry in properties if self._carried_out(f"{named}.{entry.name}" if named else entry.name)
        ]
        ours = {self._theirs(name, named): name for name in carried}
        found: Constraint = {}
        for keyword in _BETWEEN & node.keys():
            said = node[keyword]
            if isinstance(said, list):
                found[keyword] = [ours[name] for name in cast("list[str]", said) if name in ours]
            else:
                pairs = {
                    ours[name]: [ours[other] for other in others if other in ours]
                    for name, others in cast("dict[str, list[str]]", said).items()
                    if name in ours
                }
                found[keyword] = {name: others for name, others in pairs.items() if others}
        return {keyword: said for keyword, said in sorted(found.items()) if said}

    def _theirs(self, name: str, named: str) -> str:
        return self._renamed.get(f"{named}.{name}" if named else name, _pascal(name)).rpartition(".")[2]


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def all_constraints() -> dict[str, dict[str, Constraint]]:
    """Token -> path -> what the schema says."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # pyright: ignore[reportMissingTypeStubs]

    found: dict[str, dict[str, Constraint]] = {}
    for token, (name, renamed) in _SCHEMAS.items():
        schema: object = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", name).schema  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        found[token] = _Reader(token, cast(_Node, schema), renamed).constraints()
    return {token: constraints for token, constraints in found.items() if constraints}


def file_text() -> str:
    """What `constraints.json` should hold: a line for each path."""
    types: list[str] = []
    for token, constraints in sorted(all_constraints().items()):
        lines = [f"  {json.dumps(path)}: {json.dumps(said)}" for path, said in sorted(constraints.items())]
        types.append(f"{json.dumps(token)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(types) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(file_text())
