"""What a deployment says while it runs, and what it has done: plain values, without Pulumi."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# "import" takes what is there into the stack, "forget" lets it go from the stack and stay.
Action = Literal["create", "import", "update", "replace", "delete", "forget", "read", "same"]

# Losing one of these loses data: a replacement is a deletion.
HOLD_DATA = (
    "aws:s3/bucket:Bucket",
    "aws:dynamodb/table:Table",
    "aws:kms/key:Key",
    "aws:secretsmanager/secret:Secret",
)
# The engine's steps -> what they mean. A replacement is several steps of which one is counted.
ACTIONS: Mapping[str, Action] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "delete": "delete",
    "read": "read",
    "same": "same",
    "import": "import",
}
# The same of a resource that stays in the cloud: a deletion lets it go, a replacement takes in another one.
RETAINED: Mapping[Action, Action] = {"delete": "forget", "replace": "import"}


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """`properties`: what differs, as the provider names it."""

    action: Action
    urn: str
    properties: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        return self.urn.split("::")[2].split("$")[-1]

    @property
    def name(self) -> str:
        return self.urn.split("::", 3)[3]

    @property
    def loses_data(self) -> bool:
        return self.action in ("replace", "delete") and self.type in HOLD_DATA


@dataclass(frozen=True, kw_only=True)
class Started:
    """The engine begins with a resource; in a preview this is all that is said of it."""

    change: ResourceChange


@dataclass(frozen=True, kw_only=True)
class Done:
    change: ResourceChange


@dataclass(frozen=True, kw_only=True)
class Failed:
    urn: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """`urn` is empty where it is about no resource."""

    severity: Literal["info", "warning", "error"]
    text: str
    urn: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Of the policy pack. `text` begins with the rule's description."""

    rule: str
    level: str
    text: str
    urn: str

    @property
    def last_line(self) -> str:
        """What is wrong with this resource."""
        return self.text.strip().rpartition("\n")[2]


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a destruction leaves: protected, for `days` in its recovery window, or adopted, which stays its owner's.
    `cost` is what it goes on costing."""

    urn: str
    why: Literal["protected", "recovery", "adopted"]
    days: int | None
    cost: str

    @property
    def name(self) -> str:
        return self.urn.split("::", 3)[3]


Event = Started | Done | Failed | Message | Finding | Left


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that one operation did, or in a preview would do."""

    changes: tuple[ResourceChange, ...]
    messages: tuple[Message, ...] = ()
    findings: tuple[Finding, ...] = ()
    left: tuple[Left, ...] = ()

    @property
    def changed(self) -> tuple[ResourceChange, ...]:
        """Resources of the cloud that do not stay as they are; components are only names."""
        return tuple(
            one
            for one in self.changes
            if one.action not in ("same", "read") and not one.type.startswith(("pulumi:", "twinlock:"))
        )

    def counts(self) -> dict[Action, int]:
        return dict(Counter(one.action for one in self.changed))


def report(events: Sequence[Event]) -> Report:
    """Each resource once, in the order of its first event."""
    changes = {event.change.urn: event.change for event in events if isinstance(event, Started)}
    return Report(
        changes=tuple(changes.values()),
        messages=tuple(event for event in events if isinstance(event, Message)),
        findings=tuple(event for event in events if isinstance(event, Finding)),
        left=tuple(event for event in events if isinstance(event, Left)),
    )
