"""What a client loses when the serving gateway crashes or hands over, beside plain WireGuard in the same run.

Plain WireGuard: two gateways with one key and one address, which moves to the other at once as the first one dies.
FAILOVER_RUNS sets how many crashes each kind of NAT sees.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast, get_args

from bench.boot import EMPTY
from bench.cloud import api, call, run_machine, running_lab, until
from bench.failover_picture import draw
from bench.figure import Figure
from bench.stream import associated, inside, open_group
from lab import calls, clients, fail
from lab.calls import Nat
from lab.clients import Client
from lab.echo import ADDRESS
from lab.measure import Probe, echo
from lab.paths import MARK, ROOT

RUNS = int(os.environ.get("FAILOVER_RUNS", "3"))
PORT, WATCH_SECONDS = 51900, 28.0
PICTURE = ROOT / "docs" / "failover.svg"
NATS = cast(tuple[Nat, ...], get_args(Nat))


def measure() -> list[Figure]:
    with running_lab() as environment:
        plain = plain_outage(environment)
        crashes = {nat: [_crash(nat) for _ in range(RUNS)] for nat in NATS}
        switches = {load: _switches(environment, load) for load in ("download", "upload")}
    outages = {f"NAT: {nat}": [one.outage_seconds for one in seen] for nat, seen in crashes.items()}
    draw({**outages, "plain WireGuard": [plain]}, Path(PICTURE))
    figures = [figure for nat, seen in crashes.items() for figure in _crash_figures(nat, seen, plain)]
    return figures + [
        Figure(
            name=f"switch_{load}", what=f"planned switch under {_an(load)}, against no switch", unit="s",
            ours=tuple(with_), other=tuple(without), compare="difference", bound=0.06, better="below",
            note=f"worst {max(with_):.3f} s",
        )
        for load, (with_, without) in switches.items()
    ]  # fmt: skip


def _an(load: str) -> str:
    return f"an {load}" if load == "upload" else f"a {load}"


def _crash_figures(nat: str, seen: list[fail.Outage], plain: float) -> list[Figure]:
    ours = tuple(one.outage_seconds for one in seen)
    # A crash that nobody noticed would have no detection: that is a fault of its own, and shows as a missed bound.
    noticed = tuple(one.detection_seconds if one.detection_seconds is not None else 0.0 for one in seen)
    worst = max(range(len(ours)), key=lambda n: ours[n] - noticed[n])
    return [
        Figure(
            name=f"crash_{nat}", what=f"crash of the serving gateway, NAT {nat}: outage beyond detection", unit="s",
            ours=ours, other=noticed, compare="difference", bound=0.1, better="below",
            note=f"plain WireGuard in the same run: {plain:.1f} s",
        ),
        Figure(
            name=f"crash_{nat}_worst", what=f"the worst of these {len(ours)}", unit="s",
            ours=(ours[worst],), other=(noticed[worst],), compare="difference", bound=0.3, better="below",
        ),
    ]  # fmt: skip


def _crash(nat: Nat) -> fail.Outage:
    """Each hits whoever serves: the one that came back from the crash before, then the other, in turn."""
    fail.settle()
    seen = fail.fail("kill", nat=nat)
    fail.heal()
    return seen


def _switches(environment: Mapping[str, str], load: str) -> tuple[list[float], list[float]]:
    """The longest gap of each switch, there and back, and of as long a time before it."""
    with_: list[float] = []
    without: list[float] = []
    client = fail.client_of("ada")
    for _ in range(2):
        fail.settle()
        before = fail.serving(fail.gateways())
        with echo(), fail.loaded(client, cast(fail.Load, load)):
            probe = Probe(client)
            try:
                probe.started()
                began = time.time()
                time.sleep(2.0)
                at = time.time()
                clients.twinlock(environment, "gateway", "drain", before)
                time.sleep(2.0)
                seen = probe.seen()
            finally:
                probe.close()
        without.append(max(b - a for a, b in zip(seen.answers, seen.answers[1:], strict=False) if began < b < at))
        with_.append(seen.longest_gap(at)[0])
    return with_, without


def plain_outage(environment: Mapping[str, str]) -> float:
    """One client of plain WireGuard whose gateway's address moves to another machine with the same key."""
    ec2 = api(environment, "ec2")
    group = open_group(environment)
    machines = [run_machine(environment, EMPTY, SecurityGroupIds=[group]) for _ in range(2)]
    made = call(ec2, "AllocateAddress", Domain="vpc")
    for machine in machines:
        until(lambda machine=machine: associated(environment, machine, str(made["AllocationId"])), "a public address")
    space = calls.client("plain", "symmetric")
    key = inside(space, "wg", "genkey")
    own = inside(space, "wg", "genkey")
    public, peer = (inside(space, "wg", "pubkey", stdin=secret).strip() for secret in (key, own))
    for number, machine in enumerate(machines):
        where = calls.namespace(machine)
        _tunnel(
            f"bp{number}-{MARK}", where, key, ["listen-port", str(PORT), "peer", peer, "allowed-ips", "10.99.1.2/32"]
        )
        inside(where, "ip", "addr", "add", f"{ADDRESS}/32", "dev", f"bp{number}-{MARK}")
        inside(where, "ip", "route", "add", "10.99.1.2/32", "dev", f"bp{number}-{MARK}")
    at_once = ["peer", public, "allowed-ips", f"{ADDRESS}/32", "endpoint", f"{made['PublicIp']}:{PORT}"]
    _tunnel(f"bpc-{MARK}", space, own, at_once)
    inside(space, "ip", "addr", "add", "10.99.1.2/32", "dev", f"bpc-{MARK}")
    inside(space, "ip", "route", "add", f"{ADDRESS}/32", "dev", f"bpc-{MARK}", "src", "10.99.1.2")
    client = Client(
        name="plain", tenant="", namespace=space, interface=f"bpc-{MARK}", address="10.99.1.2", public_key=peer,
        credentials={},
    )  # fmt: skip
    with _answered_in(machines):
        probe = Probe(client)
        try:
            if not probe.started():
                raise RuntimeError("plain WireGuard: no packet was answered before the move")
            time.sleep(1.0)
            at = time.time()
            associated(environment, machines[0], str(made["AllocationId"]))
            time.sleep(WATCH_SECONDS)
            return probe.seen().longest_gap(at)[0]
        finally:
            probe.close()


def _tunnel(name: str, namespace: str, secret: str, rest: list[str]) -> None:
    inside(namespace, "wireguard-go", name)
    inside(namespace, "wg", "set", name, "private-key", "/dev/stdin", *rest, stdin=secret)
    inside(namespace, "ip", "link", "set", name, "mtu", "1420", "up")


@contextmanager
def _answered_in(machines: list[str]) -> Generator[None]:
    """Something that answers at each machine's end of the tunnel."""
    with ExitStack() as stack:
        for machine in machines:
            stack.enter_context(echo(calls.namespace(machine)))
        yield
