"""Interface endpoints, switched on in a running environment: names, addresses, the tag on the traffic, the group."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab import calls, clients, deploy
from lab.paths import STACK
from tests.lab.test_peers_live import FORWARDER, api, asked, asking_the_gateway, found

pytestmark = [pytest.mark.timeout(400), pytest.mark.long]

NAME = "s3.eu-west-1.amazonaws.com"
ROUND_TRIP = """
import boto3, sys
from botocore.config import Config
s3 = boto3.client("s3", region_name="eu-west-1",
                  config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}))
s3.put_object(Bucket=sys.argv[1], Key="private/object", Body=b"x" * 100000)
print(len(s3.get_object(Bucket=sys.argv[1], Key="private/object")["Body"].read()))
"""


def up(lab, *words: str) -> None:
    deploy.pulumi(lab.deployer, "up", "--yes", "--skip-preview", "--stack", "lab", *words)


@pytest.fixture(scope="module")
def private(lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The id of the storage's interface endpoint."""
    stack = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())
    stack["config"]["twinlock:network"]["interface_endpoints"] = True
    file: Path = tmp_path_factory.mktemp("stack") / "Pulumi.lab.yaml"
    file.write_text(yaml.safe_dump(stack))
    up(lab, "--config-file", str(file))
    try:
        found = api(lab, "ec2").describe_vpc_endpoints()["VpcEndpoints"]
        (storage,) = [
            each["VpcEndpointId"] for each in found
            if each["VpcEndpointType"] == "Interface" and each["ServiceName"].endswith(".s3")
        ]  # fmt: skip
        yield storage
    finally:
        up(lab)


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.2)


def moved(lab) -> tuple[int, str]:
    """A round trip of an object from a gateway, as a tenant: (exit code, what was printed)."""
    given = [f"{key}={value}" for key, value in clients.storage_credentials("red").items() if key != "AWS_CA_BUNDLE"]
    argv = ["env", *given, "python3", "-c", ROUND_TRIP, lab.report_bucket()]
    return calls.run(lab.machine("a"), *argv)


def test_an_object_travels_through_the_storages_interface_endpoint(lab, private: str) -> None:
    until(lambda: lab.on_gateway("a", "getent", "ahostsv4", NAME).startswith("10.20."))
    code, printed = moved(lab)
    assert (code, printed.strip()) == (0, "100000"), printed
    through = {each["endpoint"] for each in lab.log("calls") if "private/object" in json.dumps(each["needs"])}
    assert through == {private}


@pytest.fixture
def addresses(lab, private: str) -> list[str]:
    ec2 = api(lab, "ec2")
    (endpoint,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[private])["VpcEndpoints"]
    seen = ec2.describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])["NetworkInterfaces"]
    return sorted(one["PrivateIpAddress"] for one in seen)


def test_a_client_finds_the_storage_at_its_private_addresses_and_moves_an_object(lab, addresses, private, ada) -> None:
    """By its own C library, which asks the gateway first; what a new file routes, and what the gateway lets through."""
    name = f"{lab.report_bucket()}.{NAME}"
    code, *answer = asked(ada, FORWARDER, name).split()
    assert (code, sorted(answer)) == ("ok", addresses)
    assert found(ada, name) in addresses
    file = lab.twinlock("peer", "config", "ada", "--tenant", "red")
    assert {f"{address}/32" for address in addresses} <= set(file["allowed"])
    assert file["names"]["zones"][-1] == NAME
    with clients.widened(ada, *(f"{address}/32" for address in addresses)):
        for slot in "ab":
            until(lambda slot=slot: addresses[0] in let_through(lab, slot))
        before = len(lab.log("calls"))
        command = f"{clients.PYTHON} -c '{ROUND_TRIP}' {lab.report_bucket()}"
        done = ada.run("sh", "-c", asking_the_gateway(command))
        assert (done.returncode, done.stdout.strip()) == (0, "100000"), done.stderr
        calls_of = [each for each in lab.log("calls")[before:] if "private/object" in json.dumps(each["needs"])]
        assert {each["endpoint"] for each in calls_of} == {private}


def let_through(lab, slot: str) -> str:
    return lab.on_gateway(slot, "nft", "list", "set", "inet", "twinlock", "storage")


def test_from_outside_the_name_still_leads_to_the_internet(lab, private: str, ada) -> None:
    assert not ada.run("getent", "ahostsv4", NAME).stdout.startswith("10.20.")


def test_the_endpoints_group_bites(lab, private: str) -> None:
    ec2 = api(lab, "ec2")
    (endpoint,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[private])["VpcEndpoints"]
    group = endpoint["Groups"][0]["GroupId"]
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=shown["IpPermissions"])
    try:
        until(lambda: moved(lab)[0] != 0, 60)
        code, printed = moved(lab)
        assert code != 0 and "Connect timeout" in printed, printed
    finally:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=shown["IpPermissions"])
    until(lambda: moved(lab)[0] == 0, 60)
