"""The lab's users: each in a namespace behind a NAT, with stock WireGuard and a file that `twinlock` wrote."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lab import calls
from lab.calls import Nat
from lab.paths import MARK, PEERS, ROOT
from lab.remote import LabError

PYTHON = str(ROOT / ".venv" / "bin" / "python")
TWINLOCK = str(ROOT / ".venv" / "bin" / "twinlock")


@dataclass(frozen=True, kw_only=True)
class Client:
    """Someone with a tunnel. `credentials` are the storage credentials of the tenant's own role, as environment."""

    name: str
    tenant: str
    namespace: str
    interface: str
    address: str
    public_key: str
    credentials: Mapping[str, str]
    since: float = 0.0  # time.monotonic() just before its tunnel was brought up

    def run(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return in_namespace(self.namespace, argv, self.credentials, timeout)


def in_namespace(
    namespace: str, argv: Sequence[str], extra: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a namespace, with nothing of the caller's AWS settings."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return subprocess.run(
        ["ip", "netns", "exec", namespace, *argv],
        env={**clean, **extra}, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def twinlock(environment: Mapping[str, str], *words: str) -> dict[str, object]:
    """The command as its users type it, with `--json`; LabError with its own words when it refuses."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    done = subprocess.run(
        [TWINLOCK, "--environment", "lab", "--json", *words],
        env={**clean, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(
            f"twinlock {' '.join(words)} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return json.loads(done.stdout)


def _new_key(name: str, enroller: Mapping[str, str]) -> str:
    key_file = PEERS / f"{name}.key"
    key_file.unlink(missing_ok=True)
    return str(twinlock(enroller, "peer", "keygen", "--out", str(key_file))["public_key"])


def enrol(
    name: str, tenant: str, enroller: Mapping[str, str], approver: Mapping[str, str], *more: str
) -> tuple[str, str]:
    """Makes a key on the client, enrols its public half and has somebody else approve it: (address, public key).
    `more` are options of `peer enrol`."""
    public = _new_key(name, enroller)
    twinlock(enroller, "peer", "enrol", name, "--tenant", tenant, "--public-key", public, *more)
    peer = twinlock(approver, "peer", "approve", name, "--tenant", tenant)
    return str(peer["address"]), public


def rotate(name: str, tenant: str, enroller: Mapping[str, str], approver: Mapping[str, str]) -> str:
    """A new key of a peer that is there, approved by somebody else: its public half."""
    public = _new_key(name, enroller)
    twinlock(enroller, "peer", "rotate", name, "--tenant", tenant, "--public-key", public)
    twinlock(approver, "peer", "approve", name, "--tenant", tenant)
    return public


def connect(
    name: str,
    tenant: str,
    address: str,
    public_key: str,
    *,
    nat: Nat,
    reader: Mapping[str, str],
    single: bool = False,
) -> Client:
    """Brings the client's tunnel up from the file that `twinlock peer config` wrote; `single`: with one peer."""
    interface = interface_of(name)
    file = PEERS / f"{interface}.conf"
    file.unlink(missing_ok=True)
    twinlock(
        reader, "peer", "config", name, "--tenant", tenant,
        "--private-key-file", str(PEERS / f"{name}.key"), "--out", str(file),
        # The machine's own resolver is none of the lab's business: the interface has a number there that is another's.
        "--no-dns",
        *(["--single"] if single else []),
    )  # fmt: skip
    client = Client(
        name=name,
        tenant=tenant,
        namespace=calls.client(name, nat),
        interface=interface,
        address=address,
        public_key=public_key,
        credentials=storage_credentials(tenant),
        since=time.monotonic(),
    )
    up = client.run("wg-quick", "up", str(file))
    if up.returncode:
        raise LabError(f"wg-quick up {file.name} failed: {up.stderr.strip()}")
    return client


def interface_of(name: str) -> str:
    """Of a client's tunnel: wireguard-go's sockets are named by it, in a folder that all namespaces share."""
    return f"{name}-{MARK}"


def storage_credentials(tenant: str) -> dict[str, str]:
    return calls.credentials(f"lab-tenant-{tenant}")


def wait_for_ways(client: Client, ways: Mapping[str, str], timeout: float) -> dict[str, float]:
    """Seconds from the tunnel's start to each way's first handshake (slot -> its public key), looking every 20 ms."""
    started = time.monotonic()
    seen: dict[str, float] = {}
    while len(seen) < len(ways):
        if time.monotonic() - started > timeout:
            shown = client.run("wg", "show", client.interface).stdout
            raise LabError(
                f"{client.name}: no handshake with way {sorted(ways.keys() - seen.keys())} in {timeout} s\n{shown}"
            )
        shaken = handshakes(client)
        for slot, key in ways.items():
            if slot not in seen and shaken.get(key, 0):
                seen[slot] = time.monotonic() - client.since
        time.sleep(0.02)
    return seen


def wait_for_service(client: Client, timeout: float) -> float:
    """Seconds until the service's own handshake: whoever serves has called the client."""
    started = time.monotonic()
    while time.monotonic() - started < timeout:
        if handshakes(client).get(service_key(client), 0):
            return time.monotonic() - started
        time.sleep(0.02)
    raise LabError(f"{client.name}: nobody called it within {timeout} s\n{client.run('wg').stdout}")


def handshakes(client: Client) -> dict[str, int]:
    """Each peer's latest handshake (epoch seconds, 0 for none)."""
    rows = client.run("wg", "show", client.interface, "latest-handshakes").stdout.splitlines()
    return {key: int(when) for key, when in (row.split("\t") for row in rows)}


def allowed_ips(client: Client) -> dict[str, list[str]]:
    """Each peer's allowed IPs, empty for a way."""
    rows = client.run("wg", "show", client.interface, "allowed-ips").stdout.splitlines()
    return {key: [] if said == "(none)" else said.split() for key, said in (row.split("\t") for row in rows)}


def service_key(client: Client) -> str:
    """The service's peer is the one that has allowed IPs."""
    return next(key for key, allowed in allowed_ips(client).items() if allowed)


@contextmanager
def widened(client: Client, *destinations: str) -> Generator[None]:
    """Has the client send to more addresses (CIDRs) through the tunnel, as whoever owns the client can."""
    key = service_key(client)
    before = allowed_ips(client)[key]
    client.run("wg", "set", client.interface, "peer", key, "allowed-ips", ",".join((*before, *destinations)))
    for destination in destinations:
        client.run("ip", "route", "add", destination, "dev", client.interface)
    try:
        yield
    finally:
        for destination in destinations:
            client.run("ip", "route", "del", destination, "dev", client.interface)
        client.run("wg", "set", client.interface, "peer", key, "allowed-ips", ",".join(before))


def transfer(client: Client, verb: str, bucket: str, key: str, size: int) -> dict[str, object]:
    return _transfer(client.namespace, client.credentials, verb, bucket, key, size)


def transfer_without_tunnel(namespace: str, tenant: str, bucket: str, key: str) -> dict[str, object]:
    return _transfer(namespace, storage_credentials(tenant), "get", bucket, key, 0)


def _transfer(
    namespace: str, credentials: Mapping[str, str], verb: str, bucket: str, key: str, size: int
) -> dict[str, object]:
    argv = (PYTHON, "-m", "lab.transfer", verb, bucket, key, str(size))
    done = in_namespace(namespace, argv, credentials, 180)
    if done.returncode:
        raise LabError(f"lab.transfer {verb} in {namespace} failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def can_open(namespace: str, address: str, port: int, seconds: float = 2) -> str:
    """What a TCP connection attempt comes to: "connected", "timed out" or the error's name."""
    script = (
        "import socket,sys\n"
        "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])); print('connected')\n"
        "except TimeoutError: print('timed out')\n"
        "except OSError as e: print(e.strerror)"
    )
    return in_namespace(namespace, (PYTHON, "-c", script, address, str(port), str(seconds)), {}, 30).stdout.strip()


def prepare() -> None:
    PEERS.mkdir(mode=0o700, parents=True, exist_ok=True)
