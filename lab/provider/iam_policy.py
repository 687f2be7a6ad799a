"""IAM's managed policies: versions, of which one counts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import listed, mapped, removed
from .json_path import fields, flag, given, rows, text
from .patience import found
from .policy_document import policy_rule, written
from .resource import Change, Problem, ResourceType, words
from .values import Json

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: versions, and characters of a document.
_VERSIONS, _LONGEST = 5, 6144


def _create(api: Api, inputs: Json) -> str:
    tags = listed(inputs.get("tags"))
    described = given(Path=inputs.get("path"), Description=inputs.get("description"))
    parts = {"PolicyName": inputs["name"], "PolicyDocument": inputs["policy"], **described}
    return text(api.call("iam", "create_policy", **parts, **({"Tags": tags} if tags else {})), "Policy", "Arn")


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = found(lambda: api.call("iam", "get_policy", PolicyArn=identifier))
    if answer is None:
        return None
    policy = fields(answer, "Policy")
    default = text(policy, "DefaultVersionId")
    version = api.call("iam", "get_policy_version", PolicyArn=identifier, VersionId=default)
    count = policy.get("AttachmentCount")
    return {
        "arn": identifier,
        "name": text(policy, "PolicyName"),
        "namePrefix": "",
        "path": text(policy, "Path"),
        "description": text(policy, "Description"),
        "policy": written(fields(version, "PolicyVersion").get("Document")),
        "policyId": text(policy, "PolicyId"),
        "attachmentCount": count if isinstance(count, int) else 0,
        "tags": mapped(policy.get("Tags")),
    }


def _update(api: Api, change: Change) -> None:
    which = {"PolicyArn": change.id}
    if "policy" in change.names:
        spare = _spare(api, change.id)
        if len(spare) >= _VERSIONS - 1:
            api.call("iam", "delete_policy_version", **which, VersionId=spare[-1])
        api.call("iam", "create_policy_version", **which, PolicyDocument=change.new["policy"], SetAsDefault=True)
    if gone := removed(change):
        api.call("iam", "untag_policy", **which, TagKeys=gone)
    if "tags" in change.names and (tags := listed(change.new.get("tags"))):
        api.call("iam", "tag_policy", **which, Tags=tags)


def _spare(api: Api, identifier: str) -> list[str]:
    """Versions that do not count, the newest first."""
    versions = rows(api.call("iam", "list_policy_versions", PolicyArn=identifier), "Versions")
    ids = [text(version, "VersionId") for version in versions if not flag(version, "IsDefaultVersion")]
    return sorted(ids, key=lambda name: int(name.removeprefix("v")), reverse=True)


def _delete(api: Api, identifier: str, _state: Json) -> None:
    """As the real provider does: the other versions first. One that is attached to anyone stays (DeleteConflict)."""
    for version in _spare(api, identifier):
        api.call("iam", "delete_policy_version", PolicyArn=identifier, VersionId=version)
    api.call("iam", "delete_policy", PolicyArn=identifier)


def _name(inputs: Json) -> Iterator[Problem]:
    """CreatePolicy: 1 to 128 letters, digits and _+=,.@-"""
    name = inputs.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[\w+=,.@-]{1,128}", name, re.ASCII):
        yield Problem("name", f"1 to 128 letters, digits and _+=,.@-, got {name}")


POLICY = ResourceType(
    token="aws:iam/policy:Policy",  # noqa: S106
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("name path description"),
    in_place=words("policy tags"),
    named="name",
    longest_name=128,
    rules=(_name, policy_rule("policy", longest=_LONGEST)),
)

TYPES = (POLICY,)
