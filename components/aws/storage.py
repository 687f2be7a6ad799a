"""The buckets: the users' own behind the endpoint, and one for the gateways' agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi import ComponentResource, FileAsset, ResourceOptions
from pulumi_aws.s3._inputs import (
    BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs as DefaultEncryptionArgs,
)
from pulumi_aws.s3._inputs import (
    BucketServerSideEncryptionConfigurationRuleArgs,
    BucketVersioningVersioningConfigurationArgs,
)
from pulumi_aws.s3.bucket import Bucket
from pulumi_aws.s3.bucket_objectv2 import BucketObjectv2
from pulumi_aws.s3.bucket_policy import BucketPolicy
from pulumi_aws.s3.bucket_public_access_block import BucketPublicAccessBlock
from pulumi_aws.s3.bucket_server_side_encryption_configuration import BucketServerSideEncryptionConfiguration
from pulumi_aws.s3.bucket_versioning import BucketVersioning

from components.aws import permissions
from components.aws.adopted import AdoptedBucket
from components.aws.tags import tags
from components.plan import Part


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The gateways' program, and where in its bucket it lies."""

    path: Path
    sha256: str  # hex

    @property
    def key(self) -> str:
        return f"agent/{self.sha256}/twinlock-agent.pyz"


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    environment: str
    buckets: Mapping[str, pulumi.Input[str]]  # short name -> global name
    existing: Mapping[str, str]  # the same, of buckets that the program did not make
    adopted: frozenset[str]  # those of `existing` that are imported
    foreign: Mapping[str, Sequence[Mapping[str, object]]]  # short name -> other people's statements in its policy
    agent_bucket: pulumi.Input[str]
    agent: Agent
    key_arn: pulumi.Input[str]
    endpoints: Sequence[pulumi.Input[str]]  # ids of the storage endpoints
    admitted: Mapping[str, Sequence[str]]  # short name -> ARNs of the tenants' principals
    parts: Mapping[str, Sequence[Part]]  # short name -> what of it is one tenant's alone
    break_glass: tuple[str, ...]
    protect: bool


class Storage(ComponentResource):
    """What peers come for."""

    buckets: dict[str, pulumi.Output[str]]  # short name -> global name, of all
    agent_bucket: Bucket
    agent_object: BucketObjectv2

    def __init__(self, name: str, args: StorageArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Storage", name, None, opts)
        self._name, self._args = name, args
        self._private: dict[str, BucketPublicAccessBlock] = {}
        self.buckets = {bucket: self._users_bucket(bucket, full) for bucket, full in args.buckets.items()}
        self.buckets |= {bucket: self._existing_bucket(bucket, full) for bucket, full in args.existing.items()}
        self.agent_bucket = self._agents_bucket()
        self.agent_object = self._agent()
        self.register_outputs({"buckets": self.buckets})

    def _users_bucket(self, part: str, full_name: pulumi.Input[str]) -> pulumi.Output[str]:
        args = self._args
        bucket = self._bucket(part, full_name, protect=args.protect)
        self._versions(part, bucket)
        default = DefaultEncryptionArgs(sse_algorithm="aws:kms", kms_master_key_id=args.key_arn)
        self._encryption(part, bucket, default, protect=args.protect)
        self._policy(part, bucket.id, self._behind_endpoint(part, bucket.arn))
        return bucket.bucket

    def _existing_bucket(self, part: str, full_name: str) -> pulumi.Output[str]:
        """Gets the refusals and the tenants beside its own statements. Its encryption, versions and tags stay its own:
        what is in it was stored under those."""
        # An import that is refused stops all that would change the bucket.
        bucket = self._adopted(part, full_name).id if part in self._args.adopted else full_name
        self._closed(part, bucket, protect=self._args.protect)
        arn = f"arn:aws:s3:::{full_name}"
        self._policy(part, bucket, self._behind_endpoint(part, arn), self._args.foreign[part])
        return pulumi.Output.from_input(full_name)

    def _adopted(self, part: str, full_name: str) -> Bucket:
        child = ResourceOptions(parent=self)
        return AdoptedBucket(f"{self._name}-{part}", full_name, protect=self._args.protect, opts=child).bucket

    def _behind_endpoint(self, part: str, arn: pulumi.Input[str]) -> tuple[permissions.Statement, ...]:
        args = self._args
        return (
            permissions.tls_only(arn),
            permissions.through_endpoint_only(arn, args.endpoints, args.break_glass),
            *permissions.admits(arn, args.admitted[part]),
            *(each for own in args.parts[part] for each in permissions.own_part(arn, own, args.break_glass)),
        )

    def _agents_bucket(self) -> Bucket:
        """The deployer writes it from anywhere; nothing in it is secret, and gateways check its digest.

        Each gateway has one object there that it writes anew all day: without versions, which would pile up."""
        bucket = self._bucket("agent", self._args.agent_bucket, protect=False)
        self._encryption("agent", bucket, DefaultEncryptionArgs(sse_algorithm="AES256"), protect=False)
        proofs = permissions.health_through_endpoint_only(bucket.arn, self._args.endpoints)
        self._policy("agent", bucket.id, (permissions.tls_only(bucket.arn), proofs))
        return bucket

    def _agent(self) -> BucketObjectv2:
        agent = self._args.agent
        return BucketObjectv2(
            f"{self._name}-agent-object",
            bucket=self.agent_bucket.bucket,
            key=agent.key,
            source=FileAsset(str(agent.path)),
            content_type="application/zip",
            tags=self._tags("agent-object"),
            opts=ResourceOptions(parent=self),
        )

    def _bucket(self, part: str, full_name: pulumi.Input[str], *, protect: bool) -> Bucket:
        bucket = Bucket(
            f"{self._name}-{part}",
            bucket=full_name,
            # An environment that holds nothing of value goes with what is in it.
            force_destroy=not protect,
            tags=self._tags(part),
            opts=ResourceOptions(parent=self, protect=protect),
        )
        self._closed(part, bucket.id, protect=protect)
        return bucket

    def _versions(self, part: str, bucket: Bucket) -> None:
        BucketVersioning(
            f"{self._name}-{part}-versioning",
            bucket=bucket.id,
            versioning_configuration=BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=ResourceOptions(parent=self, protect=self._args.protect),
        )

    def _closed(self, part: str, bucket: pulumi.Input[str], *, protect: bool) -> None:
        """A bucket that outlives its environment stays closed."""
        self._private[part] = BucketPublicAccessBlock(
            f"{self._name}-{part}-private",
            bucket=bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=ResourceOptions(parent=self, protect=protect),
        )

    def _encryption(self, part: str, bucket: Bucket, default: DefaultEncryptionArgs, *, protect: bool) -> None:
        rule = BucketServerSideEncryptionConfigurationRuleArgs(
            apply_server_side_encryption_by_default=default, bucket_key_enabled=True
        )
        BucketServerSideEncryptionConfiguration(
            f"{self._name}-{part}-encryption",
            bucket=bucket.id,
            rules=[rule],
            opts=ResourceOptions(parent=self, protect=protect),
        )

    def _policy(
        self,
        part: str,
        bucket: pulumi.Input[str],
        statements: Sequence[permissions.Statement],
        foreign: Sequence[Mapping[str, object]] = (),
    ) -> None:
        # Taken away, an existing bucket's policy goes with the statements that were there before.
        protect = self._args.protect and part in self._args.existing
        BucketPolicy(
            f"{self._name}-{part}-policy",
            bucket=bucket,
            policy=permissions.document(statements, foreign),
            # S3 refuses two changes of a bucket's access at once (OperationAborted).
            opts=ResourceOptions(parent=self, depends_on=[self._private[part]], protect=protect),
        )

    def _tags(self, part: str) -> dict[str, str]:
        return tags(self._args.environment, "storage", f"{self._name}-{part}")
