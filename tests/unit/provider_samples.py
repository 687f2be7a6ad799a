"""One of each resource type, in the form that the program gives it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from lab.provider.values import Asset, Json, Value
from tests.unit.provider_engine import Engine, Made

TAGS: Json = {"twinlock:environment": "test"}
ZONE = "eu-west-1a"
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}],
    }
)
ADMITS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "*", "Resource": "*"}],
    }
)


def network() -> Json:
    return {"cidrBlock": "10.0.0.0/16", "enableDnsSupport": True, "enableDnsHostnames": True, "tags": TAGS}


def table(**more: object) -> Json:
    return {
        "name": "twinlock-test",
        "billingMode": "PAY_PER_REQUEST",
        "hashKey": "pk",
        "rangeKey": "sk",
        "attributes": [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
        "ttl": {"attributeName": "ttl", "enabled": True},
        "pointInTimeRecovery": {"enabled": True},
        "deletionProtectionEnabled": False,
        "serverSideEncryption": {"enabled": True},
        "tags": TAGS,
        **more,
    }


def template(interface: str, **more: object) -> Json:
    return {
        "name": "twinlock-test-gateway-a",
        "description": "a gateway",
        "imageId": "ami-0d13a640000000001",
        "instanceType": "t4g.small",
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "blockDeviceMappings": [
            {
                "deviceName": "/dev/xvda",
                "ebs": {"encrypted": "true", "volumeType": "gp3", "volumeSize": 8, "deleteOnTermination": "true"},
            }
        ],
        "networkInterfaces": [{"deviceIndex": 0, "networkInterfaceId": interface, "deleteOnTermination": "false"}],
        "userData": base64.b64encode(b"#cloud-config").decode(),
        "tagSpecifications": [{"resourceType": "instance", "tags": TAGS}],
        "tags": TAGS,
        **more,
    }


def group(launch_template: str, **more: object) -> Json:
    return {
        "name": "twinlock-test-gateway-a",
        "availabilityZones": [ZONE],
        "minSize": 1,
        "maxSize": 1,
        "desiredCapacity": 1,
        "launchTemplate": {"id": launch_template, "version": "1"},
        "instanceMaintenancePolicy": {"minHealthyPercentage": 0, "maxHealthyPercentage": 100},
        "healthCheckType": "EC2",
        "healthCheckGracePeriod": 60,
        "tags": [{"key": "twinlock:environment", "value": "test", "propagateAtLaunch": True}],
        **more,
    }


BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
SERVICE: Json = {"serviceName": "com.amazonaws.eu-west-1.s3", "vpcEndpointType": "Gateway"}
RULE: Json = {"cidrIpv4": "0.0.0.0/0", "description": "clients", "tags": TAGS}
KEYS: Json = {"tableName": "twinlock-test", "hashKey": "pk", "rangeKey": "sk"}
ITEM = json.dumps({"pk": {"S": "environment"}, "sk": {"S": "definition"}, "mtu": {"N": "1420"}})
GATEWAY: Json = {"name": "twinlock-test-gateway-a", "tags": TAGS}


class Things(dict[str, Made]):
    """What stands, by short name. A thing is made when it is first asked for, and what it needs before it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def __missing__(self, short: str) -> Made:
        kind, inputs = RECIPES[short]
        made = self._engine.create(f"aws:{kind}", inputs(self), name=short)
        self[short] = made
        return made

    def id(self, short: str) -> str:
        return self[short].id


# Short name -> the type without its package, and the inputs; in an order in which a program would make them.
RECIPES: dict[str, tuple[str, Callable[[Things], Json]]] = {
    "vpc": ("ec2/vpc:Vpc", lambda its: network()),
    "internet": ("ec2/internetGateway:InternetGateway", lambda its: {"vpcId": its.id("vpc"), "tags": TAGS}),
    "subnet": (
        "ec2/subnet:Subnet",
        lambda its: {
            "vpcId": its.id("vpc"),
            "cidrBlock": "10.0.0.0/24",
            "availabilityZone": ZONE,
            "mapPublicIpOnLaunch": False,
            "tags": TAGS,
        },
    ),
    "routes": ("ec2/routeTable:RouteTable", lambda its: {"vpcId": its.id("vpc"), "tags": TAGS}),
    "route": (
        "ec2/route:Route",
        lambda its: {
            "routeTableId": its.id("routes"),
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": its.id("internet"),
        },
    ),
    "association": (
        "ec2/routeTableAssociation:RouteTableAssociation",
        lambda its: {"subnetId": its.id("subnet"), "routeTableId": its.id("routes")},
    ),
    "endpoint": (
        "ec2/vpcEndpoint:VpcEndpoint",
        lambda its: {
            **SERVICE,
            "vpcId": its.id("vpc"),
            "routeTableIds": [its.id("routes")],
            "policy": ADMITS,
            "tags": TAGS,
        },
    ),
    "firewall": (
        "ec2/securityGroup:SecurityGroup",
        lambda its: {
            "vpcId": its.id("vpc"),
            "name": "twinlock-test-gateway",
            "description": "gateways",
            "tags": TAGS,
        },
    ),
    "in": (
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        lambda its: {
            **RULE,
            "securityGroupId": its.id("firewall"),
            "ipProtocol": "udp",
            "fromPort": 51820,
            "toPort": 51820,
        },
    ),
    "out": (
        "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        lambda its: {
            **RULE,
            "securityGroupId": its.id("firewall"),
            "ipProtocol": "tcp",
            "fromPort": 443,
            "toPort": 443,
        },
    ),
    "interface": (
        "ec2/networkInterface:NetworkInterface",
        lambda its: {
            "subnetId": its.id("subnet"),
            "privateIps": ["10.0.0.10"],
            "securityGroups": [its.id("firewall")],
            "sourceDestCheck": False,
            "description": "slot a",
            "tags": TAGS,
        },
    ),
    "address": ("ec2/eip:Eip", lambda its: {"domain": "vpc", "tags": TAGS}),
    "address_association": (
        "ec2/eipAssociation:EipAssociation",
        lambda its: {"allocationId": its.id("address"), "networkInterfaceId": its.id("interface")},
    ),
    "key": (
        "kms/key:Key",
        lambda its: {
            "description": "k",
            "enableKeyRotation": True,
            "deletionWindowInDays": 7,
            "policy": ADMITS,
            "tags": TAGS,
        },
    ),
    "alias": ("kms/alias:Alias", lambda its: {"name": "alias/twinlock-test", "targetKeyId": its.id("key")}),
    "secret": (
        "secretsmanager/secret:Secret",
        lambda its: {
            "name": "twinlock/test/service",
            "kmsKeyId": its["key"].outputs["arn"],
            "recoveryWindowInDays": 0,
            "tags": TAGS,
        },
    ),
    "table": ("dynamodb/table:Table", lambda its: table()),
    "item": ("dynamodb/tableItem:TableItem", lambda its: {**KEYS, "tableName": its.id("table"), "item": ITEM}),
    "parameter": (
        "ssm/parameter:Parameter",
        lambda its: {"name": "/twinlock/test/discovery", "type": "String", "value": "{}", "tags": TAGS},
    ),
    "bucket": ("s3/bucket:Bucket", lambda its: {"bucket": "twinlock-test-1a2b", "forceDestroy": True, "tags": TAGS}),
    "versioning": (
        "s3/bucketVersioning:BucketVersioning",
        lambda its: {"bucket": its.id("bucket"), "versioningConfiguration": {"status": "Enabled"}},
    ),
    "encryption": (
        "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        lambda its: {"bucket": its.id("bucket"), "rules": [by_key(its["key"].outputs["arn"])]},
    ),
    "block": (
        "s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        lambda its: {"bucket": its.id("bucket"), **dict.fromkeys(BLOCKS, True)},
    ),
    "policy": ("s3/bucketPolicy:BucketPolicy", lambda its: {"bucket": its.id("bucket"), "policy": ADMITS}),
    "object": (
        "s3/bucketObjectv2:BucketObjectv2",
        lambda its: {
            "bucket": its.id("bucket"),
            "key": "agent/twinlock.pyz",
            "source": Asset(hash="ab", text="zip"),
            "contentType": "application/zip",
        },
    ),
    "managed_policy": (
        "iam/policy:Policy",
        lambda its: {"name": "twinlock-test-reader", "description": "reads", "policy": POLICY, "tags": TAGS},
    ),
    "role": ("iam/role:Role", lambda its: {**GATEWAY, "assumeRolePolicy": TRUST, "description": "d"}),
    "role_policy": (
        "iam/rolePolicy:RolePolicy",
        lambda its: {"name": "gateway", "role": its.id("role"), "policy": POLICY},
    ),
    "profile": ("iam/instanceProfile:InstanceProfile", lambda its: {**GATEWAY, "role": its.id("role")}),
    "template": (
        "ec2/launchTemplate:LaunchTemplate",
        lambda its: template(its.id("interface"), iamInstanceProfile={"arn": its["profile"].outputs["arn"]}),
    ),
    "group": ("autoscaling/group:Group", lambda its: group(its.id("template"))),
}


def by_key(arn: Value) -> Json:
    applied = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": arn}
    return {"applyServerSideEncryptionByDefault": applied, "bucketKeyEnabled": True}


class World:
    """A cloud in which what the program is made of stands as soon as a test asks for it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.made = engine, Things(engine)

    def every(self) -> list[Made]:
        """One of each type, in the order in which they were made."""
        for short in RECIPES:
            self.made[short]
        return list(self.made.values())


def changed(made: Made, change: Callable[[Json], Json] | Json) -> Json:
    """The inputs with something else in them."""
    return change(made.inputs) if callable(change) else {**made.inputs, **change}
