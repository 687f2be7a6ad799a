"""`pulumi up` changes what groups launch, and nothing else: gateways replace themselves, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import deploy, fail, project
from lab.clients import Client
from lab.paths import LAB, ROOT, STACK
from tests.lab.fresh_gateways import aws
from tests.within import within
from twinlock.registry import keys

pytestmark = pytest.mark.timeout(500)
# The very program, but for what its gateways boot: nothing of a gateway.
BROKEN = f"""import base64
import runpy
import sys

sys.path.insert(0, {str(ROOT)!r})
from components.aws import boot

boot.render_base64 = lambda told: base64.b64encode(b"#!/bin/sh\\nexit 1\\n").decode()
runpy.run_path({str(ROOT / "__main__.py")!r}, run_name="__main__")
"""
END_TWIN = """import sys, botocore.session
from botocore.exceptions import ClientError
client = botocore.session.get_session().create_client("autoscaling", region_name="eu-west-1")
try:
    client.terminate_instance_in_auto_scaling_group(InstanceId=sys.argv[1], ShouldDecrementDesiredCapacity=False)
except ClientError as refused:
    print(refused.response["Error"]["Code"])
"""


def stack(zone: str) -> Path:
    """The lab's stack file with one private zone more, which is in the user data and of no matter to anybody."""
    document = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())
    document["config"]["twinlock:tunnel"]["dns"]["zones"].append(zone)
    file = LAB / "Pulumi.rolled.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def up(lab, file: Path, folder: Path = STACK) -> None:
    words = ("up", "--yes", "--skip-preview", "--stack", "lab", "--config-file", str(file))
    deploy.pulumi(lab.deployer, *words, folder=folder)


def machines() -> dict[str, str]:
    return {one.slot: one.machine for one in fail.gateways()}


def all_new(lab, before: dict[str, str]) -> Callable[[], bool]:
    def look() -> bool:
        found = lab.twinlock("status")
        rows = {row["slot"]: row for row in found["gateways"]}
        return (
            found["well"]
            and not found["rolling"]["outdated"]
            and all(rows[slot]["instance_id"] != machine for slot, machine in before.items())
        )

    return look


@pytest.fixture
def rolled(lab) -> Iterator[None]:
    """The lab's own stack file again, and gateways of it."""
    fail.settle()
    yield
    up(lab, STACK / "Pulumi.lab.yaml")
    within(200, lambda: not lab.twinlock("status")["rolling"]["outdated"], "gateways of the lab's own template")
    fail.settle()


@pytest.mark.usefixtures("rolled")
def test_gateways_replace_themselves_one_after_the_other_and_a_download_goes_through(lab, ada: Client) -> None:
    before, serving = machines(), fail.serving(fail.gateways())
    at, calls_before = time.time(), len(lab.log("calls"))
    with fail.watched(ada, 0) as watch, fail.loaded(ada, "download"):
        up(lab, stack("one.internal"))
        took = within(240, all_new(lab, before), "both gateways of the new template")
    gap = watch.seen.longest_gap(at)[0]
    print(f"both replaced {took:.0f} s after the deployment; the longest gap {gap:.3f} s")
    assert gap < 1.0
    ended = [
        each for each in lab.log("calls")[calls_before:] if "TerminateInstanceInAutoScalingGroup" in json.dumps(each)
    ]
    by = [next(slot for slot in before if f"gateway-{slot}" in json.dumps(each.get("caller"))) for each in ended]
    assert by == [*({"a", "b"} - {serving}), serving], f"each its own, the standby first: {ended}"
    assert fail.serving(fail.gateways()) != serving, "and nobody moved back"


def test_a_gateway_may_end_no_machine_but_its_own(lab) -> None:
    for one, other in ("ab", "ba"):
        assert lab.on_gateway(one, "python3", "-c", END_TWIN, lab.machine(other)).strip() == "AccessDenied"


@pytest.mark.long
@pytest.mark.usefixtures("rolled")
def test_user_data_that_boots_no_gateway_takes_one_and_the_other_goes_on_serving(lab, ada, tmp_path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "__main__.py").write_text(BROKEN)
    own = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())["config"]
    folder = project.write(tmp_path / "project", "lab", own, tmp_path / "program")
    before, at = machines(), time.time()
    with fail.watched(ada, 0) as watch:
        up(lab, STACK / "Pulumi.lab.yaml", folder)
        within(90, lambda: rolling(lab)["slot"] is not None, "the first one goes")
        gone = rolling(lab)["slot"]
        stays = next(slot for slot in before if slot != gone)
        within(60, lambda: not lab.twinlock("status")["well"], "the first one is silent")
        time.sleep(45)
    print(f"gateway {gone} did not come back; the longest gap {watch.seen.longest_gap(at)[0]:.3f} s")
    assert watch.seen.longest_gap(at)[0] < 1.0
    assert machines()[stays] == before[stays]
    assert fail.serving(fail.gateways()) == stays
    assert "has not registered" in rolling(lab)["why"]
    _as_if_minutes_ago(lab)
    told = rolling(lab)
    assert told["stopped"] and f"gateway roll --slot {gone}" in told["next"], told
    up(lab, stack("mended.internal"))
    time.sleep(20)
    assert machines()[stays] == before[stays], "it waits for the other one, also with what is mended"
    lab.twinlock("gateway", "roll", "--slot", gone)
    took = within(240, all_new(lab, before), "both gateways of the mended template")
    print(f"mended: both are new {took:.0f} s after the broken one was ended")


def rolling(lab) -> dict[str, Any]:
    return lab.twinlock("status")["rolling"]


def _as_if_minutes_ago(lab) -> None:
    table = json.loads(deploy.pulumi(lab.deployer, "stack", "output", "--json", "--stack", "lab"))["table"]
    key = {keys.PARTITION: {"S": keys.ROLLING}, keys.SORT: {"S": "lease"}}
    aws(lab, "dynamodb").update_item(
        TableName=table, Key=key, UpdateExpression="SET #at = #at - :s", ExpressionAttributeNames={"#at": "at"},
        ExpressionAttributeValues={":s": {"N": "300"}},
    )  # fmt: skip
