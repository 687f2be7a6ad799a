"""What a pair costs that nobody uses: what it asks of the registry, in calls counted, and its agents' processors."""

from __future__ import annotations

import json
import time
from collections import Counter

from bench.cloud import caught_up, gateways, running_lab, until
from bench.figure import Figure
from lab import calls
from lab.paths import CONTROL

SECONDS = 60.0
_DAY, _MONTH_DAYS = 86_400, 30
# DynamoDB on demand in eu-west-1, dollars for a million units; each call of an idle pair is of one small item, which is
# one unit to write, one to read surely, and twice that in a transaction. https://aws.amazon.com/dynamodb/pricing/
_WRITE, _READ = 0.707, 0.1415
_UNITS = {
    "GetItem": _READ, "Query": _READ, "BatchGetItem": _READ, "TransactGetItems": 2 * _READ,
    "PutItem": _WRITE, "UpdateItem": _WRITE, "DeleteItem": _WRITE, "TransactWriteItems": 2 * _WRITE,
}  # fmt: skip


def measure() -> list[Figure]:
    with running_lab() as environment:
        machines = [str(row["instance_id"]) for row in gateways(environment).values()]
        until(lambda: caught_up(environment), "the gateways have everything")
        time.sleep(5)  # of what the last look asked
        journal = CONTROL / "calls.jsonl"
        before, used, began = journal.stat().st_size, [_processor(one) for one in machines], time.monotonic()
        time.sleep(SECONDS)
        seconds = time.monotonic() - began
        shares = [(_processor(one) - was) / seconds * 100 for one, was in zip(machines, used, strict=True)]
        with journal.open(encoding="utf-8") as file:
            file.seek(before)
            asked = registry_calls(file.read())
    a_day = {action: count / seconds * _DAY for action, count in asked.items()}
    dollars = sum(count * _UNITS[action] for action, count in a_day.items()) * _MONTH_DAYS / 1e6
    said = ", ".join(f"{action} {round(count, -2):,.0f}" for action, count in sorted(a_day.items()))
    return [
        Figure(
            name="registry_cost", what="what two gateways at rest ask of the registry, a month", unit="$",
            ours=(dollars,), other=(0.0,), compare="difference", bound=10, better="below", note=f"calls a day: {said}",
        ),
        Figure(
            name="agent_at_rest", what="the agent's share of a processor at rest", unit="%",
            ours=tuple(shares), other=(0.0,), compare="difference", bound=20, better="below",
            note="a t4g.small earns 20 %",
        ),
    ]  # fmt: skip


def registry_calls(lines: str) -> Counter[str]:
    """How often each action of DynamoDB was called, of the lab's journal."""
    entries = map(json.loads, lines.splitlines())
    return Counter(str(entry["action"]) for entry in entries if entry["service"] == "dynamodb")


def _processor(machine: str) -> float:
    """Seconds that the agent has used."""
    _, printed = calls.run(machine, "systemctl", "show", "--value", "--property=CPUUsageNSec", "twinlock-agent")
    return int(printed) / 1e9
