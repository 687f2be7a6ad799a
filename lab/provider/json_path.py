"""Typed reading of plain data: answers of the cloud's API, and property values."""

from __future__ import annotations

from .values import Json, Value


def at(value: Value, *path: str | int) -> Value:
    """What lies at the path, None where the path ends early."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and len(value) > step else None
    return value


def text(value: Value, *path: str | int) -> str:
    """The text at the path, "" where there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Value, *path: str | int) -> int:
    """The whole number at the path, 0 where there is none."""
    found = at(value, *path)
    return found if isinstance(found, int) else 0


def flag(value: Value, *path: str | int) -> bool:
    """Whether the value at the path is true; false where there is none."""
    return at(value, *path) is True


def rows(value: Value, *path: str | int) -> list[Json]:
    """The mappings of the list at the path, in order."""
    found = at(value, *path)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def texts(value: Value, *path: str | int) -> list[str]:
    """The texts of the list at the path, in order."""
    found = at(value, *path)
    return [row for row in found if isinstance(row, str)] if isinstance(found, list) else []


def fields(value: Value, *path: str | int) -> Json:
    """The mapping at the path, {} where there is none."""
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def given(**parameters: Value) -> Json:
    """The parameters that have a value: what is left out of a call is the API's default."""
    return {name: value for name, value in parameters.items() if value is not None}
