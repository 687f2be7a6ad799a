"""Diff: old inputs against new ones, property by property; and how a read shows what drifted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .resource import ResourceType
from .values import Json, Value


@dataclass(frozen=True)
class Difference:
    """One property that differs, by its full path; `replace` says that it takes a new resource."""

    path: str
    how: Literal["add", "delete", "update"]
    replace: bool

    @property
    def name(self) -> str:
        """The property at the top."""
        return self.path.partition(".")[0].partition("[")[0]


def diff(kind: ResourceType, old: Json, new: Json) -> list[Difference]:
    """What differs between two sets of checked inputs. An unknown value counts as a change."""
    forcing = kind.forces_new | {name for name, forces in kind.forces_new_when.items() if forces(old, new)}
    return [
        Difference(path=path, how=how, replace=_forces_new(path, forcing)) for path, how in _differences(old, new, "")
    ]


def project(old: Json, actual: Json) -> Json:
    """The old inputs as they are now: what `actual` does not tell stays, what is only written differently too."""
    shown = {name: _project(value, actual[name]) if name in actual else value for name, value in old.items()}
    kept = {name: value for name, value in shown.items() if value is not None or old[name] is None}
    tags = actual.get("tags")
    return {**kept, "tags": tags} if tags and "tags" not in old else kept


def _differences(old: Value, new: Value, path: str) -> Iterator[tuple[str, Literal["add", "delete", "update"]]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            if not name.startswith("__"):
                yield from _differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{path}[{position}]")
    elif not same(old, new):
        yield path, "add" if old is None else "delete" if new is None else "update"


def same(old: Value, new: Value) -> bool:
    """Equal, or two spellings of one JSON document (policies come back rewritten)."""
    if old == new:
        return True
    if isinstance(old, str) and isinstance(new, str) and old[:1] in ("{", "[") and new[:1] in ("{", "["):
        try:
            return json.loads(old) == json.loads(new)
        except ValueError:
            return False
    return False


def _forces_new(path: str, forcing: frozenset[str]) -> bool:
    steps = path.split(".")
    plain = [step.partition("[")[0] for step in steps]
    return any(".".join(plain[:length]) in forcing for length in range(1, len(plain) + 1)) or any(
        name.startswith(".".join(plain) + ".") for name in forcing
    )


def _project(old: Value, actual: Value) -> Value:
    if same(old, actual) or (not old and not actual and old is not None):
        return old
    if isinstance(old, dict) and isinstance(actual, dict):
        shown = {name: _project(value, actual.get(name)) for name, value in old.items()}
        return {name: value for name, value in shown.items() if value is not None}
    if isinstance(old, list) and isinstance(actual, list) and len(old) == len(actual):
        if all(part in actual for part in old):
            return old  # lists of the API are sets: their order means nothing
        if all(isinstance(part, dict) for part in old):
            return [_project(before, after) for before, after in zip(old, actual, strict=True)]
    return actual
