"""What IAM lets people do with the registry: one policy a role, as plain data.

IAM sees a DynamoDB item's partition key and never its content, so what somebody may do is said in partition keys:
an enroller writes `pending#TENANT` and can't make a peer; attestations and audit entries lie under the writer's own
unique id. `dynamodb:Scan` and indexes are granted to nobody. ForAllValues is true of a request without any key, so
each statement also asks that there is one. Which tenant somebody enrols for is said by a tag on their role or user, so
that one policy does for any number of tenants, and a new tenant changes no policy and makes none.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from twinlock.registry import keys

_ME = "${aws:userid}"
# The tag on an enroller's role, user or session, whose value is the tenant. IAM allows no * in a tag's value, and
# without the tag the variable matches nothing: neither widens what somebody may do.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
TENANT_TAG = "twinlock-tenant"
_MY_TENANT = f"${{aws:PrincipalTag/{TENANT_TAG}}}"
# As many names as a managed policy surely has room for (6,144 characters).
AUTO_TENANTS_LIMIT = 40
_READ = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")
_CHECK = ("dynamodb:ConditionCheckItem",)
_PUT = ("dynamodb:PutItem",)
_DELETE = ("dynamodb:DeleteItem",)


@dataclass(frozen=True)
class DataKeyOf:
    """Whose tenants have pre-shared keys, and the ARN of the key that seals their data keys."""

    environment: str
    key_arn: str


class Statement(TypedDict):
    Sid: str
    Effect: Literal["Allow"]
    Action: list[str]
    Resource: list[str]
    Condition: NotRequired[Mapping[str, Mapping[str, str | list[str]]]]


class Policy(TypedDict):
    Version: Literal["2012-10-17"]
    Statement: list[Statement]


def reader(table_arn: str, discovery_arn: str) -> Policy:
    """Sees everything but who approved and what was done: `status`, `peer list|show|config`, `gateway list`."""
    return _policy(_discover(discovery_arn), _reads(table_arn))


def enroller(table_arn: str, discovery_arn: str, auto: Sequence[str], data_key: DataKeyOf | None = None) -> Policy:
    """Enrols peers of the one tenant that TENANT_TAG names. Of the tenants in `auto`, which approve by themselves, lets
    in and revokes peers as well.

    Elsewhere it can't write an approved or revoked peer, nor anything of another tenant.
    """
    mine = _MY_TENANT
    written = [
        keys.pending(mine),
        keys.address_lease(mine),
        keys.KEY,
        keys.enrolment(_ME),
        keys.audit(_ME),
    ]
    return _policy(
        _discover(discovery_arn),
        _reads(table_arn),
        _on_keys("EnrolPeers", _PUT, table_arn, written),
        _on_keys("SeeThatTheNameIsFree", _CHECK, table_arn, [keys.peer(mine), keys.data_key(mine)]),
        *([] if data_key is None else [_opens(data_key)]),
        *(_for_tenants(statement, auto) for statement in (_lets_in(table_arn) if auto else ())),
    )


def _opens(data_key: DataKeyOf) -> Statement:
    """The own tenant's data keys: to wrap pre-shared keys with."""
    context = {keys.CONTEXT_ENVIRONMENT: data_key.environment, keys.CONTEXT_TENANT: _MY_TENANT}
    return {
        "Sid": "OpenDataKeys",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": [data_key.key_arn],
        "Condition": {"StringEquals": {f"kms:EncryptionContext:{name}": value for name, value in context.items()}},
    }


def _lets_in(table_arn: str) -> tuple[Statement, ...]:
    mine = _MY_TENANT
    written = [keys.peer(mine), keys.revoked(mine), keys.change(mine), keys.META]
    return (
        _on_keys("LetPeersIn", _PUT, table_arn, written),
        _on_keys("SeeThatNobodyWaits", _CHECK, table_arn, [keys.pending(mine)]),
        _on_keys("MovePeers", _DELETE, table_arn, [keys.pending(mine), keys.peer(mine)]),
    )


def _for_tenants(statement: Statement, tenants: Sequence[str]) -> Statement:
    tagged = {"StringEquals": {f"aws:PrincipalTag/{TENANT_TAG}": list(tenants)}}
    return {**statement, "Condition": {**statement.get("Condition", {}), **tagged}}


def approver(table_arn: str, discovery_arn: str) -> Policy:
    """Approves and revokes peers of every tenant; whoever approves under another's name is refused."""
    written = [
        keys.pending("*"),
        keys.peer("*"),
        keys.revoked("*"),
        keys.address_lease("*"),
        keys.change("*"),
        keys.META,
        keys.approval(_ME),
        keys.audit(_ME),
    ]
    return _policy(
        _discover(discovery_arn),
        _reads(table_arn),
        _on_keys("ApproveAndRevokePeers", _PUT, table_arn, written),
        _on_keys("MovePeers", _DELETE, table_arn, [keys.pending("*"), keys.peer("*")]),
    )


def _reads(table_arn: str) -> Statement:
    return _on_keys(
        "ReadRegistry",
        _READ,
        table_arn,
        [
            keys.DEFINITION,
            keys.IDENTITY,
            keys.ROTATION,
            keys.LAUNCH,
            keys.ROLLING,
            keys.moved("*"),
            keys.META,
            keys.KEY,
            keys.pending("*"),
            keys.peer("*"),
            keys.revoked("*"),
            keys.address_lease("*"),
            keys.gateway("*"),
            keys.traffic("*"),
            keys.data_key("*"),
        ],
    )


def _discover(discovery_arn: str) -> Statement:
    return {
        "Sid": "FindEnvironment",
        "Effect": "Allow",
        "Action": ["ssm:GetParameter"],
        "Resource": [discovery_arn],
    }


def _on_keys(sid: str, actions: Sequence[str], table_arn: str, leading: Sequence[str]) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": [table_arn],
        "Condition": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(leading)},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    }


def _policy(*statements: Statement) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
