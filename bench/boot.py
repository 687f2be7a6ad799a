"""From a gateway machine's start to a peer's first handshake, against the same image with nothing to do."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench.cloud import api, boots, call, first_boot, gateways, run_machine, running_lab, shake_hands, until
from bench.figure import Figure
from lab import clients
from lab import up as job
from lab.clients import Client

ROUNDS = 5
EMPTY = "#cloud-config\n{}\n"


def measure() -> list[Figure]:
    with running_lab() as environment:
        address, key = job.enrol("bench", "red")
        client = clients.connect("bench", "red", address, key, nat="none", reader=environment)
        ours: list[float] = []
        other: list[float] = []
        for _ in range(ROUNDS):
            ours.append(_replaced_gateway(environment, client))
            other.append(_empty_machine(environment))
    return [
        Figure(
            name="boot", what="machine start to a peer's first handshake, against an empty cloud-init", unit="s",
            ours=tuple(ours), other=tuple(other), compare="ratio", bound=2.0, better="below",
        )
    ]  # fmt: skip


def _replaced_gateway(environment: Mapping[str, str], client: Client) -> float:
    """Ends the standby; its group boots another. Seconds from that one's start to a handshake with its way."""
    standby = next(row for row in gateways(environment).values() if not row["serving"])
    known = {boot.id for boot in boots()}
    call(api(environment, "ec2"), "TerminateInstances", InstanceIds=[standby["instance_id"]])
    began = until(lambda: next((boot.began for boot in boots() if boot.id not in known), None), "a replacement")
    way, endpoint = str(standby["way_public_key"]), f"{standby['public_address']}:{_port(client, standby)}"
    shake_hands(client, way, endpoint)
    seconds = time.monotonic() - began
    _wait_until_registered(environment, str(standby["slot"]), str(standby["instance_id"]))
    return seconds


def _wait_until_registered(environment: Mapping[str, str], slot: str, before: str) -> None:
    until(lambda: gateways(environment)[slot]["instance_id"] != before or None, "the replacement registers")


def _port(client: Client, gateway: Mapping[str, object]) -> str:
    rows = client.run("wg", "show", client.interface, "endpoints").stdout.splitlines()
    return next(row.rsplit(":", 1)[1] for row in rows if row.startswith(str(gateway["way_public_key"])))


def _empty_machine(environment: Mapping[str, str]) -> float:
    """The same image and type, in the first gateway's subnet, with nothing to do."""
    instance = run_machine(environment, EMPTY)
    began = first_boot(instance)
    seconds = time.monotonic() - began
    call(api(environment, "ec2"), "TerminateInstances", InstanceIds=[instance])
    return seconds
