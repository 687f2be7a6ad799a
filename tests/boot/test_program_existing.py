"""The unchanged program in an account that has a network and a bucket already: the real engine, the lab's cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest

from tests.cloud import Cloud, cloud, config, project, pulumi

# A whole deployment, and on a busy machine two.
pytestmark = pytest.mark.timeout(400)

TAGS = [{"Key": "owner", "Value": "auditors"}]
BUCKET = "an-older-bucket"
AUDITORS = {
    "Sid": "Auditors",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "s3:GetBucketAcl",
    "Resource": f"arn:aws:s3:::{BUCKET}",
}


PART6 = "2001:db8:1:10::/60"  # of what the lab's cloud gives its first network


@dataclass(frozen=True)
class Account:
    """With a network that has a subnet, and with a bucket that has a policy."""

    cloud: Cloud
    vpc: str

    def client(self, service: str):
        aws = self.cloud.aws()
        return boto3.client(
            service, region_name="eu-west-1", endpoint_url=aws["AWS_ENDPOINT_URL"], verify=aws["AWS_CA_BUNDLE"],
            aws_access_key_id=aws["AWS_ACCESS_KEY_ID"], aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def way_out(self) -> None:
        """The network's, made where there is none yet."""
        ec2, attached = self.client("ec2"), [{"Name": "attachment.vpc-id", "Values": [self.vpc]}]
        if not ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
            gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)

    def network(self) -> dict[str, object]:
        """All that is the owner's to say of it, but for its state."""
        ec2 = self.client("ec2")
        names = ("enableDnsSupport", "enableDnsHostnames")
        asked = {name: ec2.describe_vpc_attribute(VpcId=self.vpc, Attribute=name) for name in names}
        set_to = {name: found[name[0].upper() + name[1:]]["Value"] for name, found in asked.items()}
        return {**ec2.describe_vpcs(VpcIds=[self.vpc])["Vpcs"][0], **set_to}

    def subnets(self) -> set[str]:
        found = self.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        return {each["CidrBlock"] for each in found["Subnets"]}

    def subnets6(self) -> set[str]:
        found = self.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        return {six["Ipv6CidrBlock"] for each in found["Subnets"] for six in each["Ipv6CidrBlockAssociationSet"]}

    def run(self, *words: str, code: int = 0, **changes: dict[str, object]) -> str:
        """What Pulumi printed about the stack, whose configuration is the lab's with `changes`."""
        folder = project(self.cloud.folder / "other", "other", config(**changes))
        return pulumi(self.cloud, folder, *words, "--stack", "other", code=code)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with cloud(tmp_path_factory.mktemp("cloud")) as running:
        account = Account(running, "")
        ec2, s3 = account.client("ec2"), account.client("s3")
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.8.0/24")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [AUDITORS]}))
        account = Account(running, vpc)
        pulumi(running, project(running.folder / "other", "other", config()), "stack", "init", "other")
        yield account


def test_what_is_not_there_is_told_in_a_line_each_and_nothing_is_made(account: Account) -> None:
    """A network without a way out and a bucket that nobody has."""
    missing: dict[str, object] = {"existing": {"archive": "no-such-bucket-anywhere"}}
    network: dict[str, object] = {"vpc_id": account.vpc, "cidr": "10.20.240.0/20", "cidr6": PART6}
    printed = account.run("up", "--yes", "--skip-preview", code=1, network=network, storage=missing)
    assert "Traceback" not in printed
    for told in ("twinlock:network.vpc_id", "twinlock:storage.existing.archive"):
        assert sum(told in line for line in printed.splitlines()) == 1, printed
    resources = json.loads(account.run("stack", "export"))["deployment"].get("resources", [])
    assert not [each["type"] for each in resources if not each["type"].startswith("pulumi:")]


def test_the_program_lives_in_a_network_and_behind_a_bucket_that_were_there_before(account: Account) -> None:
    account.way_out()
    wanted: dict[str, dict[str, object]] = {
        "network": {"vpc_id": account.vpc, "cidr": "10.20.240.0/20", "cidr6": PART6},
        "storage": {"buckets": ["data"], "existing": {"archive": BUCKET}},
    }
    account.run("up", "--yes", "--skip-preview", **wanted)
    assert account.subnets() == {"10.20.8.0/24", "10.20.240.0/24", "10.20.241.0/24", "10.20.248.0/24", "10.20.249.0/24"}
    assert account.subnets6() == {f"2001:db8:1:1{number}::/64" for number in (0, 1, 8, 9)}
    policy = json.loads(account.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert policy[0] == AUDITORS
    assert {each["Sid"] for each in policy} > {"TlsOnly", "ThroughEndpointOnly", "TenantsObjects"}
    account.run("preview", "--expect-no-changes", **wanted)


def test_it_goes_without_what_was_there_before(account: Account) -> None:
    account.run("destroy", "--yes", "--skip-preview")
    assert account.subnets() == {"10.20.8.0/24"}
    assert account.client("s3").head_bucket(Bucket=BUCKET)


@pytest.mark.long
def test_a_network_and_a_bucket_are_adopted_as_they_stand_and_outlive_the_environment(account: Account) -> None:
    s3 = account.client("s3")
    account.way_out()
    wanted: dict[str, dict[str, object]] = {
        "network": {"vpc_id": account.vpc, "cidr": "10.20.240.0/20", "cidr6": PART6, "adopt": True},
        "storage": {"buckets": ["data"], "existing": {"archive": BUCKET}, "adopt": ["archive"], "protect": False},
    }
    account.client("ec2").create_tags(Resources=[account.vpc], Tags=TAGS)
    before = account.network()
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": TAGS})
    s3.put_object(Bucket=BUCKET, Key="old", Body=b"older than the environment")
    shown = account.run("preview", **wanted)
    imported = {line.split()[1] for line in shown.splitlines() if line.split()[:1] == ["="] and "aws:" in line}
    assert imported == {"aws:s3:Bucket", "aws:ec2:Vpc"}, shown
    done = account.run("up", "--yes", "--skip-preview", **wanted)
    assert "= 2 imported" in done and "updated" not in done, done
    assert account.network() == before
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == TAGS
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert {each["Sid"] for each in policy} > {"TlsOnly", "ThroughEndpointOnly", "TenantsObjects"}
    account.run("preview", "--expect-no-changes", **wanted)
    account.run("destroy", "--yes", "--skip-preview", **wanted)
    assert account.network() == before and account.subnets() == {"10.20.8.0/24"}
    assert s3.get_object(Bucket=BUCKET, Key="old")["Body"].read() == b"older than the environment"
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == TAGS
