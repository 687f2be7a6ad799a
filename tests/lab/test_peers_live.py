"""Peers and filters while the lab runs: changes reach packets."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict

import boto3
import pytest
from botocore.config import Config

from lab import calls, clients
from lab import up as job
from lab.aws.names import SERVICE_ADDRESSES
from lab.clients import Client
from lab.fabric.names import PUBLIC_RESOLVER
from tests.asking import SCRIPT
from tests.within import within
from twinlock.cli.dns_question import NOBODY
from twinlock.registry.traffic import Traffic

STORAGE = SERVICE_ADDRESSES["s3"]


# Opens a connection to the storage and keeps it.
HELD = """
import socket, sys
held = socket.create_connection((sys.argv[1], 443), 5)
print("open", flush=True)
held.settimeout(30)
held.recv(1)
"""
# Reads the object again and again, at most 4 MiB a second, for 8 s; tells the longest time without a byte.
STEADY = """
import boto3, json, sys, time
end, last, gap, total = time.monotonic() + 8, None, 0.0, 0
s3 = boto3.client("s3")
while time.monotonic() < end:
    for piece in s3.get_object(Bucket=sys.argv[1], Key=sys.argv[2])["Body"].iter_chunks(1 << 16):
        now = time.monotonic()
        gap = max(gap, now - last) if last else 0.0
        last, total = now, total + len(piece)
        time.sleep(0.015)
        if now > end:
            break
    last = None
print(json.dumps({"bytes": total, "longest_gap": gap}))
"""

# The network's resolver knows it, and nobody outside does.
PRIVATE_NAME, ITS_ADDRESS = "ip-10-20-0-10.eu-west-1.compute.internal", "10.20.0.10"
PUBLIC_NAME = "dynamodb.eu-west-1.amazonaws.com"
FORWARDER = "10.90.0.1"


def asked(client: Client, server: str, name: str, how: str = "udp", seconds: str = "5") -> str:
    """What a name server says to a client: the answer's code and addresses."""
    return client.run(clients.PYTHON, "-c", SCRIPT, server, name, how, seconds).stdout.strip()


def found(client: Client, name: str) -> str:
    """What the client's own C library finds."""
    return client.run("sh", "-c", asking_the_gateway(f"getent ahostsv4 {name}")).stdout.partition(" ")[0]


def asking_the_gateway(command: str) -> str:
    """A script in which names are asked of the gateway first, and then of whom this client always asks."""
    told = f"nameserver {FORWARDER}\\nnameserver {PUBLIC_RESOLVER}\\n"
    file = f"mount -t tmpfs none /mnt && printf '{told}' > /mnt/told && mount --bind /mnt/told /etc/resolv.conf"
    return f"{file} && {command}"


def reaches_storage(client: Client) -> bool:
    return clients.can_open(client.namespace, STORAGE, 443, 1) == "connected"


def api(lab, service: str):
    env = lab.deployer
    return boto3.client(
        service, region_name=env["AWS_REGION"], endpoint_url=env["AWS_ENDPOINT_URL"], verify=env["AWS_CA_BUNDLE"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=env.get("AWS_SESSION_TOKEN"), config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def join(lab, name: str, tenant: str) -> Client:
    address, key = job.enrol(name, tenant)
    return job.connect(name, tenant, "none", (address, key))


def test_a_revoked_peer_gets_no_packet_through(lab) -> None:
    client = join(lab, "carol", "red")
    clients.wait_for_service(client, 30)
    within(5, lambda: reaches_storage(client), "the peer reaches the storage")
    lab.twinlock("peer", "revoke", "carol", "--tenant", "red")
    within(10, lambda: not reaches_storage(client), "the revoked peer is cut off")
    for slot in ("a", "b"):
        for interface in ("wg-service", "wg-way"):
            assert client.public_key not in lab.on_gateway(slot, "wg", "show", interface, "peers")
    # Its tunnel is up as before, and goes on sending.
    within(40, lambda: lab.twinlock("peer", "show", "carol", "--tenant", "red")["shut_out_packets"], "it is counted")
    assert "red/carol" in lab.twinlock("status")["shut_out"]


def test_a_revocation_ends_an_established_connection(lab) -> None:
    client = join(lab, "judy", "red")
    clients.wait_for_service(client, 30)
    hold = subprocess.Popen(
        ["ip", "netns", "exec", client.namespace, clients.PYTHON, "-c", HELD, STORAGE],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert hold.stdout is not None
        assert hold.stdout.readline() == "open\n"
        flows = ("sh", "-c", f"conntrack -L -s {client.address} 2>/dev/null | grep -c dport=443; true")
        assert sum(int(lab.on_gateway(slot, *flows).split()[0]) for slot in ("a", "b")) >= 1
        lab.twinlock("peer", "revoke", "judy", "--tenant", "red")
        within(
            10,
            lambda: sum(int(lab.on_gateway(slot, *flows).split()[0]) for slot in ("a", "b")) == 0,
            "its connections are gone",
        )
    finally:
        hold.kill()
        hold.wait()


def test_a_change_of_one_peer_disturbs_no_other(lab, ada: Client) -> None:
    """A download of ada's goes on while somebody joins and leaves: no byte is missing, no stall above a second."""
    bucket = lab.report_bucket()
    download = subprocess.Popen(
        ["ip", "netns", "exec", ada.namespace, clients.PYTHON, "-c", STEADY, bucket, job.OBJECT_KEY],
        env={"PATH": "/usr/bin:/bin", **ada.credentials}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    client = join(lab, "dan", "red")
    clients.wait_for_service(client, 30)
    lab.twinlock("peer", "revoke", "dan", "--tenant", "red")
    printed, _ = download.communicate(timeout=60)
    seen = json.loads(printed)
    assert seen["bytes"] > 0
    assert seen["longest_gap"] < 1.0, seen


def test_peers_find_private_names_at_the_gateway_and_are_refused_all_others(lab, ada: Client, bob: Client) -> None:
    for client in (ada, bob):
        for how in ("udp", "tcp"):
            assert asked(client, FORWARDER, PRIVATE_NAME, how) == f"ok {ITS_ADDRESS}"
            assert asked(client, FORWARDER, PUBLIC_NAME, how) == "refused"
    assert asked(ada, PUBLIC_RESOLVER, PRIVATE_NAME) == "no such name", "what is private stays so"
    assert found(ada, PRIVATE_NAME) == ITS_ADDRESS
    assert found(ada, PUBLIC_NAME) == SERVICE_ADDRESSES["dynamodb"], "who is refused asks the next"


@pytest.mark.long
def test_names_are_answered_by_whoever_serves_after_a_switch(lab, ada: Client) -> None:
    serving = next(row["slot"] for row in lab.twinlock("gateway", "list")["gateways"] if row["serving"])
    twin = "b" if serving == "a" else "a"
    lab.twinlock("gateway", "switch", "--to", twin)
    within(10, lambda: asked(ada, FORWARDER, PRIVATE_NAME, "udp", "1") == f"ok {ITS_ADDRESS}", "the twin answers")
    lab.on_gateway(serving, "systemctl", "stop", "twinlock-dns")
    try:
        assert asked(ada, FORWARDER, PRIVATE_NAME) == f"ok {ITS_ADDRESS}", "it is the twin who answers"
        lab.on_gateway(twin, "systemctl", "stop", "twinlock-dns")
        assert asked(ada, FORWARDER, PRIVATE_NAME, "udp", "1") == NOBODY
    finally:
        for slot in (serving, twin):
            lab.on_gateway(slot, "systemctl", "start", "twinlock-dns")


def test_no_gateway_answers_for_names_outside_of_the_tunnel(lab, ada: Client) -> None:
    """Neither the internet nor its own network, where its twin asks."""
    row, twin = sorted(lab.twinlock("gateway", "list")["gateways"], key=lambda one: not one["serving"])
    for how in ("udp", "tcp"):
        assert asked(ada, row["public_address"], PRIVATE_NAME, how, "1") == NOBODY
        words = ("python3", "-c", SCRIPT, row["private_address"], PRIVATE_NAME, how, "1")
        assert lab.on_gateway(twin["slot"], *words).strip() == NOBODY


def test_a_pending_peer_gets_no_handshake(lab) -> None:
    enroller = calls.credentials("lab-enroller-red", local=True)
    key_file = clients.PEERS / "erin.key"
    public = clients.twinlock(enroller, "peer", "keygen", "--out", str(key_file))["public_key"]
    clients.twinlock(enroller, "peer", "enrol", "erin", "--tenant", "red", "--public-key", public)
    time.sleep(2.5)  # two polls of the registry: the gateways had their chance
    for slot in ("a", "b"):
        assert public not in lab.on_gateway(slot, "wg", "show", "wg-way", "peers")


def test_who_enrolled_a_peer_can_not_approve_it(lab) -> None:
    admin = lab.deployer
    public = clients.twinlock(admin, "peer", "keygen", "--out", str(clients.PEERS / "frank.key"))["public_key"]
    clients.twinlock(admin, "peer", "enrol", "frank", "--tenant", "red", "--public-key", public)
    done = subprocess.run(
        [clients.TWINLOCK, "--environment", "lab", "peer", "approve", "frank", "--tenant", "red"],
        env={**admin, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_a_peer_moved_and_what_it_was_refused_is_told(lab, ada: Client) -> None:
    def told() -> dict[str, int]:
        return lab.twinlock("peer", "show", "ada", "--tenant", ada.tenant)["traffic"] or asdict(Traffic())

    before, bucket = told(), lab.report_bucket()
    assert clients.transfer(ada, "put", bucket, "lab/counted", 1 << 20)["ok"]
    within(40, lambda: told()["sent_bytes"] - before["sent_bytes"] > 1 << 20, "what it sent")
    assert told()["received_packets"] > before["received_packets"]
    assert clients.can_open(ada.namespace, STORAGE, 80, 1) != "connected"
    within(40, lambda: told()["refused_packets"] > before["refused_packets"], "what it was refused")
    sums = lab.twinlock("metrics")["gateway_packets_total"]
    assert sum(row["value"] for row in sums if row["way"] == "sent") > 1000


def test_closing_the_group_stops_traffic_and_opening_it_lets_it_flow(lab, ada: Client) -> None:
    ec2 = api(lab, "ec2")
    interfaces = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [lab.machine("a")]}]
    )
    group = interfaces["NetworkInterfaces"][0]["Groups"][0]["GroupId"]
    rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    way = next(row["way_public_key"] for row in lab.twinlock("gateway", "list")["gateways"] if row["slot"] == "a")
    newcomer = "grace"
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules)
    try:
        client = join(lab, newcomer, "red")

        def handshake() -> bool:
            return clients.handshakes(client)[way] != 0

        time.sleep(3)
        assert not handshake(), "the group is closed and a handshake came through"
    finally:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
    within(15, handshake, "a handshake after the group is open again")
    lab.twinlock("peer", "revoke", newcomer, "--tenant", "red")


def test_a_terminated_gateway_comes_back_with_its_addresses_and_identities(lab, ada: Client) -> None:
    before = {row["slot"]: row for row in lab.twinlock("gateway", "list")["gateways"]}
    standby = next(slot for slot, row in before.items() if not row["serving"])
    api(lab, "ec2").terminate_instances(InstanceIds=[before[standby]["instance_id"]])

    def back() -> bool:
        row = next(row for row in lab.twinlock("gateway", "list")["gateways"] if row["slot"] == standby)
        return row["instance_id"] != before[standby]["instance_id"]

    within(60, back, "a replacement registers")
    after = next(row for row in lab.twinlock("gateway", "list")["gateways"] if row["slot"] == standby)
    for kept in ("public_address", "private_address", "way_public_key", "service_public_key"):
        assert after[kept] == before[standby][kept]
    assert reaches_storage(ada)


def test_the_transfer_goes_on_when_the_standby_serves(lab, ada: Client) -> None:
    """Slow here (a lease has to run out); the object still moves."""
    rows = {row["slot"]: row for row in lab.twinlock("gateway", "list")["gateways"]}
    serving = next(slot for slot, row in rows.items() if row["serving"])
    other = next(slot for slot in rows if slot != serving)
    within(
        30,
        lambda: ada.public_key in lab.on_gateway(other, "wg", "show", "wg-way", "latest-handshakes"),
        "a way to the standby",
    )
    lab.on_gateway(serving, "systemctl", "stop", "twinlock-agent")
    try:
        within(
            30,
            lambda: next(row for row in lab.twinlock("gateway", "list")["gateways"] if row["slot"] == other)["serving"],
            "a takeover",
        )
        within(40, lambda: reaches_storage(ada), "the storage through the other gateway")
        bucket = lab.report_bucket()
        moved = clients.transfer(ada, "put", bucket, "lab/after-takeover", 1 << 20)
        assert moved["ok"], json.dumps(moved)
    finally:
        lab.on_gateway(serving, "systemctl", "start", "twinlock-agent")
