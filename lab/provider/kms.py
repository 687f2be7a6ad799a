"""Keys and their aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import removed
from .json_path import fields, flag, given, number, rows, text
from .patience import found, while_refused
from .policy_document import policy_rule
from .resource import Change, Problem, ResourceType, words
from .values import Json, Value


def _listed(tags: Value) -> list[Json]:
    """KMS writes tags in its own way."""
    return [
        {"TagKey": key, "TagValue": value} for key, value in sorted((tags if isinstance(tags, dict) else {}).items())
    ]


def _create(api: Api, inputs: Json) -> str:
    settings = given(
        Description=inputs.get("description"), Policy=inputs.get("policy"), Tags=_listed(inputs.get("tags")) or None
    )
    # A principal that was just made is not known at once: KMS calls the policy malformed until then.
    not_yet = frozenset({"MalformedPolicyDocumentException"})
    made = while_refused(lambda: api.call("kms", "create_key", **settings), not_yet, 10)
    return text(made, "KeyMetadata", "KeyId")


def _finish(api: Api, identifier: str, inputs: Json) -> None:
    if flag(inputs, "enableKeyRotation"):
        period = given(RotationPeriodInDays=inputs.get("rotationPeriodInDays"))
        api.call("kms", "enable_key_rotation", KeyId=identifier, **period)


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = found(lambda: api.call("kms", "describe_key", KeyId=identifier))
    key = fields(answer, "KeyMetadata")
    if answer is None or text(key, "KeyState") in ("PendingDeletion", "PendingReplicaDeletion"):
        return None
    rotation = api.call("kms", "get_key_rotation_status", KeyId=identifier)
    tags = rows(api.call("kms", "list_resource_tags", KeyId=identifier), "Tags")
    return {
        "arn": text(key, "Arn"),
        "keyId": identifier,
        "description": text(key, "Description"),
        "policy": text(api.call("kms", "get_key_policy", KeyId=identifier, PolicyName="default"), "Policy"),
        "enableKeyRotation": flag(rotation, "KeyRotationEnabled"),
        "rotationPeriodInDays": number(rotation, "RotationPeriodInDays") or 365,
        "isEnabled": flag(key, "Enabled"),
        "keyUsage": text(key, "KeyUsage"),
        "customerMasterKeySpec": text(key, "KeySpec") or "SYMMETRIC_DEFAULT",
        "multiRegion": flag(key, "MultiRegion"),
        "tags": {text(tag, "TagKey"): text(tag, "TagValue") for tag in tags},
    }


def _update(api: Api, change: Change) -> None:
    which = {"KeyId": change.id}
    if "description" in change.names:
        api.call("kms", "update_key_description", **which, Description=change.new.get("description", ""))
    if "policy" in change.names:
        policy = change.new.get("policy")
        if policy is not None:
            api.call("kms", "put_key_policy", **which, PolicyName="default", Policy=policy)
    if change.names & {"enableKeyRotation", "rotationPeriodInDays"}:
        if flag(change.new, "enableKeyRotation"):
            _finish(api, change.id, change.new)
        else:
            api.call("kms", "disable_key_rotation", **which)
    if gone := removed(change):
        api.call("kms", "untag_resource", **which, TagKeys=gone)
    if "tags" in change.names and (tags := _listed(change.new.get("tags"))):
        api.call("kms", "tag_resource", **which, Tags=tags)


def _delete(api: Api, identifier: str, state: Json) -> None:
    days = number(state, "deletionWindowInDays") or 30
    api.call("kms", "schedule_key_deletion", KeyId=identifier, PendingWindowInDays=days)


def _rotation(inputs: Json) -> Iterator[Problem]:
    """EnableKeyRotation takes the period."""
    if inputs.get("rotationPeriodInDays") is not None and not flag(inputs, "enableKeyRotation"):
        yield Problem("rotationPeriodInDays", "needs enableKeyRotation")


KEY = ResourceType(
    token="aws:kms/key:Key",  # noqa: S106
    create=_create,
    finish=_finish,
    read=_read,
    update=_update,
    delete=_delete,
    in_place=words("description policy enableKeyRotation rotationPeriodInDays deletionWindowInDays tags"),
    # https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html: a key policy has up to 32 KB
    rules=(_rotation, policy_rule("policy", longest=32768)),
)


def _create_alias(api: Api, inputs: Json) -> str:
    api.call("kms", "create_alias", AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return str(inputs["name"])


def _read_alias(api: Api, identifier: str, _inputs: Json) -> Json | None:
    alias = _find_alias(api, identifier)
    if alias is None:
        return None
    key = text(alias, "TargetKeyId")
    return {
        "arn": text(alias, "AliasArn"),
        "name": identifier,
        "namePrefix": "",
        "targetKeyArn": api.arn("kms", f"key/{key}"),
        "targetKeyId": key,
    }


def _find_alias(api: Api, identifier: str) -> Json | None:
    marker: Json = {}
    while True:
        answer = api.call("kms", "list_aliases", **marker)
        for alias in rows(answer, "Aliases"):
            if text(alias, "AliasName") == identifier:
                return alias
        if not flag(answer, "Truncated"):
            return None
        marker = {"Marker": answer["NextMarker"]}


def _update_alias(api: Api, change: Change) -> None:
    api.call("kms", "update_alias", AliasName=change.id, TargetKeyId=change.new["targetKeyId"])


def _delete_alias(api: Api, identifier: str, _state: Json) -> None:
    api.call("kms", "delete_alias", AliasName=identifier)


def _alias_name(inputs: Json) -> Iterator[Problem]:
    """CreateAlias: `alias/` and up to 250 characters; `alias/aws/` is AWS's own."""
    name = inputs.get("name")
    if isinstance(name, str) and (
        not re.fullmatch(r"alias/[a-zA-Z0-9/_-]{1,250}", name) or name.startswith("alias/aws/")
    ):
        yield Problem("name", f"alias/ and 1 to 250 of a-z, A-Z, 0-9 and /_-, not alias/aws/, got {name}")


ALIAS = ResourceType(
    token="aws:kms/alias:Alias",  # noqa: S106
    create=_create_alias,
    read=_read_alias,
    update=_update_alias,
    delete=_delete_alias,
    forces_new=words("name"),
    in_place=words("targetKeyId"),
    rules=(_alias_name,),
    delete_before_replace=True,
)

TYPES = (KEY, ALIAS)
