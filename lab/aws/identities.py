"""Who there is and what their policies say: the arrow from moto's stores to the front's decisions.

Documents are JSON text as it was put; they are parsed, and refused when they can't be, where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A user or a role. `policies`: (name, document) of inline, managed and groups' policies."""

    kind: str  # "user" or "role"
    name: str
    arn: str
    id: str
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    policies: tuple[tuple[str, str], ...] = ()
    boundary: str | None = None  # document of the permissions boundary
    boundary_arn: str | None = None
    trust: str | None = None  # document that says who may assume a role


@dataclass(frozen=True, kw_only=True)
class Key:
    """An access key; of a user, or of a role's session. The secrets never leave the process."""

    access_key: str
    secret: str = field(repr=False)
    user: str | None = None
    role_arn: str | None = None
    session: str | None = None
    session_user_id: str | None = None
    token: str | None = field(default=None, repr=False)
    session_policy: str | None = None
    expires: str | None = None  # ISO 8601, UTC


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A Secrets Manager secret, without its values."""

    name: str
    arn: str
    policy: str | None
    kms_key: str | None  # id, ARN or alias as it was given; None: AWS's own key
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Identities:
    """One reading of the stores."""

    principals: tuple[Principal, ...] = ()
    keys: tuple[Key, ...] = ()
    secrets: tuple[Secret, ...] = ()
    kms_policies: Mapping[str, str] = field(default_factory=dict[str, str])  # key's ARN -> document
    kms_aliases: Mapping[str, str] = field(default_factory=dict[str, str])  # alias/NAME -> key's ARN
    kms_tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])  # key's ARN -> tags
    endpoint_policies: Mapping[str, str] = field(default_factory=dict[str, str])  # VPC endpoint's id -> document
    endpoint_networks: Mapping[str, str] = field(default_factory=dict[str, str])  # VPC endpoint's id -> VPC's id
    ec2_tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])  # id -> tags


_READER = TypeAdapter(Identities)


def read(document: bytes) -> Identities:
    """The other side of `moto_stores.identities`, as JSON. Raises ValueError when the two have come apart."""
    return _READER.validate_json(document)
