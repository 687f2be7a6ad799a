"""What `make lab` promises, from its report and from the lab that it left."""

from __future__ import annotations

import base64
import re
import subprocess
import sys

from lab import calls, clients, deploy
from lab.clients import Client
from lab.paths import LAB, PEERS, PREFIX, ROOT
from tests.clean_boot import assert_clean_boot


def test_an_object_of_64_mib_came_back_the_same_through_the_tunnel(lab) -> None:
    moved = lab.report["object"]
    assert moved["bytes"] == 64 << 20
    assert re.fullmatch("[0-9a-f]{64}", moved["sha256"])
    assert moved["via"].startswith("ada-")


def test_two_gateways_in_two_zones_booted_and_one_serves(lab) -> None:
    gateways = lab.report["gateways"]
    assert {gateway["zone"] for gateway in gateways} == {"eu-west-1a", "eu-west-1b"}
    assert sorted(gateway["role"] for gateway in gateways) == ["serving", "standby"]
    assert len({gateway["address"] for gateway in gateways}) == 2


def test_the_object_is_refused_without_the_tunnel(lab) -> None:
    assert lab.report["refused"]["direct"]["answer"].startswith("AccessDenied")


def test_a_peer_reaches_neither_another_peer_nor_another_port(lab) -> None:
    assert lab.report["refused"]["east_west"]["answer"] != "connected"
    assert lab.report["refused"]["other_port"]["answer"] != "connected"


def test_a_second_up_changes_nothing(lab) -> None:
    printed = deploy.pulumi(lab.deployer, "up", "--yes", "--skip-preview", "--stack", "lab", "--expect-no-changes")
    assert "unchanged" in printed


def test_no_private_key_is_in_state_user_data_or_logs(lab) -> None:
    secrets = [path.read_text().strip() for path in PEERS.glob("*.key")]
    secrets += [
        lab.on_gateway(slot, "wg", "show", interface, "private-key").strip()
        for slot in ("a", "b")
        for interface in ("wg-service", "wg-way", "wg-pair")
    ]
    assert all(len(base64.b64decode(secret)) == 32 for secret in secrets)
    forms = [form for secret in secrets for form in (secret, base64.b64decode(secret).hex())]
    journals = "".join(lab.on_gateway(slot, "journalctl", "--no-pager", "-o", "cat") for slot in ("a", "b"))
    haystack = journals + deploy.pulumi(lab.deployer, "stack", "export", "--stack", "lab")
    places = [path for path in LAB.rglob("*") if path.is_file() and PEERS not in path.parents]
    found = [str(path) for path in places for form in forms if form.encode() in path.read_bytes()]
    assert found == []
    assert [form[:4] for form in forms if form in haystack] == []


def test_no_private_key_is_on_a_command_line(lab) -> None:
    for slot in ("a", "b"):
        key = lab.on_gateway(slot, "wg", "show", "wg-service", "private-key").strip()
        shown = lab.on_gateway(
            slot, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; true"
        )
        assert "wireguard-go" in shown or "twinlock-agent" in shown
        assert key not in shown


def test_both_gateways_hold_the_same_service_identity_and_ways_of_their_own(lab) -> None:
    rows = lab.twinlock("gateway", "list")["gateways"]
    assert len({row["service_public_key"] for row in rows}) == 1
    assert len({row["way_public_key"] for row in rows}) == 2
    for row in rows:
        assert (
            lab.on_gateway(row["slot"], "wg", "show", "wg-service", "public-key").strip() == row["service_public_key"]
        )


def test_every_stage_of_cloud_init_ended_in_order_without_a_warning(lab) -> None:
    for slot in ("a", "b"):
        assert_clean_boot(lambda *words, slot=slot: lab.on_gateway(slot, *words))


def test_no_unit_failed_on_a_gateway(lab) -> None:
    for slot in ("a", "b"):
        assert lab.on_gateway(slot, "systemctl", "--failed", "--no-legend", "--plain").strip() == ""


def test_a_peer_does_not_reach_the_metadata_service_through_a_gateway(lab, ada: Client) -> None:
    token = ("-sS", "-m", "3", "-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60")
    own = lab.on_gateway("a", "curl", *token, "http://169.254.169.254/latest/api/token")
    assert own.strip(), "the gateway itself has to reach it, or the test below says nothing"
    with clients.widened(ada, "169.254.169.254/32"):
        assert clients.can_open(ada.namespace, "169.254.169.254", 80) != "connected"


def test_nothing_that_a_gateway_did_was_refused(lab) -> None:
    refused = [row for row in lab.log("refused") if "twinlock" in row["caller"] and "/i-" in row["caller"]]
    assert refused == []


def test_no_namespace_has_a_way_out(lab, ada: Client) -> None:
    own = subprocess.run(["ip", "-o", "route", "show", "default"], capture_output=True, text=True, check=True).stdout
    out = [line.split("dev")[1].split()[0] for line in own.splitlines()]
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
    for name in (word for word in names if word.startswith(PREFIX)):
        links = subprocess.run(["ip", "-n", name, "-o", "link"], capture_output=True, text=True, check=True).stdout
        assert not any(f": {device}" in links for device in out)
    host = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert PREFIX not in host, "the host has a link into the lab"


def test_a_second_lab_at_once_says_so_and_ends(lab) -> None:
    import fcntl

    from lab.paths import LOCK

    with LOCK.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = subprocess.run(
            [sys.executable, "-m", "lab", "up"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert second.returncode == 3
    assert "another" in second.stderr
    assert calls.ping()
