"""Deployments by the Automation API, with the real engine, to the lab's control plane."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys

import pytest

from lab.paths import ROOT, STACK
from tests.cloud import Cloud, config, project
from twinlock.automation import Automation, Busy, Cancelled, EnvironmentSpec, Refused, TimedOut, Wishes, spec
from twinlock.change import Done, Started

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def platform(made: Cloud) -> Automation:
    return Automation(STACK, made.folder / "work", made.environment())


def wanted(name: str, **objects: dict[str, object]) -> EnvironmentSpec:
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in config(**objects).items()}
    return spec({"environment": name, **found})


def remains(made: Cloud, name: str) -> dict[str, list[str]]:
    """What of an environment is in the account, by its name or tag."""
    ec2, iam, s3 = (made.control.client(service) for service in ("ec2", "iam", "s3"))
    dynamodb, groups = made.control.client("dynamodb"), made.control.client("autoscaling", overrides=True)
    mark = f"twinlock-{name}"
    tagged = [{"Name": "tag:twinlock:environment", "Values": [name]}]
    found = {
        "networks": [one["VpcId"] for one in ec2.describe_vpcs(Filters=tagged)["Vpcs"]],
        "addresses": [one["PublicIp"] for one in ec2.describe_addresses(Filters=tagged)["Addresses"]],
        "roles": [one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"].startswith(mark)],
        "buckets": [one["Name"] for one in s3.list_buckets()["Buckets"] if one["Name"].startswith(mark)],
        "tables": [one for one in dynamodb.list_tables()["TableNames"] if one.startswith(mark)],
        "groups": [
            one["AutoScalingGroupName"]
            for one in groups.describe_auto_scaling_groups()["AutoScalingGroups"]
            if one["AutoScalingGroupName"].startswith(mark)
        ],
    }
    return {kind: names for kind, names in found.items() if names}


@pytest.mark.long
def test_an_environment_lives_from_its_deployment_to_its_end(made: Cloud, platform: Automation, capfd):
    """Cancelled in the middle, deployed, left alone, changed by hand, repaired, destroyed."""
    one = wanted("life")
    assert asyncio.run(_cancelled_at(platform, one, 25)) >= 25
    assert platform.outputs(one) is None
    assert platform.deploy(one).counts().keys() == {"create"}  # the rest, nothing doubled
    assert {kind: len(names) for kind, names in remains(made, "life").items()} == {
        "networks": 1, "addresses": 2, "roles": 2, "buckets": 2, "tables": 1, "groups": 2,
    }  # fmt: skip
    told = platform.outputs(one)
    assert told is not None and told.table == "twinlock-life" and told.gateways.keys() == {"a", "b"}
    assert told.endpoints == tuple(f"{address}:51820" for address in told.gateways.values())
    assert platform.deploy(one).changed == ()
    _close_the_tunnel_by_hand(made)
    _open_a_door_by_hand(made, "life")
    found = platform.drift(one).changed
    assert [(change.action, change.name) for change in found] == [("create", "twinlock-life-tunnel-in-0.0.0.0-0")]
    shown = _drift(made, "life")
    assert shown.returncode == 1 and "twinlock-life-tunnel-in-0.0.0.0-0" in shown.stdout, shown.stderr
    assert "unknown rule of twinlock-life-gateway: tcp 22-22 from 0.0.0.0/0" in shown.stdout
    assert "unknown route of twinlock-life-private: 192.0.2.0/24 to igw-" in shown.stdout
    assert _drift(made, "life", "--repair").returncode == 0
    assert _drift(made, "life").returncode == 0
    platform.destroy(one)
    assert remains(made, "life") == {}
    assert capfd.readouterr() == ("", "")


def _drift(made: Cloud, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command; no gateway runs here, so it is asked about the infrastructure alone."""
    folder = project(made.folder / "project", name, config())
    command = [sys.executable, "-m", "twinlock.cli.main", "-e", name, "drift", "--infrastructure-only", *words]
    environment = {**made.environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


async def _cancelled_at(platform: Automation, one: EnvironmentSpec, count: int) -> int:
    operation = platform.start("deploy", one)
    seen = 0
    async for event in operation:
        seen += isinstance(event, Started)
        if seen == count:
            operation.cancel()
    with pytest.raises(Cancelled):
        operation.result()
    return seen


def _close_the_tunnel_by_hand(made: Cloud) -> None:
    ec2 = made.control.client("ec2")
    [rule] = [
        rule
        for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
        if not rule["IsEgress"] and rule.get("CidrIpv4") == "0.0.0.0/0" and rule["FromPort"] == 51820
    ]
    ec2.revoke_security_group_ingress(GroupId=rule["GroupId"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


def _open_a_door_by_hand(made: Cloud, name: str) -> None:
    ec2 = made.control.client("ec2", overrides=True)
    own = [{"Name": "tag:twinlock:environment", "Values": [name]}]
    [group] = ec2.describe_security_groups(Filters=own)["SecurityGroups"]
    door = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[door])
    [internet] = ec2.describe_internet_gateways(Filters=own)["InternetGateways"]
    private = [*own, {"Name": "tag:Name", "Values": [f"twinlock-{name}-private"]}]
    [table] = ec2.describe_route_tables(Filters=private)["RouteTables"]
    ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock="192.0.2.0/24",
        GatewayId=internet["InternetGatewayId"],
    )  # fmt: skip


def test_two_callers_do_not_meet(made: Cloud, platform: Automation):
    (made.folder / "work").mkdir(exist_ok=True)
    with (made.folder / "work" / "busy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another operation on busy"):
            platform.preview(wanted("busy"))
        waiting = platform.start("preview", wanted("busy"), Wishes(wait=60))
        fcntl.flock(lock, fcntl.LOCK_UN)
    assert waiting.result().counts()["create"] > 50


def test_an_engine_whose_starter_was_killed_is_waited_for(made: Cloud, platform: Automation):
    """Its lock is gone with its starter; the file still names it."""
    (made.folder / "work").mkdir(exist_ok=True)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as engine:
        (made.folder / "work" / "orphan.lock").write_text(str(engine.pid))
        with pytest.raises(Busy, match="another operation on orphan"):
            platform.preview(wanted("orphan"))
        engine.kill()
    with pytest.raises(TimedOut):
        platform.preview(wanted("orphan"), Wishes(timeout=0.5))


def test_an_operation_ends_when_its_time_is_over(platform: Automation):
    with pytest.raises(TimedOut, match=r"not done in 1\.5 s"):
        platform.preview(wanted("slow"), Wishes(timeout=1.5))


@pytest.mark.long
def test_a_refusal_of_the_cloud_names_resource_and_reason_and_the_next_deployment_converges(
    made: Cloud, platform: Automation
):
    broken = wanted("refused")
    iam = made.control.client("iam")
    iam.create_role(RoleName="twinlock-refused-gateway-a", AssumeRolePolicyDocument="{}")
    with pytest.raises(Refused, match="twinlock-refused-gateway-a") as caught:
        platform.deploy(broken)
    assert caught.value.resource.endswith("aws:iam/role:Role::twinlock-refused-gateway-a-role")
    assert "twinlock-refused-gateway-a" in caught.value.log
    iam.delete_role(RoleName="twinlock-refused-gateway-a")
    events: list[object] = []
    platform.deploy(broken, Wishes(on_event=events.append))
    assert any(isinstance(event, Done) for event in events)
    platform.destroy(broken)
    assert remains(made, "refused") == {}
