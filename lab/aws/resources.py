"""What policies need to know of resources: bucket policies and keys (cached), partition keys, groups and their tags."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs]

from lab.aws.identities import Identities
from lab.aws.needs import Group
from lab.aws.principals import Directory


class Client(Protocol):
    """The few operations that are asked of boto3 clients here."""

    def get_bucket_policy(self, *, Bucket: str) -> Mapping[str, str]: ...  # noqa: N803
    def get_bucket_encryption(self, *, Bucket: str) -> Mapping[str, object]: ...  # noqa: N803
    def describe_addresses(self, **names: object) -> Mapping[str, object]: ...
    def describe_route_tables(self, **names: object) -> Mapping[str, object]: ...
    def describe_instances(self, **names: object) -> Mapping[str, object]: ...
    def describe_auto_scaling_groups(self, **names: object) -> Mapping[str, object]: ...
    def describe_auto_scaling_instances(self, **names: object) -> Mapping[str, object]: ...


@dataclass
class LiveResources:
    """Reads the running cloud; `client` makes a boto3 client of a service, past IAM, overrides included."""

    directory: Directory
    client: Callable[[str], Client]
    partition_key_of: Callable[[str], str | None]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _policies: dict[str, str | None] = field(default_factory=dict[str, str | None])
    _keys: dict[str, str | None] = field(default_factory=dict[str, str | None])

    def identities(self) -> Identities:
        return self.directory.reading()

    def ec2_tags(self, identifier: str) -> Mapping[str, str]:
        if not identifier.startswith("i-"):
            return self.directory.reading().ec2_tags.get(identifier, {})
        try:
            answer = self.client("ec2").describe_instances(InstanceIds=[identifier])
        except ClientError as error:
            if _code(error).startswith("InvalidInstanceID"):
                return {}
            raise
        reservations = cast("list[dict[str, list[dict[str, list[dict[str, str]]]]]]", answer["Reservations"])
        rows = [tag for one in reservations for each in one["Instances"] for tag in each.get("Tags", [])]
        return {row["Key"]: row["Value"] for row in rows}

    def tied(self, association: str) -> str | None:
        client = self.client("ec2")
        if association.startswith("eipassoc-"):
            named = [{"Name": "association-id", "Values": [association]}]
            rows, key = client.describe_addresses(Filters=named)["Addresses"], "AllocationId"
        else:
            named = [{"Name": "association.route-table-association-id", "Values": [association]}]
            rows, key = client.describe_route_tables(Filters=named)["RouteTables"], "RouteTableId"
        found = cast("list[dict[str, str]]", rows)
        return found[0][key] if found else None

    def partition_key(self, table: str) -> str | None:
        return self.partition_key_of(table)

    def bucket_policy(self, bucket: str) -> str | None:
        with self._lock:
            if bucket not in self._policies:
                self._policies[bucket] = self._read_policy(bucket)
            return self._policies[bucket]

    def bucket_key(self, bucket: str) -> str | None:
        with self._lock:
            if bucket not in self._keys:
                self._keys[bucket] = self._read_key(bucket)
            return self._keys[bucket]

    def forget_buckets(self) -> None:
        """To be called after every write to a bucket's configuration."""
        with self._lock:
            self._policies.clear()
            self._keys.clear()

    def group(self, name: str) -> Group | None:
        answer = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        groups = cast("list[dict[str, object]]", answer["AutoScalingGroups"])
        if not groups:
            return None
        tags = cast("list[dict[str, str]]", groups[0].get("Tags", []))
        return Group(arn=str(groups[0]["AutoScalingGroupARN"]), tags={tag["Key"]: tag.get("Value", "") for tag in tags})

    def group_of_instance(self, instance: str) -> Group | None:
        answer = self.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])
        found = cast("list[dict[str, str]]", answer["AutoScalingInstances"])
        return self.group(found[0]["AutoScalingGroupName"]) if found else None

    def _read_policy(self, bucket: str) -> str | None:
        try:
            return self.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
        except ClientError as error:
            if _code(error) in ("NoSuchBucketPolicy", "NoSuchBucket"):
                return None
            raise

    def _read_key(self, bucket: str) -> str | None:
        try:
            answer = self.client("s3").get_bucket_encryption(Bucket=bucket)
        except ClientError as error:
            if _code(error) in ("ServerSideEncryptionConfigurationNotFoundError", "NoSuchBucket"):
                return None
            raise
        rules = cast("dict[str, list[dict[str, dict[str, str]]]]", answer["ServerSideEncryptionConfiguration"])["Rules"]
        return rules[0]["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID") if rules else None


def _code(error: ClientError) -> str:
    response = cast("dict[str, dict[str, str]]", error.response)  # pyright: ignore[reportUnknownMemberType]
    return str(response.get("Error", {}).get("Code"))
