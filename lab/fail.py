"""`lab fail WHAT`: breaks the gateway that serves while a client measures, and tells what was lost. `lab heal` mends.

All figures in seconds from the moment of the fault; None where something did not happen.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal, cast

from lab import calls, clients
from lab.calls import Nat
from lab.clients import Client
from lab.faults import FAULTS, Gateway
from lab.measure import Probe, Seen, echo
from lab.paths import LAB, REPORT, ROOT
from lab.remote import LabError
from lab.up import OBJECT_BYTES, OBJECT_KEY, PEOPLE

Load = Literal["download", "upload", "idle"]
WATCH_SECONDS = 8.0
SETTLE_SECONDS = 1.0  # of probes before the fault
REDUNDANT_SECONDS = 20.0
PENDING = LAB / "fault.json"  # what there is to heal
_ATTEMPTS = 8  # of the SDK, as a user would set them


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What `lab fail --json` prints."""

    fault: str
    at: float  # epoch seconds of the fault
    mode: str
    during: Load
    outage_seconds: float
    detection_seconds: float | None
    takeover_seconds: float | None
    redundant_seconds: float | None
    served_by: tuple[str, str | None]  # before and after
    transfer: Mapping[str, object] | None


def fail(what: str, during: Load, name: str = "ada", watch: float = WATCH_SECONDS) -> Outage:
    """Breaks whoever serves, and leaves it broken: `heal` mends. LabError if something is broken already."""
    if PENDING.exists():
        raise LabError("something is broken already: `twinlock lab heal` first", 3)
    begin, _ = FAULTS[what]
    found = gateways()
    before = serving(found)
    client = client_of(name)
    with echo():
        moving = _load(client, during)
        probe = Probe(client, SETTLE_SECONDS + watch)
        try:
            if not probe.started():
                raise LabError(f"{name}: no packet was answered before the fault: nothing can be measured")
            time.sleep(SETTLE_SECONDS)
            broken = [one for one in found if one.slot == before]
            PENDING.write_text(json.dumps({"what": what, "gateways": [asdict(one) for one in broken]}))
            at = time.time()
            for one in broken:
                begin(one)
            seen = probe.seen()
        finally:
            probe.close()
    # Nothing after the last answer: it is still out.
    ends = max(seen.longest_gap(at)[0], time.time() - seen.answers[-1] if seen.answers[-1] < at + watch / 2 else 0.0)
    twin = next(one for one in found if one.slot != before)
    detection, takeover = _phases(twin, before, at)
    return Outage(
        fault=what,
        at=at,
        mode="ways",
        during=during,
        outage_seconds=round(ends, 3),
        detection_seconds=detection,
        takeover_seconds=takeover,
        redundant_seconds=_redundant(client, at, REDUNDANT_SECONDS),
        served_by=(before, twin.slot if takeover is not None else before),
        transfer=None if moving is None else _moved(moving),
    )


def heal() -> str | None:
    """Ends the fault that `fail` began: its name, None if there was none."""
    if not PENDING.exists():
        return None
    found = json.loads(PENDING.read_text())
    for one in found["gateways"]:
        FAULTS[found["what"]][1](Gateway(**one))
    PENDING.unlink()
    return str(found["what"])


def gateways() -> list[Gateway]:
    return [Gateway(slot=str(row["slot"]), machine=str(row["instance_id"])) for row in _rows()]


def serving(found: list[Gateway]) -> str:
    """The slot whose gateway holds clients: what the machines say, not what the registry says."""
    slots = [one.slot for one in found if _printed(one, "wg", "show", "wg-service", "peers").strip()]
    if len(slots) != 1:
        raise LabError(f"one gateway has to serve before anything is broken, now: {slots or 'none'}")
    return slots[0]


@dataclass
class Watch:
    seen: Seen


@contextmanager
def watched(client: Client, seconds: float) -> Generator[Watch]:
    """Has the client measure for some seconds from now; what it saw is there at the end."""
    watch = Watch(Seen(answers=(), sent=0))
    with echo():
        probe = Probe(client, seconds)
        try:
            probe.started()
            yield watch
            watch.seen = probe.seen()
        finally:
            probe.close()


def client_of(name: str) -> Client:
    """A client of the main job."""
    facts = next(peer for peer in json.loads(REPORT.read_text())["peers"] if peer["name"] == name)
    behind: Nat = next(nat for known, _, nat in PEOPLE if known == name)
    return Client(
        name=name,
        tenant=facts["tenant"],
        namespace=calls.client(name, behind),
        interface=clients.interface_of(name),
        address=facts["address"],
        public_key=facts["public_key"],
        credentials=clients.storage_credentials(facts["tenant"]),
    )


def _rows() -> list[Mapping[str, object]]:
    deployer = calls.environment()
    return cast(list[Mapping[str, object]], clients.twinlock(deployer, "gateway", "list")["gateways"])


def _printed(gateway: Gateway, *argv: str) -> str:
    return calls.run(gateway.machine, *argv)[1]


def _load(client: Client, during: Load) -> subprocess.Popen[str] | None:
    if during == "idle":
        return None
    from lab import deploy

    outputs = deploy.pulumi(calls.environment(), "stack", "output", "--json", "--stack", "lab")
    bucket = str(json.loads(outputs)["buckets"][0])
    verb = "put" if during == "upload" else "get"
    key = "lab/fail" if during == "upload" else OBJECT_KEY
    return subprocess.Popen(
        ["ip", "netns", "exec", client.namespace, clients.PYTHON, "-m", "lab.transfer", verb, bucket, key,
         str(OBJECT_BYTES), str(_ATTEMPTS)],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", **client.credentials}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _moved(moving: subprocess.Popen[str]) -> Mapping[str, object]:
    printed, _ = moving.communicate(timeout=120)
    return cast(Mapping[str, object], json.loads(printed))


def _phases(twin: Gateway, broken: str, at: float) -> tuple[float | None, float | None]:
    """When the twin noticed and when it had called, from its own journal: the first of each after the fault."""
    journal = _printed(twin, "journalctl", "--no-pager", "-o", "short-unix", "-u", "twinlock-agent")
    return _first(journal, rf"gateway {broken}:", at), _first(journal, r"serving shard ", at)


def _first(journal: str, what: str, at: float) -> float | None:
    return next((round(when - at, 3) for when in _times(journal, what, at)), None)


def _times(journal: str, what: str, since: float) -> list[float]:
    found = re.finditer(rf"^(\d+\.\d+) \S+ \S+: {what}", journal, re.MULTILINE)
    return [float(one[1]) for one in found if float(one[1]) >= since]


def _redundant(client: Client, at: float, seconds: float) -> float | None:
    """Until the client has a way to every gateway again that is there: a handshake on each since the fault."""
    end = time.time() + seconds
    while time.time() < end:
        rows = _rows()
        # A heartbeat from after the fault, or the slot's gateway is not back.
        if all(cast(int, row["heartbeat_at"]) > at for row in rows):
            shaken = [handshake(str(row["instance_id"]), client) for row in rows]
            if all(when > at for when in shaken):
                return round(max(shaken) - at, 1)
        time.sleep(0.2)
    return None


def handshake(machine: str, client: Client) -> int:
    code, printed = cast(
        tuple[int, str],
        calls.run(machine, "wg", "show", "wg-way", "latest-handshakes"),
    )
    rows = dict(line.split("\t") for line in printed.splitlines()) if code == 0 else {}
    return int(rows.get(client.public_key, "0"))
