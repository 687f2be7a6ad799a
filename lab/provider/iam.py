"""Roles, their inline policies, instance profiles."""

from __future__ import annotations

from .api import Api
from .ec2_tags import listed, mapped, removed
from .json_path import at, fields, given, rows, text
from .patience import found, while_refused
from .policy_document import policy_rule, written
from .resource import Change, ResourceType, words
from .values import Json

# A role that was just made is not known everywhere at once; the real provider waits 2 minutes.
_NOT_YET, _NOT_YET_SECONDS = frozenset({"NoSuchEntity", "InvalidParameterValue"}), 120


def _create_role(api: Api, inputs: Json) -> str:
    tags = listed(inputs.get("tags"))
    api.call(
        "iam",
        "create_role",
        RoleName=inputs["name"],
        AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        **given(
            Path=inputs.get("path"),
            Description=inputs.get("description"),
            MaxSessionDuration=inputs.get("maxSessionDuration"),
            PermissionsBoundary=inputs.get("permissionsBoundary"),
        ),
        **({"Tags": tags} if tags else {}),
    )
    return str(inputs["name"])


def _read_role(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = found(lambda: api.call("iam", "get_role", RoleName=identifier))
    if answer is None:
        return None
    role = fields(answer, "Role")
    attached = api.call("iam", "list_attached_role_policies", RoleName=identifier)
    return {
        "arn": text(role, "Arn"),
        "name": identifier,
        "namePrefix": "",
        "path": text(role, "Path"),
        "description": text(role, "Description"),
        "assumeRolePolicy": written(role.get("AssumeRolePolicyDocument")),
        "maxSessionDuration": at(role, "MaxSessionDuration") or 3600,
        "createDate": text(role, "CreateDate"),
        "uniqueId": text(role, "RoleId"),
        "inlinePolicies": _inline(api, identifier),
        "permissionsBoundary": text(role, "PermissionsBoundary", "PermissionsBoundaryArn") or None,
        "managedPolicyArns": [text(policy, "PolicyArn") for policy in rows(attached, "AttachedPolicies")],
        "forceDetachPolicies": False,
        "tags": mapped(role.get("Tags")),
    }


def _inline(api: Api, role: str) -> list[Json]:
    names = api.call("iam", "list_role_policies", RoleName=role).get("PolicyNames")
    return [
        {"name": name, "policy": written(at(_role_policy(api, role, str(name)), "PolicyDocument"))}
        for name in (names if isinstance(names, list) else [])
    ]


def _update_role(api: Api, change: Change) -> None:
    which = {"RoleName": change.id}
    if "assumeRolePolicy" in change.names:
        api.call("iam", "update_assume_role_policy", **which, PolicyDocument=change.new["assumeRolePolicy"])
    if change.names & {"description", "maxSessionDuration"}:
        described = {"Description": change.new.get("description", "")}
        api.call(
            "iam", "update_role", **which, **described, MaxSessionDuration=change.new.get("maxSessionDuration", 3600)
        )
    if "permissionsBoundary" in change.names:
        if boundary := change.new.get("permissionsBoundary"):
            api.call("iam", "put_role_permissions_boundary", **which, PermissionsBoundary=boundary)
        else:
            api.call("iam", "delete_role_permissions_boundary", **which)
    if "managedPolicyArns" in change.names:
        _attached(api, change.id, _managed(change.old), _managed(change.new))
    _retag(api, change, "role", which)


def _retag(api: Api, change: Change, kind: str, which: dict[str, str]) -> None:
    if gone := removed(change):
        api.call("iam", f"untag_{kind}", **which, TagKeys=gone)
    if "tags" in change.names and (tags := listed(change.new.get("tags"))):
        api.call("iam", f"tag_{kind}", **which, Tags=tags)


def _attach(api: Api, identifier: str, inputs: Json) -> None:
    _attached(api, identifier, frozenset(), _managed(inputs))


def _managed(values: Json) -> frozenset[str]:
    arns = values.get("managedPolicyArns")
    return frozenset(map(str, arns)) if isinstance(arns, list) else frozenset()


def _attached(api: Api, role: str, old: frozenset[str], new: frozenset[str]) -> None:
    for arn in sorted(old - new):
        api.call("iam", "detach_role_policy", RoleName=role, PolicyArn=arn)
    for arn in sorted(new - old):
        api.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)


def _delete_role(api: Api, identifier: str, state: Json) -> None:
    """The real provider takes the role out of instance profiles, and its policies from it, first."""
    _attached(api, identifier, _managed(state), frozenset())
    for profile in rows(api.call("iam", "list_instance_profiles_for_role", RoleName=identifier), "InstanceProfiles"):
        _take_out(api, text(profile, "InstanceProfileName"), identifier)
    api.call("iam", "delete_role", RoleName=identifier)


ROLE = ResourceType(
    token="aws:iam/role:Role",  # noqa: S106
    create=_create_role,
    finish=_attach,
    read=_read_role,
    update=_update_role,
    delete=_delete_role,
    forces_new=words("name path"),
    in_place=words("description assumeRolePolicy maxSessionDuration permissionsBoundary managedPolicyArns tags"),
    named="name",
    longest_name=64,
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: trust policy 2048, inline 10240
    rules=(policy_rule("assumeRolePolicy", longest=2048),),
)


def _put_policy(api: Api, inputs: Json) -> str:
    parts = {"RoleName": inputs["role"], "PolicyName": inputs["name"], "PolicyDocument": inputs["policy"]}
    while_refused(lambda: api.call("iam", "put_role_policy", **parts), _NOT_YET, _NOT_YET_SECONDS)
    return f"{inputs['role']}:{inputs['name']}"


def _role_policy(api: Api, role: str, name: str) -> Json | None:
    return found(lambda: api.call("iam", "get_role_policy", RoleName=role, PolicyName=name))


def _read_policy(api: Api, identifier: str, _inputs: Json) -> Json | None:
    role, _, name = identifier.partition(":")
    answer = _role_policy(api, role, name)
    if answer is None:
        return None
    return {"role": role, "name": name, "namePrefix": "", "policy": written(answer.get("PolicyDocument"))}


def _delete_policy(api: Api, identifier: str, _state: Json) -> None:
    role, _, name = identifier.partition(":")
    api.call("iam", "delete_role_policy", RoleName=role, PolicyName=name)


def _change_policy(api: Api, change: Change) -> None:
    _put_policy(api, change.new)


ROLE_POLICY = ResourceType(
    token="aws:iam/rolePolicy:RolePolicy",  # noqa: S106
    create=_put_policy,
    read=_read_policy,
    update=_change_policy,
    delete=_delete_policy,
    forces_new=words("name role"),
    in_place=words("policy"),
    named="name",
    longest_name=128,
    rules=(policy_rule("policy", longest=10240),),
)


def _create_profile(api: Api, inputs: Json) -> str:
    tags = listed(inputs.get("tags"))
    path = given(Path=inputs.get("path"))
    api.call(
        "iam", "create_instance_profile", InstanceProfileName=inputs["name"], **path, **({"Tags": tags} if tags else {})
    )
    return str(inputs["name"])


def _put_in(api: Api, identifier: str, inputs: Json) -> None:
    if role := inputs.get("role"):
        both = {"InstanceProfileName": identifier, "RoleName": role}
        while_refused(lambda: api.call("iam", "add_role_to_instance_profile", **both), _NOT_YET, _NOT_YET_SECONDS)


def _put_in_again(api: Api, identifier: str, inputs: Json) -> None:
    now = _read_profile(api, identifier, inputs)
    if now is not None and not now.get("role"):
        _put_in(api, identifier, inputs)


def _take_out(api: Api, profile: str, role: str) -> None:
    both = {"InstanceProfileName": profile, "RoleName": role}
    found(lambda: api.call("iam", "remove_role_from_instance_profile", **both))


def _read_profile(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = found(lambda: api.call("iam", "get_instance_profile", InstanceProfileName=identifier))
    if answer is None:
        return None
    profile = fields(answer, "InstanceProfile")
    return {
        "arn": text(profile, "Arn"),
        "name": identifier,
        "namePrefix": "",
        "path": text(profile, "Path"),
        "role": text(profile, "Roles", 0, "RoleName"),
        "createDate": text(profile, "CreateDate"),
        "uniqueId": text(profile, "InstanceProfileId"),
        "tags": mapped(profile.get("Tags")),
    }


def _update_profile(api: Api, change: Change) -> None:
    if "role" in change.names:
        if change.old.get("role"):
            _take_out(api, change.id, str(change.old["role"]))
        _put_in(api, change.id, change.new)
    _retag(api, change, "instance_profile", {"InstanceProfileName": change.id})


def _delete_profile(api: Api, identifier: str, state: Json) -> None:
    if role := state.get("role"):
        _take_out(api, identifier, str(role))
    api.call("iam", "delete_instance_profile", InstanceProfileName=identifier)


INSTANCE_PROFILE = ResourceType(
    token="aws:iam/instanceProfile:InstanceProfile",  # noqa: S106
    create=_create_profile,
    finish=_put_in,
    resume=_put_in_again,
    read=_read_profile,
    update=_update_profile,
    delete=_delete_profile,
    forces_new=words("name path"),
    in_place=words("role tags"),
    named="name",
    longest_name=128,
)

TYPES = (ROLE, ROLE_POLICY, INSTANCE_PROFILE)
