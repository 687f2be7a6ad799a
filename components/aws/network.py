"""The network: a subnet for the gateways and a private one in each zone, and the ways out of them.

In a network that exists these are its own, too, with route tables of their own: no other subnet's way changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2.internet_gateway import InternetGateway
from pulumi_aws.ec2.route import Route
from pulumi_aws.ec2.route_table import RouteTable
from pulumi_aws.ec2.route_table_association import RouteTableAssociation
from pulumi_aws.ec2.subnet import Subnet
from pulumi_aws.ec2.vpc import Vpc

from components.aws.adopted import AdoptedNetwork
from components.aws.existing import ExistingNetwork
from components.aws.tags import tags
from components.ipv6 import host6, subnet6
from components.plan import ANYWHERE, GATEWAY_HOST, PRIVATE_HALF, SlotPlan


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    environment: str
    cidr: str
    ipv6: bool
    cidr6: str | None  # of an existing network
    slots: tuple[SlotPlan, ...]
    existing: ExistingNetwork | None
    adopt: bool  # whether `existing` is imported


class Network(ComponentResource):
    """Only the gateways' subnets have a route to the internet."""

    vpc_id: pulumi.Output[str]
    public_subnets: dict[str, pulumi.Output[str]]  # slot -> id, for gateways alone
    private_subnets: dict[str, pulumi.Output[str]]
    block6: pulumi.Output[str] | None  # the IPv6 network whose first subnets these are; None: there is no IPv6
    gateways6: dict[str, pulumi.Output[str]]  # slot -> the gateway's IPv6 address, if there is any
    route_tables: tuple[pulumi.Output[str], ...]  # all of them, for the endpoints
    ways_out: tuple[pulumi.Resource, ...]  # without one of them a machine reaches nothing

    def __init__(self, name: str, args: NetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Network", name, None, opts)
        self._name, self._args = name, args
        self.vpc_id, self.block6 = self._network()
        self.gateways6 = {} if self.block6 is None else {slot.name: self._gateway6(slot) for slot in args.slots}
        self._public, self._private = self._route_table("public"), self._route_table("private")
        self._associations: list[RouteTableAssociation] = []
        internet_route = self._internet_route()
        self.public_subnets = {slot.name: self._subnet(slot, "public", self._public) for slot in args.slots}
        self.private_subnets = {slot.name: self._subnet(slot, "private", self._private) for slot in args.slots}
        self.ways_out = (internet_route, *self._associations)
        self.route_tables = (self._public.id, self._private.id)
        self.register_outputs({"vpcId": self.vpc_id, "publicSubnets": self.public_subnets})

    def _network(self) -> tuple[pulumi.Output[str], pulumi.Output[str] | None]:
        """Its id, and its IPv6 network."""
        args = self._args
        if args.existing is not None:
            block6 = None if args.cidr6 is None else pulumi.Output.from_input(args.cidr6)
            return self._there_before(args.existing), block6
        vpc = Vpc(
            f"{self._name}-vpc",
            cidr_block=args.cidr,
            assign_generated_ipv6_cidr_block=True if args.ipv6 else None,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags("vpc"),
            opts=ResourceOptions(parent=self),
        )
        return vpc.id, vpc.ipv6_cidr_block if args.ipv6 else None

    def _there_before(self, existing: ExistingNetwork) -> pulumi.Output[str]:
        if not self._args.adopt:
            return pulumi.Output.from_input(existing.vpc_id)
        child = ResourceOptions(parent=self)
        return AdoptedNetwork(f"{self._name}-vpc", existing.vpc_id, existing.cidr, opts=child).vpc.id

    def _gateway6(self, slot: SlotPlan) -> pulumi.Output[str]:
        return self._subnet6(slot, "public").apply(lambda subnet: host6(subnet, GATEWAY_HOST))

    def _subnet6(self, slot: SlotPlan, kind: str) -> pulumi.Output[str]:
        number = slot.number + (0 if kind == "public" else PRIVATE_HALF)
        return pulumi.Output.from_input(self.block6 or "").apply(lambda block: subnet6(block, number))

    def _route_table(self, kind: str) -> RouteTable:
        return RouteTable(
            f"{self._name}-{kind}", vpc_id=self.vpc_id, tags=self._tags(kind), opts=ResourceOptions(parent=self)
        )

    def _internet_gateway(self) -> pulumi.Output[str]:
        """A network has one at most."""
        if self._args.existing is not None:
            return pulumi.Output.from_input(self._args.existing.internet_gateway)
        return InternetGateway(
            f"{self._name}-internet",
            vpc_id=self.vpc_id,
            tags=self._tags("internet"),
            opts=ResourceOptions(parent=self),
        ).id

    def _internet_route(self) -> Route:
        return Route(
            f"{self._name}-internet-route",
            route_table_id=self._public.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=self._internet_gateway(),
            opts=ResourceOptions(parent=self),
        )

    def _subnet(self, slot: SlotPlan, kind: str, table: RouteTable) -> pulumi.Output[str]:
        subnet = Subnet(
            f"{self._name}-{kind}-{slot.name}",
            vpc_id=self.vpc_id,
            cidr_block=slot.public_subnet if kind == "public" else slot.private_subnet,
            ipv6_cidr_block=None if self.block6 is None else self._subnet6(slot, kind),
            availability_zone=slot.zone,
            # A gateway's public address is its slot's own; nothing else gets one.
            map_public_ip_on_launch=False,
            tags=self._tags(f"{kind}-{slot.name}"),
            opts=ResourceOptions(parent=self),
        )
        association = RouteTableAssociation(
            f"{self._name}-{kind}-{slot.name}",
            subnet_id=subnet.id,
            route_table_id=table.id,
            opts=ResourceOptions(parent=self),
        )
        self._associations.append(association)
        return subnet.id

    def _tags(self, part: str) -> dict[str, str]:
        return tags(self._args.environment, "network", f"{self._name}-{part}")
