"""How long a new peer waits for its gateways, and a revoked one still gets through: from the command's return."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from bench.cloud import gateways, running_lab, shake_hands
from bench.figure import Figure
from bench.prober import person, prober, take_key
from lab import clients
from lab import up as job
from lab.clients import Client
from lab.measure import Probe, echo
from lab.paths import PEERS

ROUNDS = int(os.environ.get("ADMISSION_ROUNDS", "20"))
TENANT = "red"
_WATCH_SECONDS = 4.0  # that a packet of a revoked peer is waited for


def measure() -> list[Figure]:
    with running_lab() as environment, echo():
        stranger = prober(TENANT)
        rounds = [_round(environment, stranger) for _ in range(ROUNDS)]
    let_in, cut_off = zip(*rounds, strict=True)
    return [
        _figure("admission", "approval to a handshake with both gateways", let_in),
        _figure("revocation", "revocation to the last packet that gets through", cut_off),
    ]


def _figure(name: str, what: str, seconds: tuple[float, ...]) -> Figure:
    """The worst stands for the 99th of a hundred: with fewer samples it is no better."""
    return Figure(
        name=name, what=f"{what}, the worst of {len(seconds)}", unit="s", ours=(max(seconds),), other=(0.0,),
        compare="difference", bound=2.0, better="below", note=f"median {median(seconds):.3f} s",
    )  # fmt: skip


def _round(environment: Mapping[str, str], stranger: Client) -> tuple[float, float]:
    """One life under one name, which comes back by a new enrolment: seconds to be let in, and to be cut off."""
    enroller, approver = person(f"lab-enroller-{TENANT}"), person("lab-approver")
    clients.prepare()
    file = PEERS / "prober.key"
    file.unlink(missing_ok=True)
    public = str(clients.twinlock(enroller, "peer", "keygen", "--out", str(file))["public_key"])
    clients.twinlock(enroller, "peer", "enrol", "prober", "--tenant", TENANT, "--public-key", public)
    ways = {str(row["way_public_key"]): f"{row['public_address']}:51820" for row in gateways(environment).values()}
    take_key(stranger, file.read_text())
    peer = clients.twinlock(approver, "peer", "approve", "prober", "--tenant", TENANT)
    approved = time.monotonic()
    with ThreadPoolExecutor(len(ways)) as at_once:
        asked = [at_once.submit(shake_hands, stranger, way, endpoint) for way, endpoint in ways.items()]
        for one in asked:
            one.result()
    let_in = time.monotonic() - approved
    for way in ways:
        stranger.run("wg", "set", stranger.interface, "peer", way, "remove")
    return let_in, _cut_off(job.connect("prober", TENANT, "none", (str(peer["address"]), public)), approver)


def _cut_off(client: Client, approver: Mapping[str, str]) -> float:
    clients.wait_for_service(client, 30)
    probe = Probe(client)
    try:
        if not probe.started():
            raise RuntimeError("no packet of the peer's was answered before it was revoked")
        clients.twinlock(approver, "peer", "revoke", "prober", "--tenant", client.tenant)
        revoked = time.time()
        time.sleep(_WATCH_SECONDS)
        seen = probe.seen()
    finally:
        probe.close()
        client.run("wg-quick", "down", str(PEERS / f"{client.interface}.conf"))
    last = max((*seen.answers, *seen.out, *seen.pushed))
    if last > revoked + _WATCH_SECONDS - 0.5:
        raise RuntimeError(f"a revoked peer still gets through after {_WATCH_SECONDS} s")
    return max(0.0, last - revoked)
