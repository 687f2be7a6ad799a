"""Reads the shapes of resource types off the SDK's own classes. Run it to write `shapes.json` anew."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum

import pulumi

from .shape import FILE, Property, Shape, Type, shape_to

_SCALARS: dict[type, Type] = {
    str: Type("string"),
    bool: Type("boolean"),
    int: Type("integer"),
    float: Type("number"),
    pulumi.Asset: Type("asset"),
    pulumi.Archive: Type("asset"),
}


def resource_shape(token: str) -> Shape:
    """Of a resource type, such as aws:ec2/vpc:Vpc."""
    module, name = _module(token)
    resource: type = getattr(module, name)
    outputs = dict(_getters(resource))
    computed = tuple(sorted(wire for wire, hint in outputs.items() if not _optional(hint)))
    return Shape(inputs=_inputs(_arguments(module, name)), outputs=tuple(sorted(outputs)), computed=computed)


def _arguments(module: types.ModuleType, name: str) -> type:
    """The SDK names a resource's arguments InitArgs where a nested type has taken Args."""
    found: type = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
    return found


def function_shape(token: str) -> Shape:
    """Of a function, such as aws:ssm/getParameter:getParameter."""
    module, name = _module(token)
    function = getattr(module, _snake(name))
    hints = typing.get_type_hints(function, _names(module))
    parameters = [name for name in inspect.signature(function).parameters if name != "opts"]
    inputs = tuple(
        Property(name=_camel(name), required=not _may_be_none(hints[name]), type=_type(hints[name], module))
        for name in parameters
    )
    result: type = getattr(module, f"Get{name.removeprefix('get')}Result")
    return Shape(inputs=inputs, outputs=tuple(sorted(wire for wire, _ in _getters(result))), computed=())


def _module(token: str) -> tuple[types.ModuleType, str]:
    package, place, name = token.split(":")
    folder, _, file = place.partition("/")
    parts = [f"pulumi_{package}", *([] if folder == "index" else [folder]), _snake(file)]
    return importlib.import_module(".".join(parts)), name


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _getters(owner: type) -> list[tuple[str, object]]:
    """(name on the wire, annotation) of each `@pulumi.getter` property."""
    found: list[tuple[str, object]] = []
    for attribute, member in vars(owner).items():
        if isinstance(member, property) and member.fget is not None:
            hint = typing.get_type_hints(member.fget, _names(sys.modules[owner.__module__])).get("return")
            wire: str = getattr(member.fget, "_pulumi_name", attribute)
            found.append((wire, hint))
    return found


def _inputs(owner: type) -> tuple[Property, ...]:
    signature = inspect.signature(owner)
    required = {
        name for name, parameter in signature.parameters.items() if parameter.default is inspect.Parameter.empty
    }
    getters = {
        attribute: getattr(member.fget, "_pulumi_name", attribute)
        for attribute, member in vars(owner).items()
        if isinstance(member, property)
    }
    hints = dict(_getters(owner))
    module = sys.modules[owner.__module__]
    return tuple(
        Property(name=wire, required=attribute in required, type=_type(hints[wire], module))
        for attribute, wire in sorted(getters.items(), key=lambda pair: pair[1])
    )


def _names(module: types.ModuleType) -> dict[str, object]:
    """What annotations of the module refer to: `Input[T]` of the SDK names two of the SDK's own without importing."""
    names: dict[str, object] = dict(vars(module))
    names["Output"], names["T"] = pulumi.Output, typing.TypeVar("T")
    return names


def _arms(hint: object) -> list[object]:
    """The alternatives of a union, flat."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [arm for part in typing.get_args(hint) for arm in _arms(part)]
    return [hint]


def _may_be_none(hint: object) -> bool:
    return type(None) in _arms(hint)


def _optional(hint: object) -> bool:
    inner = typing.get_args(hint)
    return bool(inner) and _may_be_none(inner[0])


def _type(hint: object, module: types.ModuleType) -> Type:
    """The plain type of an annotation: what is left of it without Input, Output, Awaitable and None."""
    for arm in _arms(hint):
        origin, inner = typing.get_origin(arm), typing.get_args(arm)
        if origin in (Sequence, list):
            return Type("list", item=_type(inner[0], module))
        if origin in (Mapping, dict):
            return Type("map", item=_type(inner[1], module))
        if arm is typing.Any:
            return Type("json")
        if (named := _class(arm, module)) is not None:
            return _class_type(named)
    raise TypeError(f"an annotation that is not understood: {hint}")


def _class(arm: object, module: types.ModuleType) -> type[object] | None:
    """The class that is meant, None for what Input adds: None, Awaitable, Output."""
    if isinstance(arm, typing.ForwardRef) and not arm.__forward_arg__.startswith("Output"):
        return getattr(module, arm.__forward_arg__)
    if typing.get_origin(arm) is not None or arm is type(None):
        return None
    return arm if isinstance(arm, type) else None


def _class_type(arm: type[object]) -> Type:
    if issubclass(arm, Enum):
        return Type("string")
    return _SCALARS.get(arm) or Type("object", properties=_inputs(arm))


def all_shapes() -> dict[str, Shape]:
    """Of every type and function in the tables."""
    from .tables import all_functions, all_resources

    resources = {token: resource_shape(token) for token in all_resources()}
    return resources | {token: function_shape(token) for token in all_functions()}


def file_text() -> str:
    """What `shapes.json` should hold."""
    lines = [
        f"{json.dumps(token)}: {json.dumps(shape_to(shape), separators=(',', ':'))}"
        for token, shape in sorted(all_shapes().items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(file_text())
