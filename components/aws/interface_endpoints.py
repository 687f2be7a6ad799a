"""Private addresses for the cloud's APIs, so that gateways need no way to the internet but their clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2._inputs import VpcEndpointDnsOptionsArgs
from pulumi_aws.ec2.get_network_interface import get_network_interface_output
from pulumi_aws.ec2.vpc_endpoint import VpcEndpoint

from components.aws import permissions
from components.aws.tags import tags

# What a gateway calls beside storage, which has a policy of its own, and the registry, whose gateway endpoint does.
# Each costs by the hour and zone.
SERVICES = ("autoscaling", "ec2", "secretsmanager")


@dataclass(frozen=True, kw_only=True)
class InterfaceEndpointsArgs:
    environment: str
    region: str
    account: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    group_id: pulumi.Input[str]
    storage_policy: Sequence[permissions.Statement]
    after: pulumi.Resource
    preshared_keys: bool  # gateways open tenants' data keys


class InterfaceEndpoints(ComponentResource):
    """The services' own names lead to them inside the network; only the account's own principals pass."""

    storage: VpcEndpoint
    all: tuple[VpcEndpoint, ...]

    def __init__(self, name: str, args: InterfaceEndpointsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:InterfaceEndpoints", name, None, opts)
        self._name, self._args = name, args
        # S3's names lead here from inside of the network, too, which AWS leaves to its gateway endpoint unless told.
        inside = VpcEndpointDnsOptionsArgs(private_dns_only_for_inbound_resolver_endpoint=False)
        self.storage = self._endpoint("s3", args.storage_policy, inside)
        own = permissions.own_account(args.account)
        services = (*SERVICES, *(["kms"] if args.preshared_keys else []))
        self.all = (self.storage, *(self._endpoint(service, own) for service in services))
        self.register_outputs({"endpoints": [endpoint.id for endpoint in self.all]})

    def storage_addresses(self) -> pulumi.Output[list[str]]:
        """Private ones, that the storage's names lead to: one a zone."""
        return self.storage.network_interface_ids.apply(
            lambda found: pulumi.Output.all(*(get_network_interface_output(id=one).private_ip for one in sorted(found)))
        )

    def _endpoint(
        self, service: str, policy: Sequence[permissions.Statement], names: VpcEndpointDnsOptionsArgs | None = None
    ) -> VpcEndpoint:
        args = self._args
        return VpcEndpoint(
            f"{self._name}-private-{service}",
            vpc_id=args.vpc_id,
            service_name=f"com.amazonaws.{args.region}.{service}",
            vpc_endpoint_type="Interface",
            subnet_ids=list(args.subnet_ids),
            security_group_ids=[args.group_id],
            private_dns_enabled=True,
            dns_options=names,
            policy=permissions.document(policy),
            tags=tags(args.environment, "endpoints", f"{self._name}-private-{service}"),
            opts=ResourceOptions(parent=self, depends_on=[args.after]),
        )
