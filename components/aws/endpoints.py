"""The private doors to storage and to the registry, and what their policies let through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2.vpc_endpoint import VpcEndpoint

from components.aws import permissions
from components.aws.tags import tags


@dataclass(frozen=True, kw_only=True)
class EndpointsArgs:
    environment: str
    region: str
    vpc_id: pulumi.Input[str]
    route_tables: Sequence[pulumi.Input[str]]
    bucket_arns: Sequence[pulumi.Input[str]]
    agent_bucket_arn: pulumi.Input[str]
    other_buckets: Literal["refuse", "allow"]
    table_arn: pulumi.Input[str]


class Endpoints(ComponentResource):
    """Gateway endpoints: routes of the network's tables, no address of their own, no price."""

    storage: VpcEndpoint
    registry: VpcEndpoint

    def __init__(self, name: str, args: EndpointsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Endpoints", name, None, opts)
        self._name, self._args = name, args
        self.storage = self._endpoint(
            "s3", permissions.storage_endpoint(args.bucket_arns, args.agent_bucket_arn, args.other_buckets)
        )
        self.registry = self._endpoint("dynamodb", permissions.registry_endpoint(args.table_arn))
        self.register_outputs({"storage": self.storage.id, "registry": self.registry.id})

    def _endpoint(self, service: str, policy: Sequence[permissions.Statement]) -> VpcEndpoint:
        return VpcEndpoint(
            f"{self._name}-{service}",
            vpc_id=self._args.vpc_id,
            service_name=f"com.amazonaws.{self._args.region}.{service}",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(self._args.route_tables),
            policy=permissions.document(policy),
            tags=tags(self._args.environment, "endpoints", f"{self._name}-{service}"),
            opts=ResourceOptions(parent=self),
        )
