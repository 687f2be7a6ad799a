"""What the SDK says of a resource type: its inputs with their types, which must be given, and its outputs.

Kept in `shapes.json`, because importing the SDK's classes takes seconds at each start of the plugin;
`python -m lab.provider.introspect` writes the file anew, and a test compares it with the SDK.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, cast

FILE = Path(__file__).with_name("shapes.json")

Kind: TypeAlias = Literal["string", "boolean", "integer", "number", "list", "map", "object", "asset", "json"]


@dataclass(frozen=True)
class Type:
    """The type of a property. `item` for lists and maps, `properties` for objects."""

    kind: Kind
    item: Type | None = None
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True)
class Property:
    name: str  # as the engine writes it: camelCase
    required: bool
    type: Type


@dataclass(frozen=True)
class Shape:
    """One resource type, or the arguments of one function."""

    inputs: tuple[Property, ...]
    outputs: tuple[str, ...]  # every output
    computed: tuple[str, ...]  # outputs that always have a value, given or not

    def input(self, name: str) -> Property | None:
        return next((found for found in self.inputs if found.name == name), None)


@cache
def shapes() -> dict[str, Shape]:
    """Token -> shape, of every type and function that the plugins know."""
    raw = cast("dict[str, dict[str, object]]", json.loads(FILE.read_text()))
    return {token: shape_from(entry) for token, entry in raw.items()}


def shape_from(entry: dict[str, object]) -> Shape:
    """Reads what `shape_to` wrote."""
    inputs = cast("dict[str, object]", entry["inputs"])
    outputs, computed = cast("list[str]", entry["outputs"]), cast("list[str]", entry["computed"])
    return Shape(inputs=_properties(inputs), outputs=tuple(outputs), computed=tuple(computed))


def shape_to(shape: Shape) -> dict[str, object]:
    """A form for JSON: {"inputs": {"name!": TYPE}, "outputs": […], "computed": […]}; `!` marks what must be given."""
    inputs = {_key(entry): _type_to(entry.type) for entry in shape.inputs}
    return {"inputs": inputs, "outputs": list(shape.outputs), "computed": list(shape.computed)}


def _key(entry: Property) -> str:
    return entry.name + ("!" if entry.required else "")


def _properties(entries: dict[str, object]) -> tuple[Property, ...]:
    return tuple(
        Property(name=key.removesuffix("!"), required=key.endswith("!"), type=_type_from(entry))
        for key, entry in entries.items()
    )


def _type_from(entry: object) -> Type:
    if isinstance(entry, str):
        return Type(kind=cast("Kind", entry))
    if isinstance(entry, list):
        kind, item = cast("tuple[Kind, object]", tuple(cast("list[object]", entry)))
        return Type(kind=kind, item=_type_from(item))
    return Type(kind="object", properties=_properties(cast("dict[str, object]", entry)))


def _type_to(kind: Type) -> object:
    if kind.item is not None:
        return [kind.kind, _type_to(kind.item)]
    if kind.kind == "object":
        return {_key(entry): _type_to(entry.type) for entry in kind.properties}
    return kind.kind
