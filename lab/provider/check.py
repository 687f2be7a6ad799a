"""Check: inputs against the SDK's shape, what the plugin carries out, and the type's own rules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from .constraints import schema_problems
from .resource import Problem, ResourceType
from .shape import Property, Shape, Type
from .tag_limits import tag_problems
from .values import UNKNOWN, Asset, Json, Value


def check(kind: ResourceType, shape: Shape, inputs: Json) -> list[Problem]:
    """All that is wrong with the inputs. AWS's schema and the type's rules see them only when their form is right."""
    problems = list(check_properties(shape.inputs, inputs, ""))
    named = tuple(problem.path for problem in problems)
    problems += [
        Problem(path, "the lab's provider does not carry out this property")
        for path in _leaves(inputs, "")
        if not _carried_out(_without_positions(path), kind.known) and not path.startswith(named)
    ]
    if problems:
        return problems
    said = (*schema_problems(kind.token, inputs), *tag_problems(kind.token, inputs))
    return [*said, *(problem for rule in kind.rules for problem in rule(inputs))]


def fill(kind: ResourceType, inputs: Json, old: Json, name: str, seed: bytes) -> Json:
    """The inputs with the provider's defaults and, where none is given, a name (the old one, if there was one)."""
    filled = {**kind.defaults, **{name: value for name, value in inputs.items() if value is not None}}
    if kind.named and kind.named not in filled and f"{kind.named}Prefix" not in filled:
        made = f"{name[: kind.longest_name - 8]}-{hashlib.sha256(seed).hexdigest()[:7]}"
        filled[kind.named] = old.get(kind.named) or made
    return filled


def check_properties(known: Iterable[Property], values: Json, prefix: str) -> Iterator[Problem]:
    """Unknown names, missing ones and wrong types."""
    by_name = {entry.name: entry for entry in known}
    for name, value in values.items():
        if name.startswith("__"):
            yield from ()  # the engine's own, such as __defaults
        elif name not in by_name:
            yield Problem(prefix + name, f"there is no such property; there are {', '.join(sorted(by_name))}")
        else:
            yield from _check_value(by_name[name].type, value, prefix + name)
    for name, entry in by_name.items():
        if entry.required and values.get(name) is None:
            yield Problem(prefix + name, "missing: this property must be given")


def _check_value(kind: Type, value: Value, path: str) -> Iterator[Problem]:
    if value is None or value is UNKNOWN or kind.kind == "json":
        return
    if kind.item is not None and isinstance(value, list) and kind.kind == "list":
        for position, part in enumerate(value):
            yield from _check_value(kind.item, part, f"{path}[{position}]")
    elif kind.item is not None and isinstance(value, dict) and kind.kind == "map":
        for name, part in value.items():
            yield from _check_value(kind.item, part, f"{path}.{name}")
    elif kind.kind == "object" and isinstance(value, dict):
        yield from check_properties(kind.properties, value, path + ".")
    elif not _is_scalar(kind, value):
        yield Problem(path, f"must be of type {kind.kind}, got {_named(value)}")


def _is_scalar(kind: Type, value: Value) -> bool:
    match kind.kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "asset":
            return isinstance(value, Asset)
        case _:
            return False


def _named(value: Value) -> str:
    """The type's name, never the value: it may be a secret."""
    names = {"bool": "a boolean", "int": "an integer", "float": "a number", "str": "a string", "dict": "a map"}
    kind = type(value).__name__
    return names.get(kind, f"a {kind.lower()}")


def _leaves(value: Value, path: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            if not name.startswith("__"):
                yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for position, part in enumerate(value):
            yield from _leaves(part, f"{path}[{position}]")
    elif path:
        yield path


def _without_positions(path: str) -> str:
    return "".join(part.partition("]")[2] if "]" in part else part for part in path.split("["))


def _carried_out(path: str, known: frozenset[str]) -> bool:
    steps = path.split(".")
    return any(".".join(steps[:length]) in known for length in range(1, len(steps) + 1)) or any(
        name.startswith(path + ".") for name in known
    )
