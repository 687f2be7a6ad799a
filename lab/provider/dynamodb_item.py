"""Single items of tables, as far as a program writes them: the environment's definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from .api import Api
from .json_path import fields, text
from .patience import found
from .resource import Change, Problem, ResourceType, words
from .values import Json, Value

_SERVICE = "dynamodb"
_TYPES = {"S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"}
_LARGEST_ITEM = 400 * 1024


def _item(inputs: Json) -> Json:
    return cast("Json", json.loads(text(inputs, "item")))


def _key(inputs: Json) -> Json:
    names = [text(inputs, "hashKey"), text(inputs, "rangeKey")]
    item = _item(inputs)
    return {name: item[name] for name in names if name}


def _put_item(api: Api, inputs: Json) -> str:
    """As the real provider: never over an item that is there already."""
    api.call(
        _SERVICE,
        "put_item",
        TableName=inputs["tableName"],
        Item=_item(inputs),
        ConditionExpression="attribute_not_exists(#hash)",
        ExpressionAttributeNames={"#hash": inputs["hashKey"]},
    )
    values = [next(iter(fields(value).values()), "") for value in _key(inputs).values()]
    return "|".join([text(inputs, "tableName"), text(inputs, "hashKey"), *map(str, values)])


def _read_item(api: Api, _identifier: str, inputs: Json) -> Json | None:
    """The attributes that the program wrote; others may have been added by others."""
    where = {"TableName": inputs["tableName"], "Key": _key(inputs), "ConsistentRead": True}
    item = fields(found(lambda: api.call(_SERVICE, "get_item", **where)), "Item")
    if not item:
        return None
    written = {name: value for name, value in item.items() if name in _item(inputs)}
    return {**inputs, "item": json.dumps(written)}


def _update_item(api: Api, change: Change) -> None:
    key = _key(change.new)
    old, new = _item(change.old), _item(change.new)
    updates: Json = {name: {"Action": "PUT", "Value": value} for name, value in new.items() if name not in key}
    updates |= {name: {"Action": "DELETE"} for name in old if name not in new}
    api.call(_SERVICE, "update_item", TableName=change.new["tableName"], Key=key, AttributeUpdates=updates)


def _delete_item(api: Api, _identifier: str, state: Json) -> None:
    found(lambda: api.call(_SERVICE, "delete_item", TableName=state["tableName"], Key=_key(state)))


def _other_key(old: Json, new: Json) -> bool:
    if not isinstance(new.get("item"), str) or not isinstance(old.get("item"), str):
        return False
    return _key({**old, "item": new["item"]}) != _key(old)


def _attributes(inputs: Json) -> Iterator[Problem]:
    """PutItem: a JSON object of attributes, each with one type; keys are there and not empty."""
    item = inputs.get("item")
    if not isinstance(item, str):
        return
    try:
        parsed = cast("Value", json.loads(item))
    except ValueError as broken:
        yield Problem("item", f"is not JSON: {broken}")
        return
    for name, value in fields(parsed).items():
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= _TYPES:
            yield Problem("item", f"{name} must be an object with one type, such as {{'S': 'text'}}")
    for key in ("hashKey", "rangeKey"):
        if isinstance(inputs.get(key), str) and text(inputs, key) not in fields(parsed):
            yield Problem("item", f"lacks its {key}, {text(inputs, key)}")


def _sizes(inputs: Json) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html: an item of 400 KB, names
    included; a partition key of 1 to 2048 bytes, a sort key of 1 to 1024."""
    written = inputs.get("item")
    try:
        item = fields(cast("Value", json.loads(written))) if isinstance(written, str) else {}
    except ValueError:
        return  # said already
    size = sum(len(name.encode()) + _bytes(value) for name, value in item.items())
    if size > _LARGEST_ITEM:
        yield Problem("item", f"{size} bytes, and AWS takes at most {_LARGEST_ITEM}")
    for key, most in (("hashKey", 2048), ("rangeKey", 1024)):
        value = fields(item, text(inputs, key)) if isinstance(inputs.get(key), str) else {}
        kept = value.get("S")
        if isinstance(kept, str) and not 1 <= len(kept.encode()) <= most:
            yield Problem("item", f"its {key}, {text(inputs, key)}, has {len(kept.encode())} bytes, not 1 to {most}")


def _bytes(value: Value) -> int:
    """Of an attribute, as DynamoDB counts text; what holds others takes three bytes more, and one for each."""
    match value:
        case str():
            return len(value.encode())
        case dict():
            return sum(_bytes(part) + (len(name.encode()) if name not in _TYPES else 0) for name, part in value.items())
        case list():
            return 3 + sum(1 + _bytes(part) for part in value)
        case _:
            return 1


ITEM = ResourceType(
    token="aws:dynamodb/tableItem:TableItem",  # noqa: S106
    create=_put_item,
    read=_read_item,
    update=_update_item,
    delete=_delete_item,
    forces_new=words("tableName hashKey rangeKey"),
    forces_new_when={"item": _other_key},
    in_place=words("item"),
    rules=(_attributes, _sizes),
    delete_before_replace=True,
)

TYPES = (ITEM,)
