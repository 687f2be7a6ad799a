"""Configuration -> Settings: the only reader of Pulumi configuration, and the place where a mistake is told.

Every problem is found before the first resource and all are told at once, each with key, value and mend.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeVar, get_args

import pulumi
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from components.checks import Parts, across
from components.errors import Problem, SettingsError
from components.models import (
    EnvironmentText,
    Gateway,
    Label,
    Network,
    RegionText,
    Registry,
    Settings,
    Storage,
    Tenant,
    Tunnel,
)

Place = tuple[int | str, ...]
Value = TypeVar("Value")

OBJECTS = ("network", "tunnel", "gateway", "storage", "tenants", "registry")


def read() -> Settings:
    """Reads the stack's configuration. Raises SettingsError with everything that is wrong with it."""
    raw: dict[str, object] = {"environment": pulumi.get_stack(), **region()}
    for name in OBJECTS:
        text = pulumi.Config("twinlock").get(name)
        if text is not None:
            raw[name] = _decoded(text)
    return parse(raw)


def region() -> dict[str, str]:
    """Of the stack's own provider for AWS, as a part of what `parse` takes."""
    found = pulumi.Config("aws").get("region")
    return {} if found is None else {"region": found}


def parse(raw: Mapping[str, object]) -> Settings:
    """Checks `raw`: "environment" and "region" as text, the rest as decoded mappings under the names of OBJECTS.

    Raises SettingsError. Checks that span several objects run on those that are sound by themselves, so that one
    mistake does not hide another.
    """
    problems: list[Problem] = []
    parts = Parts(
        environment=_part("environment", TypeAdapter(EnvironmentText), raw, problems),
        region=_part("region", TypeAdapter(RegionText), raw, problems),
        network=_part("network", TypeAdapter(Network), raw, problems),
        tunnel=_part("tunnel", TypeAdapter(Tunnel), raw, problems),
        gateway=_part("gateway", TypeAdapter(Gateway), raw, problems),
        storage=_part("storage", TypeAdapter(Storage), raw, problems),
        tenants=_part("tenants", TypeAdapter(dict[Label, Tenant]), raw, problems),
        registry=_part("registry", TypeAdapter(Registry), raw, problems),
    )
    problems.extend(across(parts))
    if problems:
        raise SettingsError(problems)
    return Settings.model_validate(vars(parts))


def _decoded(text: str) -> object:
    """Objects reach the program as JSON; anything else stays text, and its model says what it should have been."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _part(name: str, adapter: TypeAdapter[Value], raw: Mapping[str, object], problems: list[Problem]) -> Value | None:
    empty: object = {} if name in OBJECTS else None
    try:
        return adapter.validate_python(raw.get(name, empty))
    except ValidationError as error:
        problems.extend(_told(name, error))
        return None


def _told(name: str, error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        place: Place = (name, *detail["loc"])
        missing, unknown = detail["type"] == "missing", detail["type"] == "extra_forbidden"
        rule = "is not of the right form" if detail["type"] == "string_pattern_mismatch" else _lowered(detail["msg"])
        yield Problem(
            key=_key(place),
            value="(nothing)" if missing else _shown(detail["input"]),
            rule="is missing" if missing else "is not a known key" if unknown else rule,
            mend="remove it or mend its name" if unknown else f"write {_mend(place)}",
        )


def _key(place: Place) -> str:
    """The name under which a user finds a value: `twinlock:network.zones[0]`."""
    if place[0] == "environment":
        return "the stack's name"
    if place[0] == "region":
        return "aws:region"
    text = f"twinlock:{place[0]}"
    for step in place[1:]:
        text += f"[{step}]" if isinstance(step, int) else "" if step == "[key]" else f".{step}"
    return _one_line(text)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return _one_line(text if len(text) <= 80 else f"{text[:77]}…")


def _one_line(text: str) -> str:
    """Whatever was written, a problem stays one line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _mend(place: Place) -> str:
    """The description of the innermost named field on the way to `place`."""
    model: type[BaseModel] | None = Settings
    found = "a value of the right form"
    for step in place:
        field = model.model_fields.get(step) if model is not None and isinstance(step, str) else None
        if field is not None:
            found, model = field.description or found, model_in(field)
    return found


def model_in(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field holds, directly or in a tuple or mapping."""
    waiting: list[object] = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        waiting.extend(get_args(kind))
    return None
