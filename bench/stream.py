"""A stream from a peer to the storage's door, through firewall, clamp and masquerade, against a bare tunnel.

Both run from the same client, over the same fabric, to a machine of the same kind; the bare one is wireguard-go and
nothing else: no firewall, no translation, its sink at the tunnel's end.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import cast

from bench.boot import EMPTY
from bench.cloud import Document, api, call, first_boot, gateway_interface, run_machine, running_lab, until
from bench.figure import Figure
from lab import calls, clients
from lab import up as job
from lab.clients import Client
from lab.paths import MARK

# Many short ones: what else the machine does then falls on both alike.
ROUNDS, SECONDS = 24, 1.0
# An address of the storage that no name leads to: its port 443 goes to the sink instead of the control plane.
STORAGE, SINK = "52.216.10.11", 5001
BARE_PORT, BARE_GATEWAY, BARE_CLIENT = 51900, "10.99.0.1", "10.99.0.2"
REDIRECT = f"""table ip bench {{
  chain pre {{
    type nat hook prerouting priority -100
    ip daddr {STORAGE} tcp dport 443 dnat to {STORAGE}:{SINK}
  }}
}}
"""
SINK_SCRIPT = """
import socket, sys, threading
def drain(peer):
    total, buffer = 0, bytearray(1 << 20)
    while got := peer.recv_into(buffer):
        total += got
    peer.sendall(str(total).encode())
    peer.close()
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("listening", flush=True)
while True:
    threading.Thread(target=drain, args=(listener.accept()[0],), daemon=True).start()
"""
SEND_SCRIPT = """
import socket, sys, time
to = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
block, started = bytes(1 << 18), time.monotonic()
while time.monotonic() - started < float(sys.argv[3]):
    to.sendall(block)
to.shutdown(socket.SHUT_WR)
total = int(to.recv(64))
print(total / (time.monotonic() - started))
"""


def measure() -> list[Figure]:
    with running_lab() as environment, ExitStack() as stack:
        address, key = job.enrol("bench", "red")
        client = clients.connect("bench", "red", address, key, nat="none", reader=environment)
        clients.wait_for_service(client, 30)
        stack.enter_context(_door(environment))
        stack.enter_context(_bare(environment, client))
        ours: list[float] = []
        other: list[float] = []
        for turn in range(ROUNDS + 1):
            through, bare = _rate(client, STORAGE, 443), _rate(client, BARE_GATEWAY, SINK)
            if turn:  # the first warms both up
                ours.append(through)
                other.append(bare)
    return [
        Figure(
            name="stream", what="stream through the gateway, against a bare tunnel", unit="MB/s",
            ours=tuple(ours), other=tuple(other), compare="ratio", bound=0.9, better="above",
        )
    ]  # fmt: skip


def _rate(client: Client, address: str, port: int) -> float:
    """Megabytes a second that arrived, as the sink counted."""
    done = client.run(clients.PYTHON, "-c", SEND_SCRIPT, address, str(port), str(SECONDS))
    if done.returncode:
        raise RuntimeError(f"no stream to {address}:{port}: {done.stderr[-500:]}")
    return float(done.stdout) / 1e6


@contextmanager
def _sink(namespace: str) -> Generator[None]:
    argv = ["ip", "netns", "exec", namespace, clients.PYTHON, "-c", SINK_SCRIPT, str(SINK)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@contextmanager
def _door(environment: Mapping[str, str]) -> Generator[None]:
    """A sink behind the environment's S3 endpoint."""
    only = [{"Name": "service-name", "Values": ["com.amazonaws.eu-west-1.s3"]}]
    found = call(api(environment, "ec2"), "DescribeVpcEndpoints", Filters=only)
    endpoint = str(cast(list[Document], found["VpcEndpoints"])[0]["VpcEndpointId"])
    namespace = calls.namespace(endpoint)
    inside(namespace, "nft", "-f", "-", stdin=REDIRECT)
    with _sink(namespace):
        yield


@contextmanager
def _bare(environment: Mapping[str, str], client: Client) -> Generator[None]:
    """A second tunnel of the client's, to a machine that does nothing else."""
    instance = run_machine(environment, EMPTY, SecurityGroupIds=[open_group(environment)])
    ec2 = api(environment, "ec2")
    made = call(ec2, "AllocateAddress", Domain="vpc")
    until(lambda: associated(environment, instance, str(made["AllocationId"])), "a public address")
    # Its namespace is there with the machine; and its boot shall not run beside the measure.
    first_boot(instance)
    namespace = calls.namespace(instance)
    public = {
        where: _tunnel(name, where) for name, where in ((f"bg-{MARK}", namespace), (f"bc-{MARK}", client.namespace))
    }
    inside(namespace, "wg", "set", f"bg-{MARK}", "listen-port", str(BARE_PORT), "peer", public[client.namespace],
            "allowed-ips", f"{BARE_CLIENT}/32")  # fmt: skip
    inside(client.namespace, "wg", "set", f"bc-{MARK}", "peer", public[namespace], "allowed-ips", f"{BARE_GATEWAY}/32",
            "endpoint", f"{made['PublicIp']}:{BARE_PORT}")  # fmt: skip
    inside(namespace, "ip", "addr", "add", f"{BARE_GATEWAY}/24", "dev", f"bg-{MARK}")
    inside(client.namespace, "ip", "addr", "add", f"{BARE_CLIENT}/24", "dev", f"bc-{MARK}")
    with _sink(namespace):
        until(lambda: clients.can_open(client.namespace, BARE_GATEWAY, SINK) == "connected" or None, "the bare tunnel")
        yield


def open_group(environment: Mapping[str, str]) -> str:
    ec2 = api(environment, "ec2")
    network = gateway_interface(environment)["VpcId"]
    group = str(
        call(ec2, "CreateSecurityGroup", GroupName="bench", Description="bare tunnel", VpcId=network)["GroupId"]
    )
    anyone = {"IpProtocol": "udp", "FromPort": BARE_PORT, "ToPort": BARE_PORT, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    call(ec2, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[anyone])
    return group


def associated(environment: Mapping[str, str], instance: str, allocation: str) -> bool | None:
    """Associates once the machine runs."""
    ec2 = api(environment, "ec2")
    only = [{"Name": "attachment.instance-id", "Values": [instance]}]
    found = cast(list[Document], call(ec2, "DescribeNetworkInterfaces", Filters=only)["NetworkInterfaces"])
    if not found:
        return None
    interface = found[0]["NetworkInterfaceId"]
    call(ec2, "AssociateAddress", NetworkInterfaceId=interface, AllocationId=allocation)
    return True


def _tunnel(name: str, namespace: str) -> str:
    """An interface with a key of its own; its public key."""
    inside(namespace, "wireguard-go", name)
    secret = inside(namespace, "wg", "genkey")
    inside(namespace, "wg", "set", name, "private-key", "/dev/stdin", stdin=secret)
    inside(namespace, "ip", "link", "set", name, "mtu", "1420", "up")
    return inside(namespace, "wg", "pubkey", stdin=secret).strip()


def inside(namespace: str, *argv: str, stdin: str = "") -> str:
    command = ["ip", "netns", "exec", namespace, *argv]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout
