"""What a rule sees: a resource as the engine describes it, before it is made. Property names are the provider's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import cast


class Unknown(Enum):
    """A value that only the deployment will tell: rules say nothing about it, and look again then."""

    VALUE = "unknown"


UNKNOWN = Unknown.VALUE
Value = str | int | float | bool | Unknown | Sequence["Value"] | Mapping[str, "Value"] | None


@dataclass(frozen=True, kw_only=True)
class Resource:
    """`refers`: property -> URNs of the resources that its value comes from."""

    type: str
    name: str
    urn: str
    inputs: Mapping[str, Value]
    protected: bool = False
    refers: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def get(self, key: str) -> Value:
        return self.inputs.get(key)

    def chosen(self, key: str) -> Value:
        """Nothing for what the cloud will fill in by itself: unknown, and coming from no other resource.

        Rules of the whole stack see a resource with all that the cloud adds to it."""
        value = self.get(key)
        return None if value is UNKNOWN and not self.refers.get(key) else value

    @property
    def within(self) -> tuple[str, ...]:
        """The types of the components around it, outermost first, as its URN says."""
        return tuple(self.urn.split("::")[2].split("$")[:-1])


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement of a policy document, with single values as lists. A document says `actions` or `other_than`."""

    effect: str
    actions: tuple[str, ...]
    other_than: tuple[str, ...]  # NotAction: every action but these
    resources: tuple[str, ...]
    other_resources: tuple[str, ...]  # NotResource
    everyone: bool
    condition: Mapping[str, Value]

    def covers(self, action: str) -> bool:
        def named(patterns: tuple[str, ...]) -> bool:
            return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)

        return named(self.actions) or (bool(self.other_than) and not named(self.other_than))


def items(value: Value) -> tuple[Value, ...]:
    """A list's items; one value alone is a list of one, nothing is none."""
    if value is None or value is UNKNOWN:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return (value,)


def texts(value: Value) -> tuple[str, ...]:
    return tuple(item for item in items(value) if isinstance(item, str))


def at(value: Value, *way: str) -> Value:
    """What lies below `value`; unknown as soon as a step on the way is."""
    for step in way:
        value = UNKNOWN if value is UNKNOWN else mapping(value).get(step)
    return value


def mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


def mappings(value: Value) -> tuple[Mapping[str, Value], ...]:
    return tuple(item for item in items(value) if isinstance(item, Mapping))


def number(value: Value) -> int | None:
    """Numbers reach a pack as floats, and now and then as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def true(value: Value) -> bool:
    return value is True or value == "true"


def statements(document: Value) -> Iterator[Statement]:
    """Of a policy document as JSON text or as an object. What is not a document has none."""
    if isinstance(document, str):
        try:
            document = cast(Value, json.loads(document))
        except json.JSONDecodeError:
            return
    for one in mappings(mapping(document).get("Statement")):
        if UNKNOWN in one.values():
            continue
        yield Statement(
            effect=str(one.get("Effect")),
            actions=texts(one.get("Action")),
            other_than=texts(one.get("NotAction")),
            resources=texts(one.get("Resource")),
            other_resources=texts(one.get("NotResource")),
            everyone=_everyone(one),
            condition=mapping(one.get("Condition")),
        )


def _everyone(statement: Mapping[str, Value]) -> bool:
    """Everybody, or everybody but a few."""
    principal = statement.get("Principal")
    return "NotPrincipal" in statement or principal == "*" or "*" in texts(mapping(principal).get("AWS"))
