"""What an engine that was killed left behind: `python -m twinlock.recovery`, an exported state in, a mended one out.

Before the engine makes a resource it writes down that it is about to; killed then, it never learns what came of it.
Such a creation is one of four things, by the type:

- adopted: the resource carries the environment's tags; it is found by them and enters the state with its id;
- undone: it is a tie between two resources (a route); what was tied is untied, so that the tie can be made again;
- made again: a second call writes over the first (a bucket's policy);
- unknown: a type that nobody told this file about; the creation stays in the state, and is named.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from twinlock.leftovers import AGAIN, Account, NotOurs

Json = dict[str, object]
Outcome = Literal["adopted", "undone", "again", "absent", "unknown"]


class Looks(Protocol):
    """What is asked of the cloud about a resource that may have been made."""

    def find(self, kind: str, inputs: Mapping[str, object]) -> str | None: ...
    def undo(self, kind: str, inputs: Mapping[str, object]) -> bool: ...
    def knows(self, kind: str) -> bool: ...
    def ties(self, kind: str) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of one creation. `id` is the cloud's, of what was adopted."""

    urn: str
    outcome: Outcome
    id: str = ""


def settle(state: Json, cloud: Looks) -> tuple[Json, tuple[Settled, ...]]:
    """The state without creations that nobody knows the end of, and what was done about each."""
    deployment = cast(Json, state["deployment"])
    kept: list[Json] = []
    resources = cast(list[Json], deployment.get("resources") or [])
    told: list[Settled] = []
    for operation in cast(list[Json], deployment.get("pending_operations") or []):
        if operation["type"] != "creating":
            kept.append(operation)  # a look at the cloud ends updates and deletions
            continue
        resource = cast(Json, operation["resource"])
        settled = _settled(resource, cloud)
        told.append(settled)
        if settled.outcome == "adopted":
            resources = _with(resources, resource, settled.id)
        if settled.outcome == "unknown":
            kept.append(operation)
    mended: Json = {**deployment, "resources": resources, "pending_operations": kept}
    return {**state, "deployment": mended}, tuple(told)


def _settled(resource: Json, cloud: Looks) -> Settled:
    urn, kind = str(resource["urn"]), str(resource["type"])
    inputs = cast(Json, resource.get("inputs") or {})
    if kind in AGAIN:
        return Settled(urn=urn, outcome="again")
    if not cloud.knows(kind):
        return Settled(urn=urn, outcome="unknown")
    if cloud.ties(kind):
        return Settled(urn=urn, outcome="undone" if cloud.undo(kind, inputs) else "absent")
    found = cloud.find(kind, inputs)
    return Settled(urn=urn, outcome="adopted", id=found) if found else Settled(urn=urn, outcome="absent")


def _with(resources: Sequence[Json], made: Json, identifier: str) -> list[Json]:
    """In a replacement the one before is still there: it is the one to go."""
    before = [{**each, "delete": True} if each["urn"] == made["urn"] else each for each in resources]
    return [*before, {**made, "id": identifier, "outputs": {}}]


def main() -> None:
    state = cast(Json, json.load(sys.stdin))
    try:
        mended, told = settle(state, Account())
    except NotOurs as error:
        raise SystemExit(str(error)) from error
    json.dump({"state": mended, "settled": [vars(each) for each in told]}, sys.stdout)


if __name__ == "__main__":
    main()
