"""A slot's role: what its gateway may do, and nothing of another's."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.iam.instance_profile import InstanceProfile
from pulumi_aws.iam.role import Role
from pulumi_aws.iam.role_policy import RolePolicy

from components.aws import permissions
from components.aws.tags import tags


@dataclass(frozen=True, kw_only=True)
class GatewayRoleArgs:
    environment: str
    may: permissions.GatewayRole
    boundary: str | None  # ARN of the policy that the role can't exceed


class GatewayRole(ComponentResource):
    """Taken by the slot's machine through its metadata service; there is no key to keep."""

    profile_arn: pulumi.Output[str]
    policy: RolePolicy

    def __init__(self, name: str, args: GatewayRoleArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:GatewayRole", name, None, opts)
        described = tags(args.environment, "gateways", name)
        role = Role(
            f"{name}-role",
            name=name,
            description=f"Gateway {args.may.slot} of the Twinlock environment {args.environment}",
            assume_role_policy=permissions.trusts_ec2(),
            permissions_boundary=args.boundary,
            tags=described,
            opts=ResourceOptions(parent=self),
        )
        self.policy = RolePolicy(
            f"{name}-policy",
            name="gateway",
            role=role.name,
            policy=permissions.document(permissions.gateway(args.may)),
            opts=ResourceOptions(parent=self),
        )
        profile = InstanceProfile(
            f"{name}-profile", name=name, role=role.name, tags=described, opts=ResourceOptions(parent=self)
        )
        self.profile_arn = profile.arn
        self.register_outputs({"profileArn": self.profile_arn})
