"""Machines that boot hand-written user data in the fabric, up to a WireGuard handshake."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.fabric import Fabric
from lab.machines import MachineError, Machines
from lab.machines.machines import sweep
from lab.paths import IMAGE
from tests.boot import fabric_samples as sample
from tests.boot.machine_samples import serve_metadata

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.timeout(300),  # the first of them builds the image
]
PATIENCE = 120.0  # seconds; a boot takes one on an idle machine
USER_DATA = b"""#cloud-config
runcmd:
  - [sh, -c, "umask 077; wg genkey > /etc/wireguard/key"]
  - [sh, -c, "ip link add wg0 type wireguard 2>/dev/null || wireguard-go wg0"]
  - [sh, -c, "wg set wg0 listen-port 51820 private-key /etc/wireguard/key"]
  - [sh, -c, "ip address add 10.100.0.1/24 dev wg0; ip link set wg0 up"]
  - [sh, -c, "echo booted with $(wg show wg0 public-key) > /dev/console"]
"""


@dataclass(frozen=True)
class Booted:
    fabric: Fabric
    machines: Machines
    state: Path


@pytest.fixture(scope="module")
def image() -> Path:
    subprocess.run([ROOT / "tools/image/build", IMAGE], check=True)
    return IMAGE


@pytest.fixture
def booted(image: Path, tmp_path: Path) -> Iterator[Booted]:
    """Machine i-1, started, with a public address and UDP 51820 open."""
    (tmp_path / "ca.pem").write_text("# the lab's own\n")
    fabric = Fabric(
        "machtest",
        sample.NAMES,
        on_network=lambda _, sock: serve_metadata(sock, USER_DATA, sample.A),
    )
    machines = Machines(lambda _: image, tmp_path / "machines", tmp_path / "ca.pem", fabric.machine_namespace)
    tunnel = sample.allow_in("udp", 51820)
    try:
        fabric.start()
        fabric.apply(sample.cloud(sample.interface(1, sample.A, sample.ALL_OUT, tunnel, public=sample.PUBLIC_A)))
        machines.start("i-1")
        yield Booted(fabric, machines, tmp_path / "machines")
    finally:
        machines.sweep()
        fabric.teardown()


def printed(booted: Booted, argv: str) -> str:
    done = booted.machines.run("i-1", ["sh", "-c", argv])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_machine_boots_its_user_data_up_to_a_handshake_with_a_client_behind_a_nat(booted: Booted) -> None:
    line = booted.machines.wait_console("i-1", "booted with ", PATIENCE)
    client = booted.fabric.add_client("c", nat="symmetric")
    own = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout
    public = subprocess.run(["wg", "pubkey"], input=own, capture_output=True, text=True, check=True).stdout.strip()
    printed(booted, f"wg set wg0 peer {public} allowed-ips 10.100.0.2/32")
    script = (
        "ip link add machtest0 type wireguard 2>/dev/null || wireguard-go machtest0 2>/dev/null; "
        f"wg set machtest0 private-key /dev/stdin peer {line.split()[-1]} endpoint {sample.PUBLIC_A}:51820 "
        "allowed-ips 10.100.0.1/32; ip address add 10.100.0.2/24 dev machtest0; ip link set machtest0 up; "
        "ping -c 1 -w 10 10.100.0.1"
    )
    argv = ["ip", "netns", "exec", client, "sh", "-c", script]
    done = subprocess.run(argv, input=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert printed(booted, "wg show wg0 endpoints").split()[1].startswith(booted.fabric.client_address("c"))


def test_cloud_init_ends_without_a_warning_and_systemd_without_a_failed_unit(booted: Booted) -> None:
    booted.machines.wait_console("i-1", "booted with ", PATIENCE)
    assert printed(booted, "cloud-init status --wait") == "status: done"
    status = printed(booted, "cloud-init status --format=json")
    assert '"errors": []' in status and '"recoverable_errors": {}' in status
    assert printed(booted, "systemctl is-system-running --wait") == "running"
    assert "Traceback" not in booted.machines.console("i-1")


def test_a_machine_has_its_networks_resolver_trusts_the_labs_ca_and_may_forward(booted: Booted) -> None:
    booted.machines.wait_console("i-1", "booted with ", PATIENCE)
    assert printed(booted, "getent hosts ec2.eu-west-1.amazonaws.com").split()[0] == "52.94.0.10"
    assert printed(booted, "tail -n 1 /etc/ssl/certs/ca-certificates.crt") == "# the lab's own"
    assert printed(booted, "sysctl -w net.ipv4.ip_forward=1 && nft add table ip t && nft list tables")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == FORWARDS, "the host's own setting is not touched"


def test_a_machine_follows_the_time_source_of_its_network(booted: Booted) -> None:
    printed(booted, "until systemctl is-active -q chrony; do sleep 0.1; done")
    printed(booted, "chronyc -n add server 169.254.169.123 iburst minpoll 0 maxpoll 0 && chronyc waitsync 100 0 0 0.1")
    assert "169.254.169.123" in printed(booted, "chronyc -n tracking")


def test_a_stop_is_a_power_cut_and_a_start_begins_with_an_empty_disk(booted: Booted) -> None:
    printed(booted, "touch /etc/mark && sync")
    booted.machines.stop("i-1")
    assert not booted.machines.alive("i-1")
    with pytest.raises(MachineError, match="not running"):
        booted.machines.run("i-1", ["true"])
    booted.machines.start("i-1")
    assert booted.machines.alive("i-1")
    printed(booted, "! test -e /etc/mark")


def test_a_paused_machine_does_nothing_until_it_is_resumed(booted: Booted) -> None:
    booted.machines.wait_console("i-1", "booted with ", PATIENCE)
    printed(booted, "systemd-run -q sh -c 'while :; do date +%s%N > /run/beat; sleep 0.01; done'")
    beat = Path(f"/proc/{booted.machines.leader('i-1')}/root/run/beat")
    while not beat.exists():
        time.sleep(0.02)
    booted.machines.pause("i-1")
    before = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == before and booted.machines.alive("i-1")
    booted.machines.resume("i-1")
    deadline = time.monotonic() + 5
    while beat.read_text() == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_waiting_for_what_is_never_printed_says_what_was(booted: Booted) -> None:
    with pytest.raises(MachineError, match="never printed 'no such line'"):
        booted.machines.wait_console("i-1", "no such line", 0.1)


KILLED = """
import os, signal, sys
from pathlib import Path
from lab.machines import Machines
machines = Machines(lambda _: Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), lambda _: sys.argv[4])
machines.start("i-killed")
machines.run("i-killed", ["true"])
print(machines.leader("i-killed"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_machine_ends_with_the_process_that_started_it_and_leaves_nothing(
    booted: Booted, image: Path, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", KILLED, str(image), str(tmp_path / "killed"), str(tmp_path / "ca.pem")]
    argv.append(booted.fabric.machine_namespace("i-1"))
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    ended = Path(f"/proc/{int(done.stdout)}/root/etc")
    deadline = time.monotonic() + 10
    while ended.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sweep(tmp_path / "killed")
    assert booted.machines.alive("i-1"), "another lab's machines stay"
    assert str(tmp_path / "killed") not in Path("/proc/mounts").read_text()
    assert not Path("/run/systemd/nspawn/propagate/i-killed").exists()


def test_a_sweep_needs_no_record_of_what_runs(booted: Booted) -> None:
    printed(booted, "true")
    sweep(booted.state)
    assert booted.machines.leader("i-1") is None


FORWARDS = Path("/proc/sys/net/ipv4/ip_forward").read_text() if sys.platform == "linux" else ""
