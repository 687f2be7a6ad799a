"""The engine is killed in the middle of a deployment; after `recover` the next converges, nothing is there twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from lab.paths import STACK, TOOLS
from tests.cloud import Cloud, config, project, pulumi
from twinlock.automation import Automation, EnvironmentSpec, spec

pytestmark = pytest.mark.timeout(900)
RESOURCES = 70  # the last ones of a deployment are over sooner than a loaded machine can kill it


def wanted(name: str) -> EnvironmentSpec:
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in config().items()}
    return spec({"environment": name, **found})


def _killed_at(made: Cloud, folder: Path, name: str, count: int) -> None:
    """Engine, providers and program, as with a lost runner, once `count` resources are written and one is begun."""
    command = [str(TOOLS / "bin" / "pulumi"), "up", "--yes", "--skip-preview", "--stack", name, "--non-interactive"]
    process = subprocess.Popen(
        command, cwd=folder, env=made.environment(), start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    file = _state_file(made, name)
    while process.poll() is None and not _begun(file, count):
        time.sleep(0.002)
    for member in _session(process.pid):
        os.kill(member, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the deployment was over before it was killed"


def _begun(file: Path, count: int) -> bool:
    resources, _, pending = file.read_text().partition('"pending_operations"')
    return '"creating"' in pending and resources.count('"urn"') >= count


def _session(leader: int) -> list[int]:
    """All processes of a session: the engine starts its plugins in groups of their own."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return found


def _names(made: Cloud, name: str) -> Counter[str]:
    """How often each Name is there, of what carries the environment's tag; rules and routes can't be there twice."""
    ec2, kms = made.control.client("ec2"), made.control.client("kms")
    tagged = [{"Name": "tag:twinlock:environment", "Values": [name]}]
    kinds = {
        "describe_vpcs": "Vpcs", "describe_subnets": "Subnets", "describe_internet_gateways": "InternetGateways",
        "describe_route_tables": "RouteTables", "describe_security_groups": "SecurityGroups",
        "describe_addresses": "Addresses", "describe_network_interfaces": "NetworkInterfaces",
        "describe_vpc_endpoints": "VpcEndpoints",
    }  # fmt: skip
    found = [
        f"{kind} {tag['Value']}"
        for operation, kind in kinds.items()
        for row in getattr(ec2, operation)(Filters=tagged)[kind]
        if str(row.get("State", "")).lower() != "deleted"
        for tag in row.get("Tags", row.get("TagSet", []))
        if tag["Key"] == "Name"
    ]
    for key in kms.list_keys()["Keys"]:
        tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]}
        state = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]
        if tags.get("twinlock:environment") == name and state != "PendingDeletion":
            found.append(f"Keys {tags['Name']}")
    return Counter(found)


def _pending(made: Cloud, name: str) -> list[str]:
    """Types, as the engine's own file has them."""
    checkpoint = json.loads(_state_file(made, name).read_text())["checkpoint"]["latest"]
    return [each["resource"]["type"] for each in checkpoint.get("pending_operations") or []]


def _state_file(made: Cloud, name: str) -> Path:
    [file] = (made.folder / "state").glob(f".pulumi/stacks/*/{name}.json")
    return file


def _kill_and_recover(made: Cloud, tmp_path: Path, kills: list[int], name: str) -> list[str]:
    """What was pending after the kills. At the end nothing is there twice, and a last look finds nothing to do."""
    folder = project(tmp_path / name, name, config())
    pulumi(made, folder, "stack", "init", name)
    platform = Automation(STACK, made.folder / "work", made.environment())
    seen: list[str] = []
    for count in kills:
        _killed_at(made, folder, name, count)
        seen += _pending(made, name)
        platform.recover(wanted(name))
        assert _pending(made, name) == []
    platform.deploy(wanted(name))
    assert [each for each, times in _names(made, name).items() if times > 1] == []
    assert platform.drift(wanted(name)).changed == ()
    platform.destroy(wanted(name))
    assert not _names(made, name)
    return seen


@pytest.mark.long
def test_a_deployment_that_is_killed_twice_converges(made: Cloud, tmp_path: Path):
    assert _kill_and_recover(made, tmp_path, [15, 50], "twice")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_deployment_that_is_killed_anywhere_converges(made: Cloud, tmp_path: Path, seed: int):
    """Four kills for each of five environments: twenty."""
    kills = sorted(random.Random(seed).sample(range(3, RESOURCES), 4))
    assert _kill_and_recover(made, tmp_path, kills, f"seed-{seed}")
