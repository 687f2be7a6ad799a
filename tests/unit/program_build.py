"""Runs the whole program once against recorded resources: what a deployment would ask for."""

from __future__ import annotations

import copy
import json
import zlib
from dataclasses import dataclass, field

import grpc
import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import Stack

ACCOUNT = "123456789012"
RED = f"arn:aws:iam::{ACCOUNT}:role/red"
CONFIG: dict[str, object] = {
    "environment": "test",
    "region": "eu-west-1",
    "network": {"zones": ["eu-west-1a", "eu-west-1b"]},
    "tunnel": {"range": "10.90.0.0/16", "client_ranges": ["203.0.113.0/24", "198.51.100.0/24"]},
    "gateway": {"image": "ami-0123456789abcdef0"},
    "storage": {"buckets": ["data", "logs"], "break_glass": [f"arn:aws:iam::{ACCOUNT}:role/deployer"]},
    "tenants": {
        "red": {
            "range": "10.90.16.0/20",
            "principals": [RED],
            "buckets": ["data"],
            "services": [{"name": "db", "cidr": "10.20.128.5/32", "port": 5432}],
        },
        "blue": {"range": "10.90.32.0/20"},
    },
}


VPC, CROSSING, PUBLIC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210", "vpc-0fedcba9876543211"


def _network(*blocks: str) -> dict:
    associations = [{"associationId": block, "cidrBlock": block, "state": "associated"} for block in blocks]
    return {
        "id": VPC,
        "cidrBlock": blocks[0],
        "cidrBlockAssociations": associations,
        "enableDnsSupport": True,
        "enableDnsHostnames": True,
    }


GENERATED6 = "2001:db8:77:ab00::/56"  # what the cloud gives a network
OWN = {"twinlock:environment": "test"}
# What exists already: function -> what is asked for -> the answer.
LOOKUPS: dict[str, dict[str, dict]] = {
    "aws:ec2/getVpc:getVpc": {
        VPC: {**_network("10.20.0.0/16"), "ipv6CidrBlockAssociations": [{"ipv6CidrBlock": "2001:db8:1234:5600::/56"}]},
        CROSSING: _network("10.20.0.0/16", "10.90.128.0/17"),
        PUBLIC: _network("10.20.0.0/16", "15.200.0.0/16"),
    },
    "aws:ec2/getInternetGateway:getInternetGateway": {
        VPC: {"internetGatewayId": "igw-existing"},
        CROSSING: {"internetGatewayId": "igw-existing"},
        PUBLIC: {"internetGatewayId": "igw-existing"},
    },
    "aws:ec2/getSubnets:getSubnets": {
        VPC: {"ids": ["subnet-taken", "subnet-own"]},
        CROSSING: {"ids": []},
        PUBLIC: {"ids": []},
    },
    "aws:ec2/getSubnet:getSubnet": {
        "subnet-taken": {"cidrBlock": "10.20.64.0/24", "ipv6CidrBlock": "2001:db8:1234:5640::/64", "tags": {}},
        "subnet-own": {"cidrBlock": "10.20.0.0/24", "tags": OWN},
    },
    "aws:ec2/getNetworkInterface:getNetworkInterface": {
        "eni-endpoint-a": {"privateIp": "10.20.128.7"},
        "eni-endpoint-b": {"privateIp": "10.20.144.7"},
    },
    "aws:s3/getBucket:getBucket": {
        "our-data": {"bucket": "our-data", "bucketRegion": "eu-west-1"},
        "far-away": {"bucket": "far-away", "bucketRegion": "us-east-1"},
    },
    "aws:s3/getBucketPolicy:getBucketPolicy": {
        "far-away": {"policy": ""},
        "our-data": {
            "policy": json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Sid": "Auditors", "Effect": "Allow", "Principal": {"AWS": ACCOUNT},
                         "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::our-data"},
                        {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"},
                    ],
                }
            )
        },
    },
}  # fmt: skip


def changed(**objects: object) -> dict[str, object]:
    """CONFIG with the named objects' keys set anew: `changed(gateway={"stock_image": False})`."""
    config = copy.deepcopy(CONFIG)
    for name, value in objects.items():
        before = config.get(name)
        config[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return config


@dataclass(frozen=True, kw_only=True)
class Made:
    """A resource that the program asked for. Property names are the provider's (camelCase)."""

    type: str
    name: str
    inputs: dict
    custom: bool


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the account has room for."""

    held: tuple[str, ...] = ()  # elastic IPs of the region
    own: tuple[str, ...] = ()  # of those, the environment's
    quota: float = 5.0
    networks: tuple[str, ...] = ("vpc-default",)
    own_network: bool = False  # the environment's is among them
    offered: tuple[str, ...] = ("eu-west-1a", "eu-west-1b", "eu-west-1c")

    def answers(self, args: mocks.MockCallArgs) -> dict[str, object] | None:
        match args.token:
            case "aws:ec2/getEips:getEips":
                return {"publicIps": list(self.own if args.args.get("tags") else self.held)}
            case "aws:ec2/getVpcs:getVpcs":
                return {"ids": list(self.networks[: self.own_network] if args.args.get("tags") else self.networks)}
            case "aws:servicequotas/getServiceQuota:getServiceQuota":
                return {"value": self.quota}
            case "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
                return {"locations": list(self.offered)}
        return None


class UnknownToCloud(grpc.RpcError):
    """As the engine answers when a provider finds nothing."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return str(self)


@dataclass
class Recording(mocks.Mocks):
    room: Room = Room()
    made: list[Made] = field(default_factory=list)
    outputs: dict[str, object] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)  # names of what the engine refuses to delete
    orphans: set[str] = field(default_factory=set)  # names of resources without a component above them
    parents: dict[tuple[str, str], str] = field(default_factory=dict)  # (type, name) -> the component's type
    prefix_lists: set[str] = field(default_factory=set)  # of the gateway endpoints
    waits: dict[str, set[tuple[str, str]]] = field(
        default_factory=dict
    )  # name -> kinds and names it was told to wait for

    def new_resource(self, args: mocks.MockResourceArgs):
        inputs = {key: _plain(value) for key, value in args.inputs.items()}
        self.made.append(Made(type=args.typ, name=args.name, inputs=inputs, custom=bool(args.custom)))
        return f"{args.name}-id", {**args.inputs, **self._computed(args)}

    def call(self, args: mocks.MockCallArgs):
        if args.token == "aws:index/getCallerIdentity:getCallerIdentity":
            return {"accountId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:user/deployer", "userId": "U", "id": ACCOUNT}
        if (room := self.room.answers(args)) is not None:
            return room
        answers = LOOKUPS[args.token]
        asked = args.args.get("id") or args.args.get("bucket") or args.args["filters"][0]["values"][0]
        if asked not in answers:
            raise UnknownToCloud(f"nothing known of {asked}")
        return answers[asked]

    def of(self, kind: str) -> list[Made]:
        """All resources whose type's last word is `kind`."""
        return [made for made in self.made if made.type.rsplit(":", 1)[-1] == kind]

    def one(self, kind: str, name: str) -> Made:
        found = [made for made in self.of(kind) if made.name.endswith(name)]
        assert len(found) == 1, f"{kind} {name}: {[made.name for made in self.of(kind)]}"
        return found[0]

    def _computed(self, args: mocks.MockResourceArgs) -> dict[str, object]:
        prefix_list = f"pl-{zlib.crc32(args.name.encode()):08x}"  # resources are made in no certain order
        arns = {
            "aws:s3/bucket:Bucket": lambda: f"arn:aws:s3:::{args.inputs['bucket']}",
            "aws:dynamodb/table:Table": lambda: f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/{args.inputs['name']}",
        }
        computed: dict[str, object] = {
            "arn": arns.get(args.typ, lambda: f"arn:aws:any:eu-west-1:{ACCOUNT}:{args.name}")()
        }
        by_type = {
            "random:index/randomId:RandomId": {"hex": "0a1b2c3d"},
            # Of slot a 192.0.2.1, of slot b 192.0.2.2.
            "aws:ec2/eip:Eip": {
                "publicIp": f"192.0.2.{1 + int(args.name.endswith('b-address'))}",
                "allocationId": f"eipalloc-{args.name}",
            },
            "aws:ec2/vpcEndpoint:VpcEndpoint": {
                "prefixListId": prefix_list,
                "networkInterfaceIds": ["eni-endpoint-b", "eni-endpoint-a"],
            },
            "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
        }
        if args.inputs.get("assignGeneratedIpv6CidrBlock"):
            computed["ipv6CidrBlock"] = GENERATED6
        if args.inputs.get("vpcEndpointType") == "Gateway":
            self.prefix_lists.add(prefix_list)
        return computed | by_type.get(args.typ, {})


def build(config: dict[str, object] | None = None, room: Room = Room()) -> Recording:
    """The whole program, to its last resource, with all outputs known."""
    from components.aws.environment import Environment
    from components.plan import plan
    from components.settings import parse

    recording = Recording(room=room)
    settings = parse(config or CONFIG)
    mocks.set_mocks(recording, project="twinlock", stack=settings.environment, preview=False)

    def seen(args: pulumi.ResourceTransformationArgs) -> None:
        if args.opts.protect:
            recording.protected.add(args.name)
        recording.parents[args.type_, args.name] = args.opts.parent._type if args.opts.parent else ""
        if isinstance(args.opts.depends_on, list):
            waited = [each for each in args.opts.depends_on if isinstance(each, pulumi.Resource)]
            recording.waits[args.name] = {(each._type.rsplit(":", 1)[-1], each._name) for each in waited}
        if args.opts.parent is None or isinstance(args.opts.parent, Stack):
            recording.orphans.add(args.name)

    @pulumi.runtime.test
    def run():
        pulumi.runtime.register_stack_transformation(seen)
        environment = Environment(settings, plan(settings))
        return pulumi.Output.from_input(environment.outputs).apply(recording.outputs.update)

    run()
    return recording


def _plain(value: object) -> object:
    """Without the mark that the engine puts on what it must not print."""
    return value["value"] if isinstance(value, dict) and rpc._special_sig_key in value else value


def document(made: Made, key: str = "policy") -> dict:
    return json.loads(made.inputs[key])
