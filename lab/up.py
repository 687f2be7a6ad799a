"""The main job: from nothing to an object that travels through the tunnel, and is refused everywhere else."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from rich.console import Console

from lab import calls, clients, deploy
from lab.calls import Nat
from lab.clients import Client
from lab.deploy import Deployment
from lab.paths import PEERS, REPORT, ROOT
from lab.remote import LabError
from lab.report import GatewayFacts, ObjectFacts, PeerFacts, PulumiFacts, Refusal, Report
from lab.watched import Boot

OBJECT_BYTES = 64 << 20
OBJECT_KEY = "lab/object"
# Name, tenant, and what stands between the client and the internet.
PEOPLE: tuple[tuple[str, str, Nat], ...] = (("ada", "red", "symmetric"), ("bob", "blue", "port-restricted"))


@dataclass
class Clockwork:
    """Says each step as it runs, with its seconds."""

    console: Console
    timings: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def step(self, name: str, what: str) -> Generator[None]:
        started = time.monotonic()
        with self.console.status(f"{what} …"):
            yield
        self.timings[name] = round(time.monotonic() - started, 2)
        self.console.print(f"[green]✓[/] {what} [dim]{self.timings[name]:.1f} s[/]")


def main_job(console: Console, *, move_seconds: float, conflicts: float, floating: bool = False) -> Report:
    """Everything that `make lab` promises, in order; LabError at the first thing that does not hold."""
    clock = Clockwork(console)
    with clock.step("cloud", "The lab's cloud is up"):
        calls.start(move_seconds=move_seconds, conflicts=conflicts)
    deployer = calls.environment()
    with clock.step("deploy", "pulumi up"):
        deployment = deploy.up(deployer, floating=floating)
    with clock.step("boot", "Both gateways booted from their user data"):
        machines = calls.wait_ready(2, 120.0)
    calls.people(cast(Mapping[str, str], deployment.outputs["policies"]))
    with clock.step("enrol", "Two peers enrolled and approved in two tenants"):
        people = {name: enrol(name, tenant) for name, tenant, _ in PEOPLE}
    gateways = _gateways(deployer)
    with clock.step("connect", "Their tunnels are up, from the files that twinlock wrote"):
        keys = {slot: str(row["way_public_key"]) for slot, row in gateways.items()}
        connected: dict[str, Client] = {}
        shaken: dict[str, dict[str, float]] = {}
        for name, tenant, nat in PEOPLE:
            connected[name] = connect(name, tenant, nat, people[name])
            shaken[name] = clients.wait_for_ways(connected[name], keys, 30)
        for client in connected.values():
            clients.wait_for_service(client, 30)
    bucket = _bucket(deployment)
    with clock.step("object", f"{OBJECT_BYTES >> 20} MiB went up and came back the same"):
        moved = _move(connected["ada"], bucket)
    with clock.step("refusals", "What has to be refused is refused"):
        refused = _refusals(connected, bucket)
    report = Report(
        commit=_commit(),
        agent_sha256=str(next(iter(gateways.values()))["agent_sha256"]),
        gateways=tuple(_gateway_facts(row, machines, shaken["ada"]) for row in _gateways(deployer).values()),
        peers=tuple(
            PeerFacts(name=client.name, tenant=client.tenant, address=client.address, public_key=client.public_key)
            for client in connected.values()
        ),
        object=moved,
        refused=refused,
        timings=clock.timings,
        pulumi=PulumiFacts(version=deployment.version, resources=deployment.resources, provider=deployment.provider),
    )
    report.write(REPORT)
    return report


def enrol(name: str, tenant: str, *more: str) -> tuple[str, str]:
    clients.prepare()
    enroller = calls.credentials(f"lab-enroller-{tenant}", local=True)
    approver = calls.credentials("lab-approver", local=True)
    return clients.enrol(name, tenant, enroller, approver, *more)


def rotate(name: str, tenant: str) -> str:
    """Its new public key, which somebody else has approved."""
    enroller = calls.credentials(f"lab-enroller-{tenant}", local=True)
    return clients.rotate(name, tenant, enroller, calls.credentials("lab-approver", local=True))


def connect(name: str, tenant: str, nat: Nat, enrolled: tuple[str, str], *, single: bool = False) -> Client:
    reader = calls.credentials("lab-reader", local=True)
    address, public_key = enrolled
    return clients.connect(name, tenant, address, public_key, nat=nat, reader=reader, single=single)


def _gateways(environment: Mapping[str, str]) -> dict[str, Mapping[str, object]]:
    """Each slot's record, as `twinlock gateway list` tells it."""
    rows = cast(list[Mapping[str, object]], clients.twinlock(environment, "gateway", "list")["gateways"])
    return {str(row["slot"]): row for row in rows}


def _gateway_facts(row: Mapping[str, object], machines: Sequence[Boot], ways: Mapping[str, float]) -> GatewayFacts:
    booted = next(machine for machine in machines if machine.id == row["instance_id"])
    return GatewayFacts(
        name=str(row["slot"]),
        zone=str(row["zone"]),
        instance_id=str(row["instance_id"]),
        address=str(row["public_address"]),
        role="serving" if row["serving"] else "standby",
        boot_seconds=round(booted.ready_seconds or 0.0, 2),
        handshake_seconds=round(ways[str(row["slot"])], 3),
    )


def _bucket(deployment: Deployment) -> str:
    return str(cast(list[object], deployment.outputs["buckets"])[0])


def _move(client: Client, bucket: str) -> ObjectFacts:
    put = clients.transfer(client, "put", bucket, OBJECT_KEY, OBJECT_BYTES)
    got = clients.transfer(client, "get", bucket, OBJECT_KEY, OBJECT_BYTES) if put["ok"] else put
    if not (put["ok"] and got["ok"]) or put["sha256"] != got["sha256"] or got["bytes"] != OBJECT_BYTES:
        raise LabError(f"the object did not travel: put {put}, get {got}")
    storage = calls.address_of(f"{bucket}.s3.eu-west-1.amazonaws.com")
    route = client.run("ip", "route", "get", storage).stdout.split()
    if route[route.index("dev") + 1] != client.interface:
        raise LabError(f"the storage's address {storage} is not routed through the tunnel: {' '.join(route)}")
    return ObjectFacts(
        bytes=cast(int, got["bytes"]),
        sha256=str(got["sha256"]),
        put_seconds=round(cast(float, put["seconds"]), 2),
        get_seconds=round(cast(float, got["seconds"]), 2),
        retries=cast(int, put["retries"]) + cast(int, got["retries"]),
        via=f"{client.interface} to {storage}",
    )


def _refusals(connected: Mapping[str, Client], bucket: str) -> dict[str, Refusal]:
    ada, bob = connected["ada"], connected["bob"]
    storage = calls.address_of(f"{bucket}.s3.eu-west-1.amazonaws.com")
    outside = calls.client("eve", "none")
    return {
        "direct": _direct(outside, ada, bucket),
        "east_west": _east_west(ada, bob),
        "other_port": _other_port(ada, outside, storage),
    }


def _direct(outside: str, ada: Client, bucket: str) -> Refusal:
    """Without the tunnel, with the very credentials that just worked inside."""
    tried = clients.transfer_without_tunnel(outside, ada.tenant, bucket, OBJECT_KEY)
    if tried["ok"] or tried["error"] != "AccessDenied":
        raise LabError(f"the object has to be refused without the tunnel, and was not: {tried}")
    return Refusal(
        tried=f"GET s3://{bucket}/{OBJECT_KEY} from the internet, as tenant {ada.tenant}",
        answer=f"{tried['error']}: {tried['message']}",
        control="the same credentials got the object through the tunnel",
    )


def _east_west(ada: Client, bob: Client) -> Refusal:
    """One peer to the other, with a file that was widened on purpose: what it may reach is not the client's to say."""
    listener = subprocess.Popen(
        ["ip", "netns", "exec", bob.namespace, clients.PYTHON, "-m", "http.server", "8080", "--bind", bob.address],
        cwd=PEERS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _until(lambda: clients.can_open(bob.namespace, bob.address, 8080) == "connected", "bob's own port")
        with clients.widened(ada, f"{bob.address}/32"):
            answer = clients.can_open(ada.namespace, bob.address, 8080)
    finally:
        listener.terminate()
        listener.wait()
    if answer == "connected":
        raise LabError("one peer reaches the other")
    return Refusal(
        tried=f"TCP 8080 from {ada.name} ({ada.address}) to {bob.name} ({bob.address}), with AllowedIPs widened",
        answer=answer,
        control=f"{bob.name} itself reaches that port",
    )


def _other_port(ada: Client, outside: str, storage: str) -> Refusal:
    """The storage's address at a port that the tenant was not given; something does listen there."""
    calls.listen(storage, 80)
    if (control := clients.can_open(outside, storage, 80)) != "connected":
        raise LabError(f"nothing listens at {storage}:80, so a refusal there says nothing: {control}")
    if (answer := clients.can_open(ada.namespace, storage, 80)) == "connected":
        raise LabError(f"a peer reaches {storage}:80, which it was not given")
    return Refusal(
        tried=f"TCP 80 from {ada.name} to the storage's address {storage}",
        answer=answer,
        control="from the internet that port connects; TCP 443 through the tunnel does too",
    )


def _until(holds: object, what: str, seconds: float = 10) -> None:
    assert callable(holds)  # noqa: S101
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    said = subprocess.run(
        [git, "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    changed = subprocess.run(
        [git, "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return f"{said}{'+changes' if changed.strip() else ''}" or "unknown"
