"""The public address that follows whoever serves: for clients that can hold but one peer."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2.eip import Eip

from components.aws.tags import tags


@dataclass(frozen=True, kw_only=True)
class FloatingIpArgs:
    environment: str


class FloatingIp(ComponentResource):
    """Gateways associate it themselves: an association of the program's would take it back at the next deployment."""

    address: Eip

    def __init__(self, name: str, args: FloatingIpArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:FloatingIp", name, None, opts)
        self.address = Eip(
            f"{name}-floating",
            domain="vpc",
            tags=tags(args.environment, "gateways", f"{name}-floating"),
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({"publicAddress": self.address.public_ip})

    @property
    def public_address(self) -> pulumi.Output[str]:
        return self.address.public_ip
