"""One new peer on a gateway that has 10, and on one that has 10,000; and what the others notice of it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.cloud import caught_up, gateways, running_lab, shake_hands, until
from bench.figure import Figure
from bench.numbered import PACKETS_A_SECOND, Stream
from bench.prober import person, take_key
from bench.prober import prober as new_prober
from lab import calls, clients
from lab.clients import Client
from lab.measure import echo

# A gateway asks once a second, so most of each sample is chance: few of them say nothing.
FEW, MANY, ROUNDS = 10, 10_000, 40


def measure() -> list[Figure]:
    with running_lab() as environment, echo():
        prober = new_prober("red")
        _fill(FEW - 2)  # the lab's own two are there
        few, lost_few = _rounds(environment, prober, "few")
        _fill(MANY - FEW - ROUNDS)
        many, lost_many = _rounds(environment, prober, "many")
    return [
        Figure(
            name="new_peer", what=f"approval to handshake, {MANY:,} peers against {FEW}", unit="s",
            ours=tuple(many), other=tuple(few), compare="ratio", bound=1.5, better="below",
        ),
        Figure(
            name="new_peer_loss", what=f"packets that another peer lost meanwhile, of {PACKETS_A_SECOND:,} a second",
            unit="packets", ours=(float(lost_few + lost_many),), other=(0.0,), compare="difference", bound=0,
            better="below",
        ),
    ]  # fmt: skip


def _rounds(environment: Mapping[str, str], prober: Client, name: str) -> tuple[list[float], int]:
    """Seconds for each new peer; how many of Ada's packets were lost meanwhile."""
    until(lambda: caught_up(environment), "the gateways have everything", 240)
    with Stream(calls.client("ada", "symmetric")) as stream:
        seconds = [_one(environment, prober, f"{name}{number}") for number in range(ROUNDS)]
    return seconds, stream.missing


def _one(environment: Mapping[str, str], prober: Client, name: str) -> float:
    enroller, approver = person("lab-enroller-red"), person("lab-approver")
    secret = prober.run("wg", "genkey").stdout
    public = subprocess.run(["wg", "pubkey"], input=secret, capture_output=True, text=True, check=True).stdout.strip()
    clients.twinlock(enroller, "peer", "enrol", name, "--tenant", "red", "--public-key", public)
    serving = next(row for row in gateways(environment).values() if row["serving"])
    way, endpoint = str(serving["way_public_key"]), f"{serving['public_address']}:51820"
    take_key(prober, secret)
    clients.twinlock(approver, "peer", "approve", name, "--tenant", "red")
    approved = time.monotonic()
    shake_hands(prober, way, endpoint)
    seconds = time.monotonic() - approved
    prober.run("wg", "set", prober.interface, "peer", way, "remove")
    return seconds


def _fill(count: int) -> None:
    """Enrols and approves as many peers that never connect, half in each tenant."""
    for tenant, many in (("red", count // 2), ("blue", count - count // 2)):
        peers = {f"idle-{count}-{number}": {"public_key": _any_key()} for number in range(many)}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "peers.yaml"
            file.write_text(json.dumps({"tenants": {tenant: peers}}))  # JSON is YAML
            _bulk(f"lab-enroller-{tenant}", "apply", str(file), "--yes")
            _bulk("lab-approver", "approve", "--file", str(file))


def _bulk(role: str, *words: str) -> None:
    done = subprocess.run(
        [clients.TWINLOCK, "--environment", "lab", "--json", "peer", *words],
        env={"PATH": os.environ["PATH"], **person(role)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"peer {words[0]}: {done.stderr[-500:]}")


def _any_key() -> str:
    """The public half of a key that nobody keeps."""
    from base64 import b64encode

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
