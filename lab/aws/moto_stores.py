"""Reads moto's own stores, inside moto's process: the one file that knows their shape (moto 5.2.5)."""

from __future__ import annotations

from dataclasses import asdict
from itertools import count

from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends, vpcs
from moto.iam.access_control import PermissionResult
from moto.iam.models import Group, Role, User, iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket
from moto.secretsmanager.models import FakeSecret, secretsmanager_backends
from moto.ssm.models import Parameter, ssm_backends
from moto.sts.models import sts_backends

from lab.aws.identities import Identities, Key, Principal, Secret
from lab.aws.names import ACCOUNT, REGION


def identities() -> dict[str, object]:
    """One reading, as JSON's types; `identities.read` turns it back."""
    iam = iam_backends[ACCOUNT]["aws"]
    users = [_user(user, _groups_of(user)) for user in list(iam.users.values())]
    roles = [_role(role) for role in list(iam.roles.values())]
    ec2 = ec2_backends[ACCOUNT][REGION]
    kms = list(kms_backends[ACCOUNT][REGION].keys.values())
    tags = kms_backends[ACCOUNT][REGION].tagger
    endpoints = list(ec2.vpc_end_points.values())
    reading = Identities(
        principals=tuple(users + roles),
        keys=tuple(_user_keys() + _session_keys()),
        secrets=tuple(_secret(one) for one in list(secretsmanager_backends[ACCOUNT][REGION].secrets.values())),
        kms_policies={key.arn: key.policy for key in kms},
        kms_tags={key.arn: tags.get_tag_dict_for_resource(key.id) for key in kms},
        kms_aliases={alias: key.arn for key in kms for alias in key.aliases},
        endpoint_policies={one.id: one.policy_document for one in endpoints},
        endpoint_networks={one.id: one.vpc_id for one in endpoints},
        ec2_tags={resource: dict(tags) for resource, tags in list(ec2.tags.items())},
    )
    return asdict(reading)


def judge_nothing() -> None:
    """The front has judged by the bucket's policy; moto would again, without its conditions."""

    def neutral(_: FakeBucket, action: str, resource: str) -> object:
        return PermissionResult.NEUTRAL

    setattr(FakeBucket, "get_permission", neutral)  # noqa: B010 (another signature than moto's, which says Any)


def give_ipv6(pattern: str = "2001:db8:{:x}::/56") -> None:
    """Networks get theirs out of a range that is nobody's (RFC 3849), the first always the same: moto's are random, and
    somebody's."""
    numbers = count(1)
    setattr(vpcs, "random_ipv6_cidr", lambda: pattern.format(next(numbers)))  # noqa: B010 (moto does not export it)


def put_parameter(name: str, value: str) -> None:
    """A public parameter of AWS's own."""
    parameter = Parameter(
        account_id=ACCOUNT,
        name=name,
        value=value,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=utcnow(),
        version=1,
        data_type="text",
    )
    store = ssm_backends[ACCOUNT][REGION]._parameters  # pyright: ignore[reportPrivateUsage]
    store[name].append(parameter)  # pyright: ignore[reportArgumentType]


def _groups_of(user: User) -> list[Group]:
    return [group for group in list(iam_backends[ACCOUNT]["aws"].groups.values()) if user in group.users]


def _policies(owner: User | Role | Group) -> tuple[tuple[str, str], ...]:
    inline = [(name, str(document)) for name, document in owner.policies.items()]
    managed = [(policy.arn, _current(policy.arn)) for policy in owner.managed_policies.values()]
    return tuple(inline + managed)


def _current(arn: str) -> str:
    """A managed policy's default version."""
    policy = iam_backends[ACCOUNT]["aws"].managed_policies[arn]
    return next(str(version.document) for version in policy.versions if version.is_default)


def _user(user: User, groups: list[Group]) -> Principal:
    policies = _policies(user) + tuple(policy for group in groups for policy in _policies(group))
    tags = iam_backends[ACCOUNT]["aws"].tagger.get_tag_dict_for_resource(user.arn)
    return Principal(kind="user", name=user.name, arn=user.arn, id=user.id, tags=tags, policies=policies)


def _role(role: Role) -> Principal:
    return Principal(
        kind="role",
        name=role.name,
        arn=role.arn,
        id=role.id,
        tags={tag["Key"]: tag["Value"] for tag in role.tags},
        policies=_policies(role),
        boundary_arn=role.permissions_boundary_arn or None,
        boundary=_current(role.permissions_boundary_arn) if role.permissions_boundary_arn else None,
        trust=role.assume_role_policy_document,
    )


def _user_keys() -> list[Key]:
    users = list(iam_backends[ACCOUNT]["aws"].users.values())
    return [
        Key(access_key=key.access_key_id, secret=key.secret_access_key, user=user.name)
        for user in users
        for key in user.access_keys
        if key.status == "Active"
    ]


def _session_keys() -> list[Key]:
    sessions = sts_backends[ACCOUNT]["aws"].assumed_roles
    return [
        Key(
            access_key=session.access_key_id,
            secret=session.secret_access_key,
            role_arn=session.role_arn,
            session=session.session_name,
            session_user_id=session.user_id,
            token=session.session_token,
            session_policy=session.policy or None,
            expires=session.expiration.isoformat(),
        )
        for session in list(sessions)
    ]


def _secret(secret: object) -> Secret:
    if not isinstance(secret, FakeSecret):
        raise TypeError(f"replicated secrets are not part of the lab: {secret!r}")
    key = None if secret.kms_key_id in (None, "alias/aws/secretsmanager") else secret.kms_key_id
    tags = {tag["Key"]: tag["Value"] for tag in (secret.tags or [])}
    return Secret(name=secret.name, arn=secret.arn, policy=secret.policy, kms_key=key, tags=tags)
