"""A slot's interface and its public address: what outlives every gateway that stands there."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2.eip import Eip
from pulumi_aws.ec2.eip_association import EipAssociation
from pulumi_aws.ec2.network_interface import NetworkInterface

from components.aws.tags import tags
from components.plan import SlotPlan


@dataclass(frozen=True, kw_only=True)
class AddressesArgs:
    environment: str
    slot: SlotPlan
    subnet_id: pulumi.Input[str]
    group_id: pulumi.Input[str]
    private_address6: pulumi.Input[str] | None  # None: the network has no IPv6
    after: tuple[pulumi.Resource, ...] = ()  # what goes when the interface is gone


class Addresses(ComponentResource):
    """Known before anything boots: clients' endpoints, the twin's address, the policies' source addresses."""

    interface_id: pulumi.Output[str]
    public_address: pulumi.Output[str]
    association: EipAssociation

    def __init__(self, name: str, args: AddressesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Addresses", name, None, opts)
        self._name, self._args = name, args
        interface, address = self._interface(), self._address()
        self.association = EipAssociation(
            f"{name}-association",
            allocation_id=address.allocation_id,
            network_interface_id=interface.id,
            opts=ResourceOptions(parent=self),
        )
        self.interface_id, self.public_address = interface.id, address.public_ip
        self.register_outputs({"publicAddress": self.public_address})

    def _interface(self) -> NetworkInterface:
        slot = self._args.slot
        return NetworkInterface(
            f"{self._name}-interface",
            subnet_id=self._args.subnet_id,
            private_ips=[slot.private_address, *([slot.floating_address] if slot.floating_address else [])],
            ipv4_prefixes=list(slot.source_prefixes) or None,
            ipv6_addresses=None if self._args.private_address6 is None else [self._args.private_address6],
            security_groups=[self._args.group_id],
            # It forwards packets that are not its own.
            source_dest_check=False,
            description=f"{self._name}: outlives its gateways",
            tags=self._tags("interface"),
            opts=ResourceOptions(parent=self, depends_on=list(self._args.after)),
        )

    def _address(self) -> Eip:
        return Eip(f"{self._name}-address", domain="vpc", tags=self._tags("address"), opts=ResourceOptions(parent=self))

    def _tags(self, part: str) -> dict[str, str]:
        return tags(self._args.environment, "gateways", f"{self._name}-{part}")
