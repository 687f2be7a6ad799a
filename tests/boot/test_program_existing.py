"""The unchanged program in an account that has a network and a bucket already: the real engine, the lab's cloud."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import yaml

from lab import calls, deploy, life
from lab.paths import ROOT, STACK, TOOLS

# A whole deployment, and on a busy machine two.
pytestmark = pytest.mark.timeout(400)

BUCKET = "an-older-bucket"
AUDITORS = {
    "Sid": "Auditors",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "s3:GetBucketAcl",
    "Resource": f"arn:aws:s3:::{BUCKET}",
}


class Stack:
    """A project folder of its own beside the lab's, with the lab's plugins; `config` changes the lab's own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.aws = folder, environment
        (folder / "state").mkdir()
        self._environment = {**deploy.environment(environment), "PULUMI_BACKEND_URL": f"file://{folder / 'state'}"}
        project = yaml.safe_load((STACK / "Pulumi.yaml").read_text())
        project["main"] = str(ROOT)
        project["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
        for plugin in project["plugins"]["providers"]:
            plugin["path"] = str((STACK / plugin["path"]).resolve())
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        assert self.run("stack", "init", "other")[0] == 0

    def configure(self, **changes: dict[str, object]) -> None:
        stack = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())
        for name, values in changes.items():
            stack["config"][f"twinlock:{name}"] |= values
        (self.folder / "Pulumi.other.yaml").write_text(yaml.safe_dump(stack))

    def run(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(TOOLS / "bin" / "pulumi"), *words, "--non-interactive", "--color", "never"],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def client(self, service: str):
        aws = self.aws
        return boto3.client(
            service, region_name="eu-west-1", endpoint_url=aws["AWS_ENDPOINT_URL"], verify=aws["AWS_CA_BUNDLE"],
            aws_access_key_id=aws["AWS_ACCESS_KEY_ID"], aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip


@dataclass(frozen=True)
class Account:
    """With a network that has a subnet, and with a bucket that has a policy."""

    stack: Stack
    vpc: str

    def subnets(self) -> set[str]:
        found = self.stack.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        return {each["CidrBlock"] for each in found["Subnets"]}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    life.down()
    life.start_daemon()
    try:
        calls.start(rootless=True)
        stack = Stack(tmp_path_factory.mktemp("other"), calls.environment())
        ec2, s3 = stack.client("ec2"), stack.client("s3")
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.8.0/24")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [AUDITORS]}))
        yield Account(stack, vpc)
    finally:
        life.down()


def test_what_is_not_there_is_told_in_a_line_each_and_nothing_is_made(account: Account) -> None:
    """A network without a way out and a bucket that nobody has."""
    stack = account.stack
    missing: dict[str, object] = {"existing": {"archive": "no-such-bucket-anywhere"}}
    stack.configure(network={"vpc_id": account.vpc, "cidr": "10.20.240.0/20"}, storage=missing)
    code, printed = stack.run("up", "--yes", "--skip-preview", "--stack", "other")
    assert code != 0 and "Traceback" not in printed
    for told in ("twinlock:network.vpc_id", "twinlock:storage.existing.archive"):
        assert sum(told in line for line in printed.splitlines()) == 1, printed
    resources = json.loads(stack.run("stack", "export", "--stack", "other")[1])["deployment"].get("resources", [])
    assert not [each["type"] for each in resources if not each["type"].startswith("pulumi:")]


def test_the_program_lives_in_a_network_and_behind_a_bucket_that_were_there_before(account: Account) -> None:
    stack, vpc = account.stack, account.vpc
    gateway = stack.client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    stack.client("ec2").attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    storage: dict[str, object] = {"buckets": ["data"], "existing": {"archive": BUCKET}}
    stack.configure(network={"vpc_id": vpc, "cidr": "10.20.240.0/20"}, storage=storage)
    code, printed = stack.run("up", "--yes", "--skip-preview", "--stack", "other")
    assert code == 0, printed[-3000:]
    assert account.subnets() == {"10.20.8.0/24", "10.20.240.0/24", "10.20.241.0/24", "10.20.248.0/24", "10.20.249.0/24"}
    policy = json.loads(stack.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert policy[0] == AUDITORS
    assert {each["Sid"] for each in policy} > {"TlsOnly", "ThroughEndpointOnly", "TenantsObjects"}
    code, printed = stack.run("preview", "--expect-no-changes", "--stack", "other")
    assert code == 0, printed[-3000:]


def test_it_goes_without_what_was_there_before(account: Account) -> None:
    code, printed = account.stack.run("destroy", "--yes", "--skip-preview", "--stack", "other")
    assert code == 0, printed[-3000:]
    assert account.subnets() == {"10.20.8.0/24"}
    assert account.stack.client("s3").head_bucket(Bucket=BUCKET)
