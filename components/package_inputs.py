"""The models as the typed inputs of a Pulumi component: no second schema beside them.

The SDK derives a package's schema from annotated classes; these are made from the models at once. What it reads from
docstrings in a class's source, which made classes have none of, is the models' descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, TypedDict, Union, cast, get_args, get_origin

import pulumi
from pulumi import InputPropertiesError
from pydantic import BaseModel, IPvAnyNetwork
from pydantic.fields import FieldInfo

from components.errors import Problem, SettingsError
from components.settings import model_in

# The region is that of the stack's provider for AWS: said twice, it could be said in two ways.
LEFT_OUT = "region"


def arguments(model: type[BaseModel]) -> type:
    """A TypedDict of the model's fields."""
    fields = {
        name: _type(field.annotation) if field.is_required() else NotRequired[_type(field.annotation)]
        for name, field in _fields(model)
    }
    made = cast(Any, TypedDict)(model.__name__, fields)
    made.__doc__ = model.__doc__
    return made


def describe(schema: Mapping[str, Any], component: str, model: type[BaseModel]) -> None:
    """Writes the descriptions into a package's schema, whose resource `component` takes what `model` describes."""
    _describe(schema["resources"][component]["inputProperties"], model)
    package = component.split(":")[0]
    for each in _models(model):
        if each is not model:
            _describe(schema["types"][f"{package}:index:{each.__name__}"]["properties"], each)


def raw(model: type[BaseModel], inputs: object) -> dict[str, object]:
    """What a consumer's program wrote, under the models' names. What they do not know is kept for them to name.

    Raises SettingsError for what only a deployment will tell: addresses are planned before the first resource.
    """
    late = list(_late(inputs, ""))
    if late:
        raise SettingsError(late)
    return cast(dict[str, object], _named(model, inputs))


def told(error: SettingsError) -> InputPropertiesError:
    """The same mistakes under the schema's names, as the engine lists them."""
    heading, *_ = str(error).splitlines()
    return InputPropertiesError(
        heading,
        [
            {"property_path": _place(each.key), "reason": f"{each.value}: {each.rule}; {each.mend}"}
            for each in error.problems
        ],
    )


def camel(name: str) -> str:
    return re.sub("_([a-z])", lambda found: found[1].upper(), name)


def _place(key: str) -> str:
    return "environment" if key == "the stack's name" else camel(key.removeprefix("twinlock:"))


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((name, field) for name, field in model.model_fields.items() if name != LEFT_OUT)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Itself, and all that its fields hold."""
    yield model
    for _, field in _fields(model):
        inner = model_in(field)
        if inner is not None:
            yield from _models(inner)


def _type(kind: Any) -> Any:
    """The SDK's word for a field's type: networks and closed sets are text there."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        [inner] = [part for part in parts if part is not NoneType]
        return _type(inner)
    if origin is tuple:
        return list[_type(parts[0])]
    if origin is dict:
        return dict[str, _type(parts[1])]
    if origin is Literal or kind in (IPv4Network, IPv6Network, IPvAnyNetwork):
        return str
    if issubclass(kind, BaseModel):
        return arguments(kind)
    return kind


def _describe(properties: Mapping[str, Any], model: type[BaseModel]) -> None:
    for name, field in _fields(model):
        inner = model_in(field)
        properties[camel(name)]["description"] = field.description or (inner and inner.__doc__)


def _named(model: type[BaseModel] | None, value: object) -> object:
    """Keys of objects that a model describes under its names; keys of mappings are the consumer's own."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # on the wire each number is a float
    if model is None:
        return value
    if isinstance(value, list):
        return [_named(model, each) for each in cast(list[object], value)]
    if not isinstance(value, Mapping):
        return value
    names = {camel(name): (name, field) for name, field in _fields(model)}
    found: dict[str, object] = {}
    for key, inner in cast(Mapping[str, object], value).items():
        name, field = names.get(key, (key, None))
        held = model_in(field) if field is not None else None
        mapping = field is not None and get_origin(field.annotation) is dict
        if mapping and isinstance(inner, Mapping):
            found[name] = {each: _named(held, part) for each, part in cast(Mapping[str, object], inner).items()}
        else:
            found[name] = _named(held, inner)
    return found


def _late(value: object, place: str) -> Iterator[Problem]:
    if isinstance(value, pulumi.Output):
        rule, mend = "is known to a deployment alone, or secret", "write it as a plain value"
        yield Problem(key=place, value="(an output)", rule=rule, mend=mend)
    elif isinstance(value, Mapping):
        for key, inner in cast(Mapping[str, object], value).items():
            yield from _late(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, inner in enumerate(cast(list[object], value)):
            yield from _late(inner, f"{place}[{index}]")
