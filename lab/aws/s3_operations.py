"""Which operation of S3 a request is: told from method, path and query, by botocore's own model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl

from moto.core.model import Shape, StructureShape
from moto.core.utils import get_service_model


@dataclass(frozen=True)
class _Pattern:
    """What a request must have to be this operation."""

    operation: str
    method: str
    level: str  # "service", "bucket" or "key"
    query: frozenset[tuple[str, str]]  # literal parameters, such as ("list-type", "2") or ("policy", "")
    required: frozenset[str]  # parameters whose value is free, such as uploadId
    headers: frozenset[str]

    def score(self, query: Mapping[str, str], headers: Mapping[str, str]) -> int | None:
        """How much of the request this explains; None when it is not this operation."""
        literal = all(query.get(name) == value for name, value in self.query)
        free = all(name in query for name in self.required) and all(name in headers for name in self.headers)
        return len(self.query) + len(self.required) + len(self.headers) if literal and free else None


def operation_of(
    method: str, bucket: str | None, key: str | None, query: str, headers: Mapping[str, str]
) -> str | None:
    """The operation's name in botocore's model ("PutObject"), None when there is no such operation."""
    level = "key" if key else "bucket" if bucket else "service"
    asked = dict(parse_qsl(query, keep_blank_values=True))
    best: tuple[int, str] | None = None
    for pattern in _patterns():
        if (pattern.method, pattern.level) != (method, level):
            continue
        score = pattern.score(asked, headers)
        if score is not None and (best is None or score > best[0]):
            best = (score, pattern.operation)
    return best[1] if best else None


# Asked for by other means than a GET or PUT of their own, or not by any client of the lab; they shadow the plain ones.
_LEFT_OUT = frozenset({"WriteGetObjectResponse", "GetObjectTorrent", "ListObjects"})


@functools.cache
def _patterns() -> tuple[_Pattern, ...]:
    model = get_service_model("s3")
    operations = cast("list[str]", model.operation_names)  # pyright: ignore[reportUnknownMemberType]
    plain = _Pattern("ListObjects", "GET", "bucket", frozenset(), frozenset(), frozenset())
    return (plain, *(_pattern(name) for name in operations if name not in _LEFT_OUT))


def _pattern(operation: str) -> _Pattern:
    model = get_service_model("s3").operation_model(operation)
    http = cast("dict[str, str]", model.http)  # pyright: ignore[reportUnknownMemberType]
    shape = cast("StructureShape | None", model.input_shape)  # pyright: ignore[reportUnknownMemberType]
    path, _, literal = http["requestUri"].partition("?")
    query = frozenset(pair for pair in parse_qsl(literal, keep_blank_values=True) if pair[0] != "x-id")
    required: set[str] = set()
    headers: set[str] = set()
    for place in _required_places(shape) if shape else []:
        if place.get("location") == "querystring":
            required.add(place["name"])
        elif place.get("location") == "header":
            headers.add(place["name"].lower())
    level = "key" if "{Key" in path else "bucket" if "{Bucket}" in path else "service"
    return _Pattern(operation, http["method"], level, query, frozenset(required), frozenset(headers))


def _required_places(shape: StructureShape) -> list[dict[str, str]]:
    """Where the required parameters stand: {"location": "querystring", "name": "uploadId"}."""
    names = cast("list[str]", shape.required_members)  # pyright: ignore[reportUnknownMemberType]
    members = cast("dict[str, Shape]", shape.members)  # pyright: ignore[reportUnknownMemberType]
    return [cast("dict[str, str]", members[name].serialization) for name in names]
