"""A job: one operation on one environment, from the call to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from twinlock.automation import AutomationError, Invalid
from twinlock.change import Done, Event, Failed, Finding, Left, Message, Started

Verb = Literal["preview", "deploy", "destroy"]
State = Literal["waiting", "running", "done", "failed"]
Plain = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Job:
    """`wanted` are the settings as the program's models gave them back: nothing else of a caller's body is kept.

    `starts` counts how often it was begun: twice, when the service ended in the middle of it.
    """

    id: str
    environment: str
    verb: Verb
    wanted: Plain
    state: State = "waiting"
    starts: int = 0
    error: Plain | None = None

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed")


def told(event: Event) -> Plain:
    """An event as JSON's types."""
    match event:
        case Started() | Done():
            change = event.change
            return {"action": change.action, "type": change.type, "name": change.name, "urn": change.urn}
        case Failed() | Message() | Finding() | Left():
            return asdict(event)


def mistake(error: AutomationError) -> Plain:
    """Without the engine's log, which is long, and whose words are nobody's promise."""
    found: dict[str, object] = {
        "kind": type(error).__name__, "reason": error.reason, "resource": error.resource, "mend": error.mend,
    }  # fmt: skip
    if isinstance(error, Invalid):
        found["problems"] = [asdict(problem) for problem in error.problems]
    return found
