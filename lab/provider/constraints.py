"""What AWS's resource schemas say of properties: patterns, enumerations, lengths, ranges, what goes with what.

Kept in `constraints.json`, because reading the schemas takes seconds at each start of the plugin;
`python -m lab.provider.cloud_schemas` writes the file anew, and a test compares it with the installed schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias, cast

from .limits import fits
from .resource import Problem
from .values import UNKNOWN, Json, Value

FILE = Path(__file__).with_name("constraints.json")
KEYWORDS = frozenset(
    {"pattern", "enum", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"}
    | {"requiredXor", "requiredOr", "dependentExcluded", "dependentRequired"}
)
# Keyword of JSON schema -> what it says. A property's path has [] for each list: attributes[].name
Constraint: TypeAlias = dict[str, object]


@cache
def constraints() -> Mapping[str, Mapping[str, Constraint]]:
    """Token -> path -> what the schema says."""
    return cast("dict[str, dict[str, Constraint]]", json.loads(FILE.read_text()))


def schema_problems(token: str, inputs: Json) -> Iterator[Problem]:
    """What AWS's schema of the type refuses. An unknown value fits everything."""
    known = constraints().get(token, {})
    for path, general, value in _parts(inputs, "", ""):
        for keyword, said in known.get(general, {}).items():
            yield from (Problem((path + at).lstrip("."), reason) for at, reason in _broken(keyword, said, value))


def _parts(value: Value, path: str, general: str) -> Iterator[tuple[str, str, Value]]:
    """(path, path with [] for each position, value) of the value and everything in it."""
    if value is UNKNOWN or value is None:
        return
    yield path, general, value
    if isinstance(value, dict):
        for name, part in value.items():
            dot = "." if path else ""
            yield from _parts(part, f"{path}{dot}{name}", f"{general}{dot}{name}")
    elif isinstance(value, list):
        for position, part in enumerate(value):
            yield from _parts(part, f"{path}[{position}]", f"{general}[]")


def _broken(keyword: str, said: object, value: Value) -> Iterator[tuple[str, str]]:
    """("" or ".property", the reason). The value is never shown: it may be a secret."""
    match keyword, said, value:
        case "pattern", str(), str() if not fits(said, value):
            yield "", f"must match {said}"
        case "enum", list(), str() if value not in said:
            yield "", f"must be one of {', '.join(map(str, cast('list[object]', said)))}"
        case (("minLength" | "maxLength"), int(), str()) if _outside(keyword, said, len(value)):
            yield "", f"must have {_words(keyword, said)} characters, has {len(value)}"
        case (("minItems" | "maxItems"), int(), list()) if _outside(keyword, said, len(value)):
            yield "", f"must have {_words(keyword, said)} entries, has {len(value)}"
        case (("minimum" | "maximum"), int(), int() | float()) if _outside(keyword, said, value):
            yield "", f"must be {_words(keyword, said)}, got {value}"
        case (("requiredXor" | "requiredOr"), list(), dict()):
            yield from _one_of(cast("list[str]", said), value, several=keyword == "requiredOr")
        case (("dependentExcluded" | "dependentRequired"), dict(), dict()):
            yield from _dependent(keyword, cast("dict[str, list[str]]", said), value)
        case _:
            pass


def _outside(keyword: str, said: int, size: float) -> bool:
    return size < said if keyword.startswith("min") else size > said


def _words(keyword: str, said: int) -> str:
    return f"at {'least' if keyword.startswith('min') else 'most'} {said}"


def _one_of(names: list[str], value: Json, *, several: bool) -> Iterator[tuple[str, str]]:
    given = [name for name in names if value.get(name) is not None]
    if not given or (len(given) > 1 and not several):
        wanted = "at least one" if several else "exactly one"
        yield f".{given[0] if given else names[0]}", f"{wanted} of {', '.join(names)} must be given, got {given}"


def _dependent(keyword: str, said: dict[str, list[str]], value: Json) -> Iterator[tuple[str, str]]:
    for name, others in said.items():
        if value.get(name) is None:
            continue
        for other in others:
            if keyword == "dependentExcluded" and value.get(other) is not None:
                yield f".{name}", f"does not go with {other}"
            if keyword == "dependentRequired" and value.get(other) is None:
                yield f".{name}", f"needs {other}"
