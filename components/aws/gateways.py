"""A slot's gateway: a group of one machine that launches into the slot's own interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.autoscaling._inputs import (
    GroupInstanceMaintenancePolicyArgs,
    GroupLaunchTemplateArgs,
    GroupTagArgs,
)
from pulumi_aws.autoscaling.group import Group
from pulumi_aws.ec2._inputs import (
    LaunchTemplateBlockDeviceMappingArgs,
    LaunchTemplateBlockDeviceMappingEbsArgs,
    LaunchTemplateIamInstanceProfileArgs,
    LaunchTemplateMetadataOptionsArgs,
    LaunchTemplateNetworkInterfaceArgs,
    LaunchTemplateTagSpecificationArgs,
)
from pulumi_aws.ec2.launch_template import LaunchTemplate

from components.aws.tags import tags
from components.models import Gateway as GatewaySettings
from components.plan import SlotPlan

# The root disk's name in Debian's images for EC2.
ROOT_DISK = "/dev/xvda"
# Seconds that a new machine has before a failed status check counts.
GRACE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    environment: str
    slot: SlotPlan
    gateway: GatewaySettings
    interface_id: pulumi.Input[str]
    profile_arn: pulumi.Input[str]
    user_data: pulumi.Input[str]  # base64
    ready: Sequence[pulumi.Resource]  # what must stand before a machine boots


class Gateway(ComponentResource):
    """Whatever dies is replaced at the same addresses. A new template version takes no machine: gateways
    see that they are outdated and replace themselves one after the other (twinlock/agent/rolling.py)."""

    template: LaunchTemplate
    group: Group

    def __init__(self, name: str, args: GatewayArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Gateway", name, None, opts)
        self._name, self._args = name, args
        self._tags = tags(args.environment, "gateways", name)
        self.template = self._template()
        self.group = self._group()
        self.register_outputs({"group": self.group.name})

    def _template(self) -> LaunchTemplate:
        args = self._args
        return LaunchTemplate(
            f"{self._name}-template",
            name=self._name,
            description=f"Gateway {args.slot.name} of the Twinlock environment {args.environment}",
            image_id=args.gateway.image,
            instance_type=args.gateway.instance_type,
            iam_instance_profile=LaunchTemplateIamInstanceProfileArgs(arn=args.profile_arn),
            metadata_options=LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[self._disk()],
            # Nothing but the interface: its own groups and addresses count, and AWS refuses to hear them twice.
            network_interfaces=[
                LaunchTemplateNetworkInterfaceArgs(
                    device_index=0, network_interface_id=args.interface_id, delete_on_termination="false"
                )
            ],
            user_data=args.user_data,
            tag_specifications=[
                LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=self._tags)
                for kind in ("instance", "volume")
            ],
            tags=self._tags,
            opts=ResourceOptions(parent=self),
        )

    def _disk(self) -> LaunchTemplateBlockDeviceMappingArgs:
        return LaunchTemplateBlockDeviceMappingArgs(
            device_name=ROOT_DISK,
            ebs=LaunchTemplateBlockDeviceMappingEbsArgs(
                encrypted="true",
                volume_type="gp3",
                volume_size=self._args.gateway.disk_gib,
                delete_on_termination="true",
            ),
        )

    def _group(self) -> Group:
        """The one form that AWS takes with an existing interface: a zone and no subnet, one machine, an exact version,
        and the old machine gone before the new one comes."""
        return Group(
            f"{self._name}-group",
            name=self._name,
            availability_zones=[self._args.slot.zone],
            min_size=1,
            max_size=1,
            desired_capacity=1,
            launch_template=GroupLaunchTemplateArgs(
                id=self.template.id, version=self.template.latest_version.apply(str)
            ),
            instance_maintenance_policy=GroupInstanceMaintenancePolicyArgs(
                min_healthy_percentage=0, max_healthy_percentage=100
            ),
            health_check_type="EC2",
            health_check_grace_period=GRACE_SECONDS,
            tags=[GroupTagArgs(key=key, value=value, propagate_at_launch=False) for key, value in self._tags.items()],
            opts=ResourceOptions(parent=self, depends_on=list(self._args.ready)),
        )
