"""The command as people type it, against DynamoDB Local and moto's SSM, STS and Auto Scaling: fakes lie below boto3."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.core.utils import utcnow
from moto.ssm.models import Parameter, ssm_backends
from typer.testing import CliRunner

from tests.command_cloud import REGION, facts, gateways_are_up, run
from tests.registry_samples import gateway_record, public_key
from twinlock.cli.main import app, main
from twinlock.registry.rolling import Roll
from twinlock.registry.traffic import Traffic, line, piece


def test_from_a_new_key_to_the_file_that_wg_quick_takes(cloud, tmp_path):
    gateways_are_up(cloud.registry, 1)
    cloud.become("enroller")
    made = facts("peer", "keygen", "--out", "laptop.key")
    assert stat.S_IMODE(Path("laptop.key").stat().st_mode) == 0o600
    enrolled = facts("peer", "enrol", "laptop", "--tenant", "red", "--public-key", made["public_key"])
    assert (enrolled["state"], enrolled["address"].startswith("10.64.1.")) == ("pending", True)
    refused = run("peer", "approve", "laptop", "--tenant", "red")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "somebody else has to approve it" in refused.stderr
    cloud.become("approver")
    approved = facts("peer", "approve", "laptop", "--tenant", "red")
    assert (approved["state"], len(approved["approved_by"])) == ("approved", 1)
    assert [peer.name for peer in cloud.registry.served_peers("red")] == ["laptop"]
    written = facts("peer", "config", "laptop", "-t", "red", "--private-key-file", "laptop.key", "--out", "tl.conf")
    assert (written["file"], [way["slot"] for way in written["ways"]]) == ("tl.conf", ["a", "b"])
    text = Path("tl.conf").read_text()
    assert stat.S_IMODE(Path("tl.conf").stat().st_mode) == 0o600
    assert f"PrivateKey = {Path('laptop.key').read_text().strip()}" in text
    assert run("peer", "config", "laptop", "-t", "red").stdout == text.replace(
        f"PrivateKey = {Path('laptop.key').read_text().strip()}", "# PrivateKey = (the private key of this peer)"
    )


def test_wg_quick_itself_reads_the_file(cloud, tmp_path):
    gateways_are_up(cloud.registry, 1)
    made = facts("peer", "keygen", "--out", "job.key")
    facts("peer", "enrol", "job", "-t", "auto", "-k", made["public_key"])
    facts("peer", "config", "job", "-t", "auto", "--private-key-file", "job.key", "--out", "tl.conf")
    stripped = subprocess.check_output(["wg-quick", "strip", str(tmp_path / "tl.conf")], text=True)
    assert stripped.count("[Peer]") == 3
    assert "Address" not in stripped


def test_keygen_agrees_with_wg_and_overwrites_no_key(cloud):
    made = facts("peer", "keygen")
    private = Path("twinlock.key").read_text()
    said = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True, check=True).stdout.strip()
    assert said == made["public_key"]
    again = run("peer", "keygen")
    assert (again.exit_code, Path("twinlock.key").read_text()) == (3, private)


def test_a_file_needs_the_peers_own_key_and_a_peer_that_lives(cloud):
    gateways_are_up(cloud.registry, 1)
    facts("peer", "enrol", "job", "-t", "auto", "-k", public_key(1))
    facts("peer", "keygen", "--out", "other.key")
    other = run("peer", "config", "job", "-t", "auto", "--private-key-file", "other.key")
    assert (other.exit_code, "not the one of peer job" in other.stderr) == (3, True)
    facts("peer", "revoke", "job", "-t", "auto")
    revoked = run("peer", "config", "job", "-t", "auto")
    assert (revoked.exit_code, "is revoked" in revoked.stderr) == (3, True)


def test_before_a_gateway_booted_there_is_no_file_and_it_says_so(cloud):
    facts("peer", "enrol", "job", "-t", "auto", "-k", public_key(1))
    early = run("peer", "config", "job", "-t", "auto")
    assert (early.exit_code, "twinlock status" in early.stderr) == (3, True)


def test_list_and_show_tell_the_state_after_each_step(cloud):
    facts("peer", "enrol", "laptop", "-t", "red", "-k", public_key(1), "--ttl", "24h")
    assert facts("peer", "show", "laptop", "-t", "red")["state"] == "pending"
    facts("peer", "revoke", "laptop", "-t", "red")
    facts("peer", "enrol", "job", "-t", "auto", "-k", public_key(2))
    told = [(peer["tenant"], peer["name"], peer["state"]) for peer in facts("peer", "list")["peers"]]
    assert told == [("red", "laptop", "revoked"), ("auto", "job", "approved")]
    assert [peer["name"] for peer in facts("peer", "list", "--tenant", "auto")["peers"]] == ["job"]
    table = run("peer", "list").stdout
    assert "revoked" in table
    assert f"{public_key(2)[:8]}…" in table
    assert facts("peer", "show", "job", "-t", "auto")["address"] in run("peer", "show", "job", "-t", "auto").stdout


def test_show_tells_what_both_gateways_counted_of_this_peer_and_not_of_another(cloud):
    gateways_are_up(cloud.registry, 1)
    made = facts("peer", "enrol", "job", "-t", "auto", "-k", public_key(2))
    address = made["address"]
    assert facts("peer", "show", "job", "-t", "auto")["traffic"] is None
    ours = Traffic(sent_packets=3, sent_bytes=2048, received_packets=2, received_bytes=80)
    theirs = Traffic(refused_packets=7, refused_bytes=280)
    lines = (line(address, "job", ours), line(address, "earlier", theirs))
    cloud.registry.keep_traffic("a", piece(address), lines)
    cloud.registry.keep_traffic("b", piece(address), (line(address, "job", theirs),))
    assert facts("peer", "show", "job", "-t", "auto")["traffic"] == asdict(ours + theirs)
    shown = run("peer", "show", "job", "-t", "auto").stdout
    assert "2.0 KiB in 3 packets" in shown and "280 B in 7 packets" in shown


def test_who_was_shut_out_and_still_sends_is_told_by_name(cloud):
    now = int(time.time())
    facts("peer", "enrol", "job", "-t", "auto", "-k", public_key(2))
    gateways_are_up(cloud.registry, now, shut_out={"auto/job": 1200, "red/lost": 1})
    assert facts("peer", "show", "job", "-t", "auto")["shut_out_packets"] == 2400, "of both gateways"
    assert "2,400 packets still came" in run("peer", "show", "job", "-t", "auto").stdout
    assert facts("status")["shut_out"] == {"auto/job": 2400, "red/lost": 2}
    assert "auto/job is shut out and still sends: 2,400 packets" in run("status").stderr
    lines = run("metrics").stdout.splitlines()
    assert 'twinlock_shut_out_packets{environment="lab",peer="job",slot="a",tenant="auto"} 1200' in lines
    gateways_are_up(cloud.registry, now)
    assert facts("peer", "show", "job", "-t", "auto")["shut_out_packets"] == 0
    assert "still" not in run("peer", "show", "job", "-t", "auto").stdout + run("status").stderr


def test_a_range_that_runs_out_says_so_before_it_is_full(cloud):
    for number in range(4):
        enrolled = run("peer", "enrol", f"p{number}", "-t", "tiny", "-k", public_key(number))
        assert (enrolled.exit_code, enrolled.stderr) == (0, "")
    last = run("--json", "peer", "enrol", "p4", "-t", "tiny", "-k", public_key(4))
    assert "tenant tiny has 5 of its 5 addresses in use" in last.stderr
    assert json.loads(last.stdout)["address"].startswith("10.64.0.")
    assert facts("status")["addresses"]["tiny"] == {"held": 5, "total": 5}
    assert "5 of 5" in run("status").stdout


def test_full_gateways_let_nobody_in_and_it_is_said_before(cloud):
    gateways_are_up(cloud.registry, int(time.time()), peers=64_999)
    cloud.become("enroller")
    first = run("--json", "peer", "enrol", "laptop", "-t", "red", "-k", public_key(1))
    assert (first.exit_code, "hold 64,999 of 65,000 peers" in first.stderr) == (0, True)
    gateways_are_up(cloud.registry, int(time.time()), peers=65_000, left_out=2)
    Path("peers.yaml").write_text(json.dumps({"tenants": {"red": {"desk": {"public_key": public_key(2)}}}}))
    Path("listed.yaml").write_text(json.dumps({"tenants": {"red": {"laptop": {"public_key": public_key(1)}}}}))
    for words in (("enrol", "desk", "-t", "red", "-k", public_key(2)), ("apply", "peers.yaml", "--yes")):
        full = run("peer", *words)
        assert (full.exit_code, "the gateways are full" in full.stderr) == (3, True)
    cloud.become("approver")
    for words in (("approve", "laptop", "-t", "red"), ("approve", "--file", "listed.yaml")):
        full = run("peer", *words)
        assert (full.exit_code, "the gateways are full" in full.stderr) == (3, True)
    assert [(peer.name, peer.state) for peer in cloud.registry.peers("red")] == [("laptop", "pending")]
    status = run("status")
    assert "gateway b leaves out 2 peers of the registry" in status.stderr
    assert "65000 of 65536" in status.stdout
    told = facts("status")["gateways"][0]
    assert (told["peers"], told["left_out"], told["holds"]) == (65_000, 2, 65_536)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("enrol", "laptop", "-t", "blue", "-k", public_key(1)), 3, "no tenant blue; it has: red"),
        (("enrol", "laptop", "-t", "red", "-k", "AAAA"), 3, "3 bytes where 32 are needed"),
        (("enrol", "laptop", "-t", "red", "-k", "not base64!"), 3, "not base64"),
        (("enrol", "laptop", "-t", "red", "-k", "A" * 43 + "="), 3, "low order"),
        (("enrol", "La[/]ptop", "-t", "red", "-k", public_key(1)), 3, "'La[/]ptop' can't be a peer's name"),
        (("enrol", "laptop", "-t", "red", "-k", public_key(1), "--ttl", "soon"), 2, "is no duration"),
        (("enrol", "laptop", "-t", "red"), 2, "--public-key"),
        (("approve", "nobody", "-t", "red"), 3, "has no peer nobody"),
        (("revoke", "nobody", "-t", "red"), 3, "has no peer nobody"),
        (
            ("config", "nobody", "-t", "red", "--private-key-file", "none.key"),
            3,
            "can't read a private key from none.key",
        ),
    ],
)
def test_what_is_refused_is_one_line_and_changes_nothing(cloud, words, code, says):
    result = run("peer", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert cloud.registry.generations() == {}
    if code == 3:
        assert len(result.stderr.splitlines()) == 1


def test_an_environment_that_is_not_there_is_refused_with_the_region(cloud):
    result = CliRunner().invoke(app, ["-e", "nowhere", "status"])
    assert result.exit_code == 3
    assert "no environment nowhere in region eu-west-1" in result.stderr


def test_no_environment_named_is_bad_usage(cloud):
    result = CliRunner().invoke(app, ["status"])
    assert (result.exit_code, "TWINLOCK_ENVIRONMENT" in result.stderr) == (2, True)


def test_an_endpoint_that_nobody_answers_at_is_one_line(cloud, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = run("status")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "AWS can't be reached" in result.stderr


def test_no_credentials_are_one_line_with_the_mend(cloud, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    result = run("status")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert "AWS_PROFILE" in result.stderr


def test_metrics_say_the_same_to_programs(cloud):
    now = int(time.time())
    gateways_are_up(
        cloud.registry, now - 3, applied={"auto": 1}, ways=7, failing=("clock",), traffic={"refused_packets": 5}
    )
    phases = {"taken_at": 1_700_000_000, "switch": 0, "called": 7, "detection_ms": 310}
    assert facts("status")["last_takeover"] is None
    cloud.registry.put_gateway(gateway_record("b", heartbeat_at=now, serving=False, failing=("clock",), phases=phases))
    assert facts("status")["last_takeover"] == {"slot": "b", **phases}
    facts("peer", "enrol", "job", "-t", "auto", "-k", public_key("job"))
    text = run("metrics").stdout
    lines = set(text.splitlines())
    assert 'twinlock_gateway_serving{environment="lab",slot="a"} 1' in lines
    assert 'twinlock_gateway_well{environment="lab",slot="b"} 0' in lines, "its clock"
    assert 'twinlock_gateway_failing{check="clock",environment="lab",slot="a"} 1' in lines
    assert 'twinlock_gateway_change_seconds{environment="lab",phase="detection",slot="b"} 0.31' in lines
    assert 'twinlock_gateway_taken_timestamp_seconds{environment="lab",slot="b"} 1700000000' in lines
    assert 'twinlock_gateway_ways{environment="lab",slot="a"} 7' in lines
    assert 'twinlock_gateway_packets_total{environment="lab",slot="a",way="refused"} 5' in lines
    assert "# TYPE twinlock_gateway_packets_total counter" in lines
    assert 'twinlock_gateway_behind_changes{environment="lab",slot="a",tenant="auto"} 0' in lines
    assert 'twinlock_tenant_peers{environment="lab",state="approved",tenant="auto"} 1' in lines
    assert 'twinlock_tenant_addresses_held{environment="lab",tenant="auto"} 1' in lines
    assert re.fullmatch(r'(# (HELP|TYPE) twinlock_.+\n|twinlock_[a-z_]+\{([a-z]+="[^"]*",?)+\} [0-9.]+\n)+', text)
    assert facts("metrics")["tenant_peers"][0]["environment"] == "lab"


def test_status_says_who_serves_who_is_behind_and_who_is_silent(cloud, monkeypatch):
    now = int(time.time())
    facts("peer", "enrol", "job", "-t", "auto", "-k", public_key(1))
    gateways_are_up(cloud.registry, now, applied={"auto": 1})
    good = facts("status")
    assert (good["well"], good["serving"], good["peers"]["auto"]["approved"]) == (True, ["a"], 1)
    cloud.registry.put_gateway(gateway_record("b", heartbeat_at=now, applied={}))
    cloud.registry.put_gateway(gateway_record("a", heartbeat_at=now - 60, applied={"auto": 1}))
    bad = facts("status")
    assert (bad["well"], bad["serving"]) == (False, [])
    assert [one["problem"].split(" for ")[0] for one in bad["gateways"]] == ["silent", "behind by 1 of tenant auto"]
    shown = run("status")
    assert shown.exit_code == 0
    assert "silent for 6" in shown.stdout


def test_gateway_list_tells_each_record(cloud):
    assert facts("gateway", "list") == {"gateways": []}
    gateways_are_up(cloud.registry, 1)
    told = facts("gateway", "list")["gateways"]
    assert [one["slot"] for one in told] == ["a", "b"]
    assert told[0]["way_public_key"] == public_key("way a")
    assert "never registered" not in run("gateway", "list").stdout


def test_a_gateway_is_not_replaced_while_its_twin_is_not_well(cloud):
    gateways_are_up(cloud.registry, 1)
    result = run("gateway", "roll", "--wait")
    assert result.exit_code == 3
    assert "is not well (silent" in result.stderr


def test_replacing_all_without_waiting_is_bad_usage(cloud):
    assert run("gateway", "roll").exit_code == 2


def test_a_roll_ends_the_standbys_machine_first_and_waits_for_each_successor(cloud, monkeypatch):
    now = int(time.time())
    gateways_are_up(cloud.registry, now + 600, applied={})
    ended = []

    def terminate(environment, slot: str, instance_id: str) -> None:
        assert [slot] == [one.slot for one in cloud.registry.gateways("ab") if one.instance_id == instance_id]
        ended.append(slot)
        fresh = gateway_record(slot, instance_id=f"i-new{slot}", heartbeat_at=now + 600, applied={})
        cloud.registry.put_gateway(fresh)

    monkeypatch.setattr("twinlock.cli.aws.AwsEnvironment.terminate", terminate)
    replaced = facts("gateway", "roll", "--wait")["replaced"]
    assert [(one["slot"], one["instance_id"]) for one in replaced] == [("b", "i-newb"), ("a", "i-newa")]
    assert ended == ["b", "a"]


def test_a_machine_is_ended_through_its_group_which_starts_another(cloud):
    groups = cloud.client("autoscaling")
    groups.create_launch_configuration(LaunchConfigurationName="b", ImageId="ami-12c6146b", InstanceType="t4g.small")
    groups.create_auto_scaling_group(
        AutoScalingGroupName="b", LaunchConfigurationName="b", MinSize=1, MaxSize=1, AvailabilityZones=["eu-west-1b"]
    )

    def machines() -> list[str]:
        found = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["b"])["AutoScalingGroups"][0]
        return [instance["InstanceId"] for instance in found["Instances"]]

    [old] = machines()
    now = int(time.time())
    gateways_are_up(cloud.registry, now, applied={})
    cloud.registry.put_gateway(gateway_record("b", instance_id=old, heartbeat_at=now, applied={}))
    assert facts("gateway", "roll", "--slot", "b")["replaced"][0]["slot"] == "b"
    [new] = machines()
    assert new != old


def not_found(instance_id: str) -> ClientError:
    """What AWS answers, and moto does not."""
    message = f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
    return ClientError(
        {"Error": {"Code": "ValidationError", "Message": message}}, "TerminateInstanceInAutoScalingGroup"
    )


def test_a_successor_that_never_registered_is_ended_in_its_place(cloud, monkeypatch):
    """What a rolling update that has stopped leaves: the registry knows the machine before it alone."""
    groups = cloud.client("autoscaling")
    groups.create_launch_configuration(LaunchConfigurationName="l", ImageId="ami-12c6146b", InstanceType="t4g.small")
    groups.create_auto_scaling_group(
        AutoScalingGroupName="twinlock-lab-gateway-b", LaunchConfigurationName="l", MinSize=1, MaxSize=1,
        AvailabilityZones=["eu-west-1b"],
    )  # fmt: skip

    def machine() -> str:
        found = groups.describe_auto_scaling_groups(AutoScalingGroupNames=["twinlock-lab-gateway-b"])
        return found["AutoScalingGroups"][0]["Instances"][0]["InstanceId"]

    broken, now = machine(), int(time.time())
    gateways_are_up(cloud.registry, now, applied={})
    cloud.registry.put_gateway(gateway_record("b", heartbeat_at=now - 600, applied={}))
    roll = Roll(slot="b", instance_id=gateway_record("b").instance_id, at=now - 600)
    assert cloud.registry.take_roll(roll, None)
    told = facts("status")["rolling"]
    assert (told["slot"], told["stopped"]) == ("b", True)
    assert "twinlock gateway roll --slot b" in told["next"]
    shown = " ".join(run("status").output.split())
    assert "the rolling update has stopped: gateway b is being replaced" in shown
    lines = run("metrics").stdout.splitlines()
    assert 'twinlock_rolling_stopped{environment="lab"} 1' in lines
    refused = run("gateway", "roll", "--slot", "a")
    assert refused.exit_code == 3
    call = BaseClient._make_api_call

    def answered(self, operation, arguments):
        if arguments.get("InstanceId") == roll.instance_id:
            raise not_found(roll.instance_id)
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", answered)
    assert facts("gateway", "roll", "--slot", "b")["replaced"][0]["slot"] == "b"
    assert machine() != broken
    groups.delete_auto_scaling_group(AutoScalingGroupName="twinlock-lab-gateway-b", ForceDelete=True)


def test_a_machine_that_is_gone_and_has_no_successor_is_refused_with_what_to_do(cloud, monkeypatch):
    gateways_are_up(cloud.registry, int(time.time()), applied={})
    call = BaseClient._make_api_call

    def answered(self, operation, arguments):
        if operation != "TerminateInstanceInAutoScalingGroup":
            return call(self, operation, arguments)
        raise not_found(arguments["InstanceId"])

    with monkeypatch.context() as patched:
        patched.setattr(BaseClient, "_make_api_call", answered)
        result = run("gateway", "roll", "--slot", "b")
    held = cloud.registry.rolling("ab").roll
    assert held is not None and not held.instance_id, "the lease is nobody's: the gateways go on by themselves"
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert "there is no successor yet" in result.stderr


def test_the_images_pin_moves_to_the_newest_that_debian_publishes(cloud):
    newest = "ami-0000000000000beef"
    parameter = Parameter(
        account_id="123456789012", name="/aws/service/debian/release/13/latest/arm64", value=newest,
        parameter_type="String", description="", allowed_pattern=None, keyid=None, version=1, data_type="text",
        last_modified_date=utcnow(),
    )  # fmt: skip
    ssm_backends["123456789012"][REGION]._parameters[parameter.name].append(parameter)
    file = Path("Pulumi.lab.yaml")
    file.write_text("config:\n  twinlock:gateway:\n    image: ami-0123456789abcdef0  # Debian 13\n")
    assert facts("environment", "image")["newest"] == newest
    assert "ami-0123456789abcdef0" in file.read_text(), "looking changes nothing"
    assert facts("environment", "image", "--update")["pinned"] == newest
    assert file.read_text() == f"config:\n  twinlock:gateway:\n    image: {newest}  # Debian 13\n"
    file.unlink()
    assert run("environment", "image").exit_code == 3


def test_an_unforeseen_fault_is_one_line_and_no_traceback(cloud, monkeypatch, capsys):
    def broken(name: str):
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr("twinlock.cli.options.open_environment", broken)
    monkeypatch.setattr("sys.argv", ["twinlock", "-e", "lab", "status"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: what nobody thought of" in said
    assert "Traceback" not in said


def test_every_command_has_help_with_an_example():
    for words in (
        ("peer", "keygen"), ("peer", "enrol"), ("peer", "approve"), ("peer", "list"), ("peer", "show"),
        ("peer", "revoke"), ("peer", "config"), ("peer", "apply"), ("peer", "export"), ("peer", "rotate"),
        ("ci", "run"), ("gateway", "list"), ("gateway", "roll"), ("status",),
        ("environment", "image"),
        ("lab", "up"), ("lab", "down"), ("lab", "status"), ("lab", "env"), ("lab", "shell"),
    ):  # fmt: skip
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert (shown.exit_code, "Example" in shown.stdout) == (0, True), words
