"""What AWS refuses in the arguments that the program uses is refused before any call, by the property's path."""

from __future__ import annotations

import base64
import json

import pytest

from lab.provider import cloud_schemas, constraints
from lab.provider.check import check
from lab.provider.shape import shapes
from lab.provider.tables import all_resources
from tests.unit.provider_samples import ADMITS, TRUST, group, network, table, template

VPC, SUBNET, ROUTE = "aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/route:Route"
DOOR, RULE = "aws:ec2/vpcEndpoint:VpcEndpoint", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
FIREWALL, INTERFACE = "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/networkInterface:NetworkInterface"
TEMPLATE, GROUP = "aws:ec2/launchTemplate:LaunchTemplate", "aws:autoscaling/group:Group"
KEY, ALIAS, SECRET = "aws:kms/key:Key", "aws:kms/alias:Alias", "aws:secretsmanager/secret:Secret"
TABLE, ITEM, PARAMETER = "aws:dynamodb/table:Table", "aws:dynamodb/tableItem:TableItem", "aws:ssm/parameter:Parameter"
BUCKET, OBJECT = "aws:s3/bucket:Bucket", "aws:s3/bucketObjectv2:BucketObjectv2"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
PROFILE = "aws:iam/instanceProfile:InstanceProfile"
ROLE, POLICY, MANAGED = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy"

OPEN = {"securityGroupId": "sg-1", "ipProtocol": "udp", "fromPort": 1, "toPort": 2, "cidrIpv4": "0.0.0.0/0"}
GATEWAY = {"vpcId": "vpc-1", "serviceName": "com.amazonaws.eu-west-1.s3", "vpcEndpointType": "Gateway"}
GROUPED = {"name": "g", "description": "d", "vpcId": "vpc-1"}
NAMED = {"name": "r", "assumeRolePolicy": TRUST}
ONE_ITEM = {"tableName": "t", "hashKey": "pk", "rangeKey": "sk", "item": '{"pk": {"S": "a"}, "sk": {"S": "b"}}'}
STORED = {"name": "/a/b", "type": "String", "value": "x"}
BY_KEY = {"sseAlgorithm": "AES256", "kmsMasterKeyId": "k"}
EXISTING = {"deviceIndex": 0, "networkInterfaceId": "eni-1", "deleteOnTermination": "false"}
MANY = {f"k{number}": "v" for number in range(51)}
LONG_POLICY = ADMITS.replace('"*"}]', '"' + "x" * 20481 + '"}]')
LARGE = base64.b64encode(b"x" * 16385).decode()


def item(**attributes: object) -> str:
    return json.dumps({"pk": {"S": "a"}, "sk": {"S": "b"}, **attributes})


TAGGED = [
    (VPC, network()), (DOOR, GATEWAY), (FIREWALL, GROUPED), (RULE, OPEN), (TEMPLATE, template("eni-1")), (KEY, {}),
    (SECRET, {"name": "a"}), (TABLE, table()), (PARAMETER, STORED), (BUCKET, {"bucket": "twinlock-x"}), (ROLE, NAMED),
    (MANAGED, {"name": "p", "policy": ADMITS}), (PROFILE, {"name": "p", "role": "r"}),
]  # fmt: skip
BAD_TAGS = [MANY, {"k" * 129: "v"}, {"": "v"}, {"k": "v" * 257}, {"AWS:x": "v"}, {"a<b": "v"}, {"k": "a;b"}]
REFUSED = [
    *((token, {**inputs, "tags": tags}, "tags") for token, inputs in TAGGED for tags in BAD_TAGS),
    (GROUP, group("lt-1", tags=[{"key": "aws:x", "value": "v", "propagateAtLaunch": False}]), "tags"),
    (
        TEMPLATE,
        template("eni-1", tagSpecifications=[{"resourceType": "volume", "tags": MANY}]),
        "tagSpecifications[0].tags",
    ),
    (OBJECT, {"bucket": "b", "key": "k", "content": "a", "tags": dict(list(MANY.items())[:11])}, "tags"),
    (DOOR, {**GATEWAY, "policy": LONG_POLICY}, "policy"),
    (ITEM, {**ONE_ITEM, "item": item(v={"S": "x" * 409_600})}, "item"),
    (ITEM, {**ONE_ITEM, "item": item(v={"M": {"deep": {"L": [{"S": "\u20ac" * 137_000}]}}})}, "item"),
    (ITEM, {**ONE_ITEM, "item": item(pk={"S": "a" * 2049})}, "item"),
    (ITEM, {**ONE_ITEM, "item": item(sk={"S": "a" * 1025})}, "item"),
    (ITEM, {**ONE_ITEM, "item": item(sk={"S": ""})}, "item"),
    (VPC, {"enableDnsSupport": True}, "cidrBlock"),
    (VPC, {**network(), "cidrBlock": "10.0.0.0/8"}, "cidrBlock"),
    (VPC, {**network(), "cidrBlock": "10.0.0.1/16"}, "cidrBlock"),
    (VPC, {**network(), "enableDnsSupport": False}, "enableDnsHostnames"),
    (SUBNET, {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/29"}, "cidrBlock"),
    (ROUTE, {"routeTableId": "r", "destinationCidrBlock": "0.0.0.0/0"}, "gatewayId"),
    (ROUTE, {"routeTableId": "r", "destinationCidrBlock": "10.0.0.1/8", "gatewayId": "igw"}, "destinationCidrBlock"),
    (DOOR, {**GATEWAY, "subnetIds": ["subnet-1"]}, "subnetIds"),
    (DOOR, {**GATEWAY, "serviceName": "com.amazonaws.eu-west-1.kms"}, "serviceName"),
    (DOOR, {**GATEWAY, "policy": "{"}, "policy"),
    (FIREWALL, {**GROUPED, "name": "sg-mine"}, "name"),
    (FIREWALL, {**GROUPED, "description": "the gateway's"}, "description"),
    (RULE, {**OPEN, "referencedSecurityGroupId": "sg-2"}, "cidrIpv4"),
    (RULE, {**OPEN, "cidrIpv4": "10.0.0.1/8"}, "cidrIpv4"),
    (RULE, {**OPEN, "toPort": 65536}, "fromPort"),
    (RULE, {**OPEN, "ipProtocol": "-1"}, "fromPort"),
    (RULE, {**OPEN, "description": "the gateway's"}, "description"),
    (INTERFACE, {"subnetId": "s", "privateIps": ["10.0.0.300"]}, "privateIps[0]"),
    (INTERFACE, {"subnetId": "s", "securityGroups": [f"sg-{n}" for n in range(6)]}, "securityGroups"),
    (TEMPLATE, template("eni-1", name="ab"), "name"),
    (TEMPLATE, template("eni-1", userData="not base64!"), "userData"),
    (TEMPLATE, template("eni-1", userData=LARGE), "userData"),
    (
        TEMPLATE,
        template("eni-1", metadataOptions={"httpPutResponseHopLimit": 65}),
        "metadataOptions.httpPutResponseHopLimit",
    ),
    (TEMPLATE, template("eni-1", metadataOptions={"httpTokens": "yes"}), "metadataOptions.httpTokens"),
    (
        TEMPLATE,
        template("eni-1", blockDeviceMappings=[{"ebs": {"volumeType": "gp9"}}]),
        "blockDeviceMappings[0].ebs.volumeType",
    ),
    (TEMPLATE, template("eni-1", description="d" * 256), "description"),
    (
        TEMPLATE,
        template("eni-1", tagSpecifications=[{"resourceType": "vpc", "tags": {"a": "b"}}]),
        "tagSpecifications[0].resourceType",
    ),
    (TEMPLATE, template("eni-1", blockDeviceMappings=[{"deviceName": "/dev/xvda"}]), "blockDeviceMappings[0].ebs"),
    (TEMPLATE, template("eni-1", vpcSecurityGroupIds=["sg-1"]), "vpcSecurityGroupIds"),
    *(
        (TEMPLATE, template("", networkInterfaces=[{**EXISTING, **more}]), "networkInterfaces[0]")
        for more in (
            {"securityGroups": ["sg-1"]},
            {"subnetId": "subnet-1"},
            {"associatePublicIpAddress": "true"},
            {"deviceIndex": 1},
            {"deleteOnTermination": "true"},
        )
    ),
    (TEMPLATE, template("", networkInterfaces=[EXISTING, {"deviceIndex": 1}]), "networkInterfaces"),
    (GROUP, group("lt-1", name="a:b"), "name"),
    (GROUP, {"availabilityZones": ["eu-west-1a"], "minSize": 1, "maxSize": 1}, "launchTemplate"),
    (GROUP, group("lt-1", launchTemplate={"version": "1"}), "launchTemplate.id"),
    (GROUP, group("lt-1", vpcZoneIdentifiers=["subnet-1"]), "availabilityZones"),
    (GROUP, group("lt-1", desiredCapacity=2), "desiredCapacity"),
    (GROUP, group("lt-1", healthCheckType="PING"), "healthCheckType"),
    (
        GROUP,
        group("lt-1", instanceMaintenancePolicy={"minHealthyPercentage": 0, "maxHealthyPercentage": 150}),
        "instanceMaintenancePolicy",
    ),
    (KEY, {"description": "d" * 8193}, "description"),
    (KEY, {"deletionWindowInDays": 6}, "deletionWindowInDays"),
    (KEY, {"rotationPeriodInDays": 100}, "rotationPeriodInDays"),
    (ALIAS, {"name": "alias/aws/mine", "targetKeyId": "k"}, "name"),
    (SECRET, {"name": "a b"}, "name"),
    (SECRET, {"name": "a", "description": "d" * 2049}, "description"),
    (SECRET, {"name": "a", "recoveryWindowInDays": 3}, "recoveryWindowInDays"),
    (TABLE, table(name="ab"), "name"),
    (TABLE, table(attributes=[{"name": "pk", "type": "S"}]), "attributes"),
    (TABLE, table(attributes=[{"name": "pk", "type": "X"}, {"name": "sk", "type": "S"}]), "attributes[0].type"),
    (TABLE, table(readCapacity=1), "readCapacity"),
    (TABLE, table(billingMode="FREE"), "billingMode"),
    (ITEM, {**ONE_ITEM, "item": '{"pk": {"S": "a"}}'}, "item"),
    (ITEM, {**ONE_ITEM, "item": '{"pk": "a", "sk": {"S": "b"}}'}, "item"),
    (PARAMETER, {**STORED, "name": "/aws/x"}, "name"),
    (PARAMETER, {**STORED, "value": "x" * 4097}, "value"),
    (PARAMETER, {**STORED, "description": "d" * 1025}, "description"),
    (PARAMETER, {**STORED, "type": "Text"}, "type"),
    (BUCKET, {"bucket": "Upper"}, "bucket"),
    (BUCKET, {"bucket": "10.0.0.1"}, "bucket"),
    (BUCKET, {"bucket": "xn--a"}, "bucket"),
    (OBJECT, {"bucket": "b", "key": "k", "content": "a", "contentBase64": "Yg=="}, "source"),
    (
        ENCRYPTION,
        {"bucket": "b", "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "DES"}}]},
        "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm",
    ),
    (
        ENCRYPTION,
        {"bucket": "b", "rules": [{"applyServerSideEncryptionByDefault": BY_KEY}]},
        "rules[0].applyServerSideEncryptionByDefault.kmsMasterKeyId",
    ),
    (ROLE, {**NAMED, "name": "r" * 65}, "name"),
    (ROLE, {**NAMED, "path": "twinlock"}, "path"),
    (ROLE, {**NAMED, "maxSessionDuration": 60}, "maxSessionDuration"),
    (ROLE, {**NAMED, "description": "\u20ac"}, "description"),
    (MANAGED, {"name": "p:q", "policy": ADMITS}, "name"),
    (MANAGED, {"name": "p" * 129, "policy": ADMITS}, "name"),
    (MANAGED, {"name": "p", "description": "d" * 1001, "policy": ADMITS}, "description"),
    (MANAGED, {"name": "p", "policy": ADMITS.replace('"*"}]', '"' + "x" * 6145 + '"}]')}, "policy"),
    (POLICY, {"name": "p q", "role": "r", "policy": ADMITS}, "name"),
    (PROFILE, {"name": "p", "role": "a b"}, "role"),
    (POLICY, {"name": "p", "role": "r", "policy": ADMITS.replace("Allow", "Maybe")}, "policy"),
    (POLICY, {"name": "p", "role": "r", "policy": ADMITS[:-2] + " " * 3}, "policy"),
    (POLICY, {"name": "p", "role": "r", "policy": ADMITS.replace('"*"}]', '"' + "x" * 10241 + '"}]')}, "policy"),
]


@pytest.mark.parametrize(("token", "inputs", "path"), REFUSED)
def test_what_aws_would_refuse_is_named_by_its_path(token: str, inputs, path: str):
    assert path in {problem.path for problem in check(all_resources()[token], shapes()[token], inputs)}


ACCEPTED = [
    (VPC, network()),
    (DOOR, GATEWAY),
    (RULE, OPEN),
    (TEMPLATE, template("eni-1")),
    (GROUP, group("lt-1")),
    (TABLE, table()),
    (ITEM, ONE_ITEM),
    (ITEM, {**ONE_ITEM, "item": item(v={"S": "x" * 409_590})}),
    (VPC, {**network(), "tags": {"k" * 128: "v" * 256, "twinlock:environment": "a b/c=d+e@f.g_h-i"}}),
    (PARAMETER, STORED),
    (BUCKET, {"bucket": "twinlock-lab-data-1a2b3c4d"}),
    (ROLE, NAMED),
    (POLICY, {"name": "p", "role": "r", "policy": ADMITS}),
]


@pytest.mark.parametrize(("token", "inputs"), ACCEPTED, ids=[token for token, _ in ACCEPTED])
def test_what_the_program_gives_is_accepted(token: str, inputs):
    assert check(all_resources()[token], shapes()[token], inputs) == []


def test_the_constraints_are_those_of_the_installed_schemas():
    assert cloud_schemas.file_text() == constraints.FILE.read_text(), "run python -m lab.provider.cloud_schemas"
