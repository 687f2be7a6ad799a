"""What the API's own models say of a parameter beside its type: botocore checks the least alone, this the rest.

Lengths and ranges, patterns, enumerations; each service's model is AWS's own (botocore/data/SERVICE/…/service-2.json).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast


class Shape(Protocol):
    """A type of botocore's models (botocore.model.Shape), as far as it is looked at here."""

    type_name: str
    metadata: Mapping[str, object]
    members: Mapping[str, Shape]  # of a structure
    member: Shape  # of a list
    key: Shape  # of a map
    value: Shape  # of a map


def beyond(shape: Shape, value: object, path: str = "") -> Iterator[str]:
    """What of the value goes beyond the shape's limits, each with its path: "Tags[0].Key must …"."""
    yield from (f"{path} {reason}" for reason in _reasons(shape.metadata, value))
    match shape.type_name:
        case "structure":
            for name, part in cast("Mapping[str, object]", value).items():
                yield from beyond(shape.members[name], part, f"{path}.{name}" if path else name)
        case "list":
            for position, part in enumerate(cast("Sequence[object]", value)):
                yield from beyond(shape.member, part, f"{path}[{position}]")
        case "map":
            for key, part in cast("Mapping[str, object]", value).items():
                yield from beyond(shape.key, key, path)
                yield from beyond(shape.value, part, f"{path}.{key}")
        case _:
            pass


def _reasons(metadata: Mapping[str, object], value: object) -> Iterator[str]:
    """The value is never shown: it may be a secret."""
    most, size = metadata.get("max"), _size(value)
    if isinstance(most, int) and size is not None and size > most:
        yield f"must be at most {most}, in length or value, got {size}"
    if isinstance(value, str):
        pattern, allowed = metadata.get("pattern"), metadata.get("enum")
        if isinstance(allowed, list) and value not in allowed:
            yield f"must be one of {', '.join(cast('list[str]', allowed))}"
        if isinstance(pattern, str) and not fits(pattern, value):
            yield f"must match {pattern}"


def _size(value: object) -> int | float | None:
    match value:
        case bool():
            return None
        case int() | float():
            return value
        case str() | bytes():
            return len(value)
        case list() | dict():
            return len(cast("Sequence[object]", value))
        case _:
            return None


# What Java's patterns have and Python's have not: classes of Unicode (`\\w` adds the underscore, which each of AWS's
# patterns with such a class takes anyway), and characters beyond the first plane as two halves.
_JAVA = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
}


def fits(pattern: str, text: str) -> bool:
    """Whether AWS's pattern takes the whole text. Raises re.error for one that Python can't be told."""
    ours = pattern
    for java, python in _JAVA.items():
        ours = ours.replace(java, python)
    return re.fullmatch(ours, text, re.NOFLAG if r"\p" in pattern else re.ASCII) is not None
