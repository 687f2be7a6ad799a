"""Containers of secrets. Values are never the program's: no type here writes one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import listed, mapped, removed
from .json_path import given, text
from .patience import found
from .resource import Change, Problem, ResourceType, words
from .values import Json

_SERVICE = "secretsmanager"


def _create(api: Api, inputs: Json) -> str:
    settings = given(
        Description=inputs.get("description"), KmsKeyId=inputs.get("kmsKeyId"), Tags=listed(inputs.get("tags")) or None
    )
    return text(api.call(_SERVICE, "create_secret", Name=inputs["name"], **settings), "ARN")


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    secret = found(lambda: api.call(_SERVICE, "describe_secret", SecretId=identifier))
    if secret is None or secret.get("DeletedDate"):
        return None
    return {
        "arn": text(secret, "ARN"),
        "name": text(secret, "Name"),
        "namePrefix": "",
        "description": text(secret, "Description"),
        "kmsKeyId": text(secret, "KmsKeyId") or None,
        "policy": "",
        "replicas": [],
        "tags": mapped(secret.get("Tags")),
    }


def _update(api: Api, change: Change) -> None:
    if change.names & {"description", "kmsKeyId"}:
        settings = given(Description=change.new.get("description", ""), KmsKeyId=change.new.get("kmsKeyId"))
        api.call(_SERVICE, "update_secret", SecretId=change.id, **settings)
    if gone := removed(change):
        api.call(_SERVICE, "untag_resource", SecretId=change.id, TagKeys=gone)
    if "tags" in change.names and (tags := listed(change.new.get("tags"))):
        api.call(_SERVICE, "tag_resource", SecretId=change.id, Tags=tags)


def _delete(api: Api, identifier: str, state: Json) -> None:
    days = state.get("recoveryWindowInDays", 30)
    window: dict[str, object] = {"ForceDeleteWithoutRecovery": True} if days == 0 else {"RecoveryWindowInDays": days}
    api.call(_SERVICE, "delete_secret", SecretId=identifier, **window)


def _name(inputs: Json) -> Iterator[Problem]:
    """CreateSecret: 1 to 512 of a set of characters."""
    name = inputs.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[a-zA-Z0-9/_+=.@-]{1,512}", name):
        yield Problem("name", f"1 to 512 of a-z, A-Z, 0-9 and /_+=.@-, got {name}")


def _window(inputs: Json) -> Iterator[Problem]:
    """DeleteSecret: 7 to 30 days; the provider's 0 is without recovery."""
    days = inputs.get("recoveryWindowInDays")
    if isinstance(days, int) and days != 0 and not 7 <= days <= 30:
        yield Problem("recoveryWindowInDays", f"0 or 7 to 30 days, got {days}")


SECRET = ResourceType(
    token="aws:secretsmanager/secret:Secret",  # noqa: S106
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("name"),
    in_place=words("description kmsKeyId recoveryWindowInDays tags"),
    named="name",
    longest_name=512,
    rules=(_name, _window),
)

TYPES = (SECRET,)
