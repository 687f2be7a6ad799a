"""The gateways' security group: the plan's rules and nothing else; and the interface endpoints', for gateways alone."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2.security_group import SecurityGroup
from pulumi_aws.vpc.security_group_egress_rule import SecurityGroupEgressRule
from pulumi_aws.vpc.security_group_ingress_rule import SecurityGroupIngressRule

from components.aws.tags import tags
from components.plan import FilterRule

# AWS's word for every protocol, which then has no ports.
EVERY_PROTOCOL = "-1"


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    environment: str
    vpc_id: pulumi.Input[str]
    rules: tuple[FilterRule, ...]
    storage_prefix_list: pulumi.Input[str]
    registry_prefix_list: pulumi.Input[str]
    interface_endpoints: bool


class Firewall(ComponentResource):
    """A rule each, so that a change of one disturbs no other."""

    group_id: pulumi.Output[str]
    endpoints_group_id: pulumi.Output[str] | None  # where the environment has interface endpoints
    rules: tuple[SecurityGroupIngressRule | SecurityGroupEgressRule, ...]  # all, the endpoints' own too

    def __init__(self, name: str, args: FirewallArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Firewall", name, None, opts)
        self._name, self._args = name, args
        self.group_id = self._group("gateway", "Gateways").id
        endpoints = self._group("endpoints", "Interface endpoints").id if args.interface_endpoints else None
        self.endpoints_group_id = endpoints
        self.rules = (
            *(self._rule(rule) for rule in args.rules),
            *([self._from_gateways(endpoints)] if endpoints is not None else []),
        )
        self.register_outputs({"groupId": self.group_id})

    def _group(self, part: str, what: str) -> SecurityGroup:
        return SecurityGroup(
            f"{self._name}-{part}",
            name=f"{self._name}-{part}",
            description=f"{what} of the Twinlock environment {self._args.environment}",
            vpc_id=self._args.vpc_id,
            tags=self._tags(part),
            opts=ResourceOptions(parent=self),
        )

    def _from_gateways(self, endpoints: pulumi.Output[str]) -> SecurityGroupIngressRule:
        return SecurityGroupIngressRule(
            f"{self._name}-endpoints-in",
            security_group_id=endpoints,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            referenced_security_group_id=self.group_id,
            description="gateways",
            tags=self._tags("endpoints-in"),
            opts=ResourceOptions(parent=self),
        )

    def _rule(self, rule: FilterRule) -> SecurityGroupIngressRule | SecurityGroupEgressRule:
        kind = SecurityGroupIngressRule if rule.direction == "in" else SecurityGroupEgressRule
        groups = {"gateways": self.group_id, "endpoints": self.endpoints_group_id}
        lists = {"storage": self._args.storage_prefix_list, "registry": self._args.registry_prefix_list}
        return kind(
            f"{self._name}-{rule.name}",
            security_group_id=self.group_id,
            ip_protocol=EVERY_PROTOCOL if rule.protocol == "any" else rule.protocol,
            from_port=rule.ports[0] if rule.ports else None,
            to_port=rule.ports[1] if rule.ports else None,
            cidr_ipv4=None if rule.other in {**groups, **lists} or ":" in rule.other else rule.other,
            cidr_ipv6=rule.other if ":" in rule.other else None,
            referenced_security_group_id=groups.get(rule.other),
            prefix_list_id=lists.get(rule.other),
            description=rule.description,
            tags=self._tags(rule.name),
            opts=ResourceOptions(parent=self),
        )

    def _tags(self, part: str) -> dict[str, str]:
        return tags(self._args.environment, "firewall", f"{self._name}-{part}")
