"""A gateway's cloud on AWS: short timeouts, few retries, the instance's own role.

Through botocore, which boto3 is made of: loading the rest of that would cost a boot a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol, cast

import botocore.session  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.agent.aws_floating import ElasticIp
from twinlock.agent.aws_groups import AutoScaling, replace_own, report_unhealthy
from twinlock.agent.aws_metadata import instance_id
from twinlock.agent.aws_secrets import AwsSecrets, SecretsManager
from twinlock.agent.boot import Boot
from twinlock.agent.errors import CloudUnavailable
from twinlock.registry.definition import Definition
from twinlock.registry.dynamodb import DynamoDB, DynamoTable
from twinlock.registry.kms import Kms, KmsEnvelope
from twinlock.registry.table import Table

Answer = Mapping[str, object]


class Ec2(Protocol):
    """What is used of the client of EC2."""

    def get_managed_prefix_list_entries(self, **arguments: object) -> Answer: ...
    def describe_addresses(self, **arguments: object) -> Answer: ...
    def associate_address(self, **arguments: object) -> Answer: ...


class S3(Protocol):
    """What is used of the client of S3."""

    def generate_presigned_url(self, method: str, **arguments: object) -> str: ...


class S3Proofs:
    """twinlock.agent.transfer.ProofStore: one small object, this slot's own."""

    def __init__(self, client: Callable[[], S3], bucket: str, key: str) -> None:
        self._client, self._where = client, {"Bucket": bucket, "Key": key}

    @cached_property
    def _s3(self) -> S3:
        return self._client()  # its model is large, and a boot does not wait for it

    def proof_url(self, method: str) -> str:
        """Raises CloudUnavailable: there are no credentials."""
        verb = {"GET": "get_object", "PUT": "put_object"}[method]
        try:
            return self._s3.generate_presigned_url(verb, Params=self._where, ExpiresIn=60)
        except (BotoCoreError, ClientError) as exc:
            raise CloudUnavailable(f"signing: {' '.join(str(exc).split())}") from exc


# A gateway looks each second: a call that hangs is worth less than the next one.
_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})
# Of the lease: an answer that is late is no answer.
_QUICK = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 1})


class Aws:
    """twinlock.agent.cloud.Cloud on AWS."""

    def __init__(self, boot: Boot, session: object | None) -> None:
        """`session`: botocore's, with credentials, from what fetched this agent; another would ask for them again."""
        self._boot = boot
        self._session = session or botocore.session.get_session()  # pyright: ignore[reportUnknownMemberType]

    def table(self) -> Table:
        return self._table_with(_CONFIG)

    def lease_table(self) -> Table:
        return self._table_with(_QUICK)

    def secrets(self) -> AwsSecrets:
        return AwsSecrets(cast(SecretsManager, self._client("secretsmanager", _CONFIG)))

    def envelope(self, definition: Definition) -> KmsEnvelope:
        return KmsEnvelope(self._kms, definition.environment, definition.key)

    def instance_id(self) -> str:
        return instance_id()

    def proofs(self) -> S3Proofs:
        # By the name that peers' SDKs use. A signed address costs no call but, now and then, for new credentials.
        config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
        return S3Proofs(
            lambda: cast(S3, self._client("s3", config)), self._boot.agent_bucket, f"health/{self._boot.slot}"
        )

    def report_unhealthy(self, instance_id: str) -> None:
        # Made when it is needed, which is hardly ever.
        report_unhealthy(cast(AutoScaling, self._client("autoscaling", _CONFIG)), instance_id)

    def replace_own(self, instance_id: str) -> None:
        replace_own(cast(AutoScaling, self._client("autoscaling", _CONFIG)), instance_id)

    def storage_prefixes(self) -> tuple[str, ...]:
        return storage_prefixes(self._ec2, self._boot.storage_prefix_list)

    def floating(self) -> ElasticIp | None:
        # The client is made when it is first needed: EC2's model is large.
        return ElasticIp(lambda: self._ec2, self._boot.floating) if self._boot.floating else None

    @cached_property
    def _kms(self) -> Kms:
        return cast(Kms, self._client("kms", _CONFIG))

    @cached_property
    def _ec2(self) -> Ec2:
        return cast(Ec2, self._client("ec2", _CONFIG))

    def _table_with(self, config: Config) -> Table:
        return DynamoTable(self._boot.registry_table, cast(DynamoDB, self._client("dynamodb", config)))

    def _client(self, service: str, config: Config) -> object:
        return self._session.create_client(service, region_name=self._boot.region, config=config)  # pyright: ignore


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
