"""One of each resource type, in the form that the program gives it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from lab.provider.values import Asset, Json
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
        "imageId": "ami-12c6146b",
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


class World:
    """Makes everything that the program is made of, in its order; `made` is what stands, by short name."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.made = engine, dict[str, Made]()
        self._network()
        self._storage()
        self._gateway()

    def _add(self, short: str, token: str, inputs: Json) -> Made:
        self.made[short] = self.engine.create(token, inputs, name=short)
        return self.made[short]

    def _network(self) -> None:
        vpc = self._add("vpc", "aws:ec2/vpc:Vpc", network())
        place: Json = {"vpcId": vpc.id, "tags": TAGS}
        internet = self._add("internet", "aws:ec2/internetGateway:InternetGateway", place)
        subnet = self._add(
            "subnet",
            "aws:ec2/subnet:Subnet",
            {**place, "cidrBlock": "10.0.0.0/24", "availabilityZone": ZONE, "mapPublicIpOnLaunch": False},
        )
        routes = self._add("routes", "aws:ec2/routeTable:RouteTable", place)
        to: Json = {"routeTableId": routes.id, "destinationCidrBlock": "0.0.0.0/0", "gatewayId": internet.id}
        self._add("route", "aws:ec2/route:Route", to)
        ends: Json = {"subnetId": subnet.id, "routeTableId": routes.id}
        self._add("association", "aws:ec2/routeTableAssociation:RouteTableAssociation", ends)
        service: Json = {"serviceName": "com.amazonaws.eu-west-1.s3", "vpcEndpointType": "Gateway"}
        door: Json = {**place, **service, "routeTableIds": [routes.id], "policy": ADMITS}
        self._add("endpoint", "aws:ec2/vpcEndpoint:VpcEndpoint", door)
        firewall = self._add(
            "firewall",
            "aws:ec2/securityGroup:SecurityGroup",
            {**place, "name": "twinlock-test-gateway", "description": "gateways"},
        )
        rule: Json = {"securityGroupId": firewall.id, "cidrIpv4": "0.0.0.0/0", "description": "clients", "tags": TAGS}
        udp: Json = {**rule, "ipProtocol": "udp", "fromPort": 51820, "toPort": 51820}
        self._add("in", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", udp)
        tcp: Json = {**rule, "ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
        self._add("out", "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", tcp)
        self._add(
            "interface",
            "aws:ec2/networkInterface:NetworkInterface",
            {
                "subnetId": subnet.id,
                "privateIps": ["10.0.0.10"],
                "securityGroups": [firewall.id],
                "sourceDestCheck": False,
                "description": "slot a",
                "tags": TAGS,
            },
        )
        address = self._add("address", "aws:ec2/eip:Eip", {"domain": "vpc", "tags": TAGS})
        pair: Json = {"allocationId": address.id, "networkInterfaceId": self.made["interface"].id}
        self._add("address_association", "aws:ec2/eipAssociation:EipAssociation", pair)

    def _storage(self) -> None:
        key = self._add(
            "key",
            "aws:kms/key:Key",
            {"description": "k", "enableKeyRotation": True, "deletionWindowInDays": 7, "policy": ADMITS, "tags": TAGS},
        )
        self._add("alias", "aws:kms/alias:Alias", {"name": "alias/twinlock-test", "targetKeyId": key.id})
        secret: Json = {"name": "twinlock/test/service", "kmsKeyId": key.outputs["arn"], "recoveryWindowInDays": 0}
        self._add("secret", "aws:secretsmanager/secret:Secret", {**secret, "tags": TAGS})
        self._add("table", "aws:dynamodb/table:Table", table())
        item = {"pk": {"S": "environment"}, "sk": {"S": "definition"}, "mtu": {"N": "1420"}}
        keys: Json = {"tableName": "twinlock-test", "hashKey": "pk", "rangeKey": "sk"}
        self._add("item", "aws:dynamodb/tableItem:TableItem", {**keys, "item": json.dumps(item)})
        parameter: Json = {"name": "/twinlock/test/discovery", "type": "String", "value": "{}", "tags": TAGS}
        self._add("parameter", "aws:ssm/parameter:Parameter", parameter)
        bucket = self._add(
            "bucket", "aws:s3/bucket:Bucket", {"bucket": "twinlock-test-1a2b", "forceDestroy": True, "tags": TAGS}
        )
        its: Json = {"bucket": bucket.id}
        enabled: Json = {**its, "versioningConfiguration": {"status": "Enabled"}}
        self._add("versioning", "aws:s3/bucketVersioning:BucketVersioning", enabled)
        by_key: Json = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key.outputs["arn"]}
        self._add(
            "encryption",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            {**its, "rules": [{"applyServerSideEncryptionByDefault": by_key, "bucketKeyEnabled": True}]},
        )
        blocks = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        blocked: Json = {**its, **dict.fromkeys(blocks, True)}
        self._add("block", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", blocked)
        self._add("policy", "aws:s3/bucketPolicy:BucketPolicy", {**its, "policy": ADMITS})
        self._add(
            "object",
            "aws:s3/bucketObjectv2:BucketObjectv2",
            {
                **its,
                "key": "agent/twinlock.pyz",
                "source": Asset(hash="ab", text="zip"),
                "contentType": "application/zip",
            },
        )

    def _gateway(self) -> None:
        people: Json = {"name": "twinlock-test-reader", "description": "reads", "policy": POLICY, "tags": TAGS}
        self._add("managed_policy", "aws:iam/policy:Policy", people)
        name: Json = {"name": "twinlock-test-gateway-a"}
        self._add("role", "aws:iam/role:Role", {**name, "assumeRolePolicy": TRUST, "description": "d", "tags": TAGS})
        self._add(
            "role_policy",
            "aws:iam/rolePolicy:RolePolicy",
            {"name": "gateway", "role": "twinlock-test-gateway-a", "policy": POLICY},
        )
        profile: Json = {**name, "role": "twinlock-test-gateway-a", "tags": TAGS}
        arn = self._add("profile", "aws:iam/instanceProfile:InstanceProfile", profile).outputs["arn"]
        machine = template(self.made["interface"].id, iamInstanceProfile={"arn": arn})
        launched = self._add("template", "aws:ec2/launchTemplate:LaunchTemplate", machine)
        self._add("group", "aws:autoscaling/group:Group", group(launched.id))


def changed(made: Made, change: Callable[[Json], Json] | Json) -> Json:
    """The inputs with something else in them."""
    return change(made.inputs) if callable(change) else {**made.inputs, **change}
