"""The `random` package: values that are drawn once and kept in the state."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator

from .api import Api
from .resource import Problem, ResourceType, words
from .values import Json


def _draw(_api: Api, inputs: Json) -> str:
    """The id is the bytes themselves, in base64url without padding: all the outputs follow from it."""
    length = inputs["byteLength"]
    drawn = secrets.token_bytes(length if isinstance(length, int) else 0)
    return base64.urlsafe_b64encode(drawn).decode().rstrip("=")


def _read(_api: Api, identifier: str, inputs: Json) -> Json:
    drawn = base64.urlsafe_b64decode(identifier + "=" * (-len(identifier) % 4))
    prefix = str(inputs.get("prefix", ""))
    return {
        "byteLength": len(drawn),
        "hex": prefix + drawn.hex(),
        "dec": prefix + str(int.from_bytes(drawn, "big")),
        "b64Std": prefix + base64.standard_b64encode(drawn).decode(),
        "b64Url": prefix + identifier,
    }


def _forget(_api: Api, _identifier: str, _state: Json) -> None:
    """Nothing outside the state holds it."""


def _length(inputs: Json) -> Iterator[Problem]:
    """The real provider: at least one byte."""
    length = inputs.get("byteLength")
    if isinstance(length, int) and length < 1:
        yield Problem("byteLength", f"at least 1, got {length}")


RANDOM_ID = ResourceType(
    token="random:index/randomId:RandomId",  # noqa: S106
    create=_draw,
    read=_read,
    delete=_forget,
    forces_new=words("byteLength keepers prefix"),
    rules=(_length,),
)

TYPES = (RANDOM_ID,)
