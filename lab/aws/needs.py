"""What a call needs: IAM's actions on resources, with the condition keys that the request brings.

From AWS's Service Authorization Reference, service by service: needs_s3.py, needs_dynamodb.py, needs_ec2.py,
needs_rest.py. https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lab.aws.identities import Identities


@dataclass(frozen=True, kw_only=True)
class Need:
    """One action that must be allowed on each of the resources."""

    action: str
    resources: tuple[str, ...] = ("*",)
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])  # lower-case keys
    via: str | None = None  # the service that asks on the caller's behalf: "secretsmanager.eu-west-1.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class Group:
    """An Auto Scaling group, as far as policies see it."""

    arn: str
    tags: Mapping[str, str]


class Resources(Protocol):
    """What must be known of the resources that a call names."""

    def identities(self) -> Identities: ...

    def ec2_tags(self, identifier: str) -> Mapping[str, str]:
        """Tags of what has this id."""
        ...

    def tied(self, association: str) -> str | None:
        """What an association is of: an elastic address or a route table, by its id."""
        ...

    def partition_key(self, table: str) -> str | None:
        """The name of a table's partition key."""
        ...

    def bucket_policy(self, bucket: str) -> str | None: ...

    def bucket_key(self, bucket: str) -> str | None:
        """ARN of the KMS key that the bucket encrypts with by default."""
        ...

    def group(self, name: str) -> Group | None: ...

    def group_of_instance(self, instance: str) -> Group | None: ...


class UnknownNeedError(Exception):
    """The lab does not know what a call needs, so nobody may make it."""


def tag_context(prefixes: tuple[str, ...], tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Context keys such as aws:ResourceTag/NAME."""
    return {f"{prefix}/{name}".lower(): (value,) for prefix in prefixes for name, value in tags.items()}


def key_arn(known: Identities, named: str) -> str:
    """The ARN of a KMS key given by id, ARN or alias. What does not exist comes back as an ARN that nobody has."""
    alias = named.rpartition(":")[2]
    if alias.startswith("alias/"):
        return known.kms_aliases.get(alias, f"arn:aws:kms:::{alias}")
    wanted = named.rpartition("/")[2]
    return next((arn for arn in known.kms_policies if arn.endswith(f"/{wanted}")), f"arn:aws:kms:::key/{wanted}")
