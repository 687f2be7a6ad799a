"""`lab fail WHAT`: breaks the gateway that serves while a client measures, and tells what was lost. `lab heal` mends.

All figures in seconds from the moment of the fault; None where something did not happen.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from lab import calls, clients, redundant
from lab.calls import Mode, Nat
from lab.clients import Client
from lab.faults import FAULTS, Gateway, Struck
from lab.measure import Probe, Seen, echo, longest_gap
from lab.paths import LAB, PEERS, REPORT, ROOT
from lab.remote import LabError
from lab.up import OBJECT_BYTES, OBJECT_KEY, PEOPLE, connect, enrol

Load = Literal["download", "upload", "idle"]
MOVE_SECONDS = 12.0  # looked on for longer where an address has to move
SETTLE_SECONDS = 1.0  # of probes before the fault
REDUNDANT_SECONDS = 20.0
PENDING = LAB / "fault.json"  # what there is to heal
_MOVED_BYTES, _MOVED_SECONDS = 4 << 20, 0.5  # a transfer is under way; younger ones a twin does not know of
# Who stands for each kind of NAT; the last joins when it is asked for.
BEHIND: Mapping[Nat, str] = {"symmetric": "ada", "port-restricted": "bob", "none": "cleo"}
# The same with one peer, for the mode floating-ip; each joins when it is asked for.
SINGLE: Mapping[Nat, str] = {"symmetric": "sam", "port-restricted": "pia", "none": "nora"}


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What `lab fail --json` prints."""

    fault: str
    at: float  # epoch seconds of the fault
    mode: str
    nat: str
    during: Load
    outage_seconds: float  # without an answered packet
    out_seconds: float  # without a packet that got out
    in_seconds: float  # without one that came in by itself
    detection_seconds: float | None
    takeover_seconds: float | None
    redundant_seconds: float | None
    served_by: tuple[str, str | None]  # before and after
    transfer: Mapping[str, object] | None


def fail(
    what: str,
    during: Load = "idle",
    nat: Nat = "symmetric",
    mode: Mode = "ways",
    *,
    patience: float = REDUNDANT_SECONDS,
) -> Outage:
    """Breaks whoever serves, and leaves it broken: `heal` mends. LabError if nobody serves.

    For redundancy it waits `patience` seconds at most.
    """
    fault = FAULTS[what]
    found = gateways()
    serving(found)
    client = client_of(BEHIND[nat]) if mode == "ways" else single_client(nat)
    before = redundant.look()
    with echo():
        probe = Probe(client)
        try:
            if not probe.started():
                raise LabError(f"{client.name}: no packet was answered before the fault: nothing can be measured")
            time.sleep(SETTLE_SECONDS)
            moving = _load(client, during)
            hit = struck(found)  # only now: one may have handed over meanwhile
            _remember(what, hit)
            at = time.time()
            fault.begin(hit)
            watch = redundant.Watch(before)
            time.sleep(fault.watch + (0 if mode == "ways" else MOVE_SECONDS))
            seen = probe.seen()
        finally:
            probe.close()
    detection, takeover, slot = _phases(hit, at)
    return Outage(
        fault=what,
        at=at,
        mode=mode,
        nat=nat,
        during=during,
        outage_seconds=round(seen.longest_gap(at)[0], 3),
        out_seconds=round(longest_gap(seen.out, seen.ended, at)[0], 3),
        in_seconds=round(longest_gap(seen.pushed, seen.ended, at)[0], 3),
        detection_seconds=detection,
        takeover_seconds=takeover,
        redundant_seconds=watch.seconds(patience),
        served_by=(hit.serving.slot, slot),
        transfer=None if moving is None else _moved(moving),
    )


def heal() -> tuple[str, ...]:
    """Ends the faults that `fail` began, the last first: their names."""
    pending = _pending()
    for one in reversed(pending):
        FAULTS[str(one["what"])].end(_of_json(one))
    PENDING.unlink(missing_ok=True)
    return tuple(str(one["what"]) for one in pending)


def _remember(what: str, struck: Struck) -> None:
    PENDING.write_text(json.dumps([*_pending(), {"what": what, **asdict(struck)}]))


def _pending() -> list[Mapping[str, Any]]:
    return json.loads(PENDING.read_text()) if PENDING.exists() else []


def _of_json(one: Mapping[str, Any]) -> Struck:
    return Struck(serving=Gateway(**one["serving"]), others=tuple(Gateway(**other) for other in one["others"]))


def settle(seconds: float = 90.0) -> None:
    """Waits until one gateway serves and both hold ways of every client of the main job; LabError if that never is."""
    keys = frozenset(str(peer["public_key"]) for peer in json.loads(REPORT.read_text())["peers"])
    slots = frozenset(one.slot for one in gateways())
    looks: Mapping[str, redundant.Look] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(LabError):
            looks = redundant.look()
            serving(gateways())
            if redundant.is_redundant(looks, slots, keys):
                return
        time.sleep(0.3)
    raise LabError(f"the gateways did not come back within {seconds:.0f} s: {looks}")


def gateways() -> list[Gateway]:
    rows = [(str(row["slot"]), str(row["instance_id"]), str(row["zone"])) for row in _rows()]
    return [Gateway(slot=slot, machine=machine, zone=zone) for slot, machine, zone in rows]


def serving(found: list[Gateway]) -> str:
    """The slot whose gateway holds clients: what the machines say, not what the registry says."""
    slots = [one.slot for one in found if _holds_clients(one)]
    if len(slots) != 1:
        raise LabError(f"one gateway has to serve before anything is broken, now: {slots or 'none'}")
    return slots[0]


def struck(found: list[Gateway]) -> Struck:
    slot = serving(found)
    return Struck(
        serving=next(one for one in found if one.slot == slot), others=tuple(one for one in found if one.slot != slot)
    )


def _holds_clients(gateway: Gateway) -> bool:
    """False also for a machine that is off or stands still."""
    try:
        code, printed = calls.run(gateway.machine, "timeout", "3", "wg", "show", "wg-service", "peers")
    except LabError:
        return False
    return code == 0 and bool(printed.strip())


@dataclass
class Watch:
    seen: Seen


@contextmanager
def watched(client: Client, seconds: float) -> Generator[Watch]:
    """Has the client measure for some seconds from now; what it saw is there at the end."""
    watch = Watch(Seen())
    with echo():
        probe = Probe(client)
        try:
            probe.started()
            end = time.monotonic() + seconds
            yield watch
            time.sleep(max(0.0, end - time.monotonic()))
            watch.seen = probe.seen()
        finally:
            probe.close()


def client_of(name: str) -> Client:
    """A client of the main job, or the one without a NAT, which joins now if it has not."""
    if name not in {known for known, _, _ in PEOPLE}:
        return _joined(name)
    facts = next(peer for peer in json.loads(REPORT.read_text())["peers"] if peer["name"] == name)
    nat: Nat = next(nat for known, _, nat in PEOPLE if known == name)
    return _client(name, nat, facts)


def single_client(nat: Nat) -> Client:
    """With one peer, at the floating address."""
    return _joined(SINGLE[nat], nat, single=True)


def _joined(name: str, nat: Nat = "none", *, single: bool = False) -> Client:
    kept = PEERS / f"{name}.json"
    if not kept.exists():
        address, key = enrol(name, "red")
        client = connect(name, "red", nat, (address, key), single=single)
        clients.wait_for_service(client, 30)
        kept.write_text(json.dumps({"tenant": "red", "address": address, "public_key": key}))
    return _client(name, nat, json.loads(kept.read_text()))


def _client(name: str, nat: Nat, facts: Mapping[str, str]) -> Client:
    return Client(
        name=name,
        tenant=facts["tenant"],
        namespace=calls.client(name, nat),
        interface=clients.interface_of(name),
        address=facts["address"],
        public_key=facts["public_key"],
        credentials=clients.storage_credentials(facts["tenant"]),
    )


def _rows() -> list[Mapping[str, object]]:
    deployer = calls.environment()
    return cast(list[Mapping[str, object]], clients.twinlock(deployer, "gateway", "list")["gateways"])


@contextmanager
def loaded(client: Client, during: Load) -> Generator[None]:
    """Under one transfer after the other; LabError if one did not end well."""
    begin = _transfers(client, during)
    moving = _under_way(client, begin)
    ended: list[Mapping[str, object]] = []
    stop = threading.Event()

    def go_on(moving: subprocess.Popen[str]) -> None:
        ended.append(_moved(moving))
        while not stop.is_set():
            ended.append(_moved(begin()))

    work = threading.Thread(target=go_on, args=(moving,), daemon=True)
    work.start()
    try:
        yield
    finally:
        stop.set()
        work.join()
    if not all(moved["ok"] for moved in ended):
        raise LabError(f"{client.name}: a transfer failed: {ended}")


def _load(client: Client, during: Load) -> subprocess.Popen[str] | None:
    return None if during == "idle" else _under_way(client, _transfers(client, during))


def _transfers(client: Client, during: Load) -> Callable[[], subprocess.Popen[str]]:
    from lab import deploy

    outputs = deploy.pulumi(calls.environment(), "stack", "output", "--json", "--stack", "lab")
    bucket = str(json.loads(outputs)["buckets"][0])
    verb, key = ("put", "lab/fail") if during == "upload" else ("get", OBJECT_KEY)
    return lambda: subprocess.Popen(
        ["ip", "netns", "exec", client.namespace, clients.PYTHON, "-m", "lab.transfer", verb, bucket, key,
         str(OBJECT_BYTES)],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", **client.credentials}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _under_way(client: Client, begin: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
    before = _bytes(client)
    moving, began = begin(), 0.0
    while not began or time.monotonic() - began < _MOVED_SECONDS:
        if not began and _bytes(client) >= before + _MOVED_BYTES:
            began = time.monotonic()
        if moving.poll() is not None:
            raise LabError(f"{client.name}: the transfer ended before it was under way: {_moved(moving)}")
        time.sleep(0.01)
    return moving


def _bytes(client: Client) -> int:
    """Through its tunnel, both directions."""
    rows = client.run("wg", "show", client.interface, "transfer").stdout.splitlines()
    return sum(int(number) for row in rows for number in row.split("\t")[1:])


def _moved(moving: subprocess.Popen[str]) -> Mapping[str, object]:
    printed, _ = moving.communicate(timeout=120)
    return cast(Mapping[str, object], json.loads(printed))


def _phases(struck: Struck, at: float) -> tuple[float | None, float | None, str | None]:
    """When a twin noticed, when one had called, and which: from the journals of the machines that are there now."""
    noticed: list[float] = []
    took: list[tuple[float, str]] = []
    for machine in calls.status().machines:
        slot = str(machine.slot)
        journal = _journal(machine.id)
        if slot != struck.serving.slot:
            noticed += _times(journal, rf"gateway {struck.serving.slot}:", at)[:1]
        took += [(when, slot) for when in _times(journal, r"serving shard ", at)[:1]]
    first = min(took, default=None)
    return (
        round(min(noticed) - at, 3) if noticed else None,
        round(first[0] - at, 3) if first else None,
        first[1] if first else struck.serving.slot,
    )


def _journal(machine: str) -> str:
    return calls.run(machine, "journalctl", "--no-pager", "--output=short-unix", "--unit=twinlock-agent").printed


def _times(journal: str, what: str, since: float) -> list[float]:
    found = re.finditer(rf"^(\d+\.\d+) \S+ \S+: {what}", journal, re.MULTILINE)
    return [float(one[1]) for one in found if float(one[1]) >= since]
