"""Tags as EC2 takes and gives them."""

from __future__ import annotations

from .api import Api
from .json_path import fields, rows, text
from .resource import Change
from .values import Json, Value


def listed(tags: Value) -> list[Json]:
    """{"k": "v"} -> [{"Key": "k", "Value": "v"}]."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags if isinstance(tags, dict) else {}).items())]


def mapped(tags: Value) -> Json:
    """The way back; the cloud's own tags (aws:…) are left out, as the real provider does."""
    pairs = {text(tag, "Key"): text(tag, "Value") for tag in rows(tags)}
    return {key: value for key, value in pairs.items() if not key.startswith("aws:")}


def specification(kind: str, inputs: Json) -> dict[str, object]:
    """The TagSpecifications parameter of a creating call, none if there are no tags."""
    tags = listed(inputs.get("tags"))
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def removed(change: Change) -> list[str]:
    """Keys of tags that are no longer wanted."""
    return sorted(fields(change.old, "tags").keys() - fields(change.new, "tags").keys())


def retag(api: Api, change: Change) -> None:
    """Makes the tags of an EC2 resource the new ones."""
    if gone := removed(change):
        api.call("ec2", "delete_tags", Resources=[change.id], Tags=[{"Key": key} for key in gone])
    if tags := listed(change.new.get("tags")):
        api.call("ec2", "create_tags", Resources=[change.id], Tags=tags)
