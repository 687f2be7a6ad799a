"""boto3's clients as the agent uses them: short timeouts, few retries, the instance's own role."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Protocol, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.agent.errors import CloudUnavailable
from twinlock.registry.table import DynamoDB

Answer = Mapping[str, object]


class SecretsManager(Protocol):
    """What is used of boto3.client("secretsmanager")."""

    def put_secret_value(self, **arguments: object) -> Answer: ...
    def get_secret_value(self, **arguments: object) -> Answer: ...
    def update_secret_version_stage(self, **arguments: object) -> Answer: ...
    def list_secret_version_ids(self, **arguments: object) -> Answer: ...


class Ec2(Protocol):
    """What is used of boto3.client("ec2")."""

    def get_managed_prefix_list_entries(self, **arguments: object) -> Answer: ...


# A gateway looks each second: a call that hangs is worth less than the next one.
_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})
# Of the lease: an answer that is late is no answer.
_QUICK = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 1})


class Clients:
    """Each is made when it is first used: their models are large, and a boot waits for them."""

    def __init__(self, region: str) -> None:
        self._session = boto3.Session(region_name=region)

    @cached_property
    def dynamodb(self) -> DynamoDB:
        return cast(DynamoDB, self._client("dynamodb"))

    @cached_property
    def leases(self) -> DynamoDB:
        return cast(DynamoDB, self._client("dynamodb", _QUICK))

    @cached_property
    def secrets(self) -> SecretsManager:
        return cast(SecretsManager, self._client("secretsmanager"))

    @cached_property
    def ec2(self) -> Ec2:
        return cast(Ec2, self._client("ec2"))

    def _client(self, service: str, config: Config = _CONFIG) -> object:
        return self._session.client(service, config=config)  # pyright: ignore


def storage_prefixes(ec2: Ec2, prefix_list: str) -> tuple[str, ...]:
    """The CIDRs of a managed prefix list, as they come. Raises CloudUnavailable."""
    found: list[str] = []
    token: str | None = None
    while True:
        more = {} if token is None else {"NextToken": token}
        try:
            answer = ec2.get_managed_prefix_list_entries(PrefixListId=prefix_list, **more)
        except (BotoCoreError, ClientError) as exc:
            raise CloudUnavailable(f"prefix list {prefix_list}: {' '.join(str(exc).split())}") from exc
        found += [entry["Cidr"] for entry in cast(list[Mapping[str, str]], answer["Entries"])]
        token = cast(str | None, answer.get("NextToken"))
        if not token:
            return tuple(sorted(found))
