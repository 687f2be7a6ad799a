"""What people may do with the registry, as managed policies: a platform team attaches them to its own roles or users.

Three, whatever the number of tenants: an enroller's tenant is a tag (twinlock/registry/policies.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.iam.policy import Policy

from components.aws.tags import tags
from twinlock.registry import policies

DESCRIPTIONS = {
    "reader": "Sees peers and gateways",
    "enroller": f"Enrols peers of the tenant that the tag {policies.TENANT_TAG} names",
    "approver": "Approves and revokes peers of every tenant",
}


@dataclass(frozen=True, kw_only=True)
class PeopleArgs:
    environment: str
    table_arn: str
    discovery_arn: str
    auto_tenants: tuple[str, ...]  # those whose enrollers let in by themselves
    key_arn: pulumi.Output[str] | None  # where tenants have pre-shared keys


class People(ComponentResource):
    """Makes no users and no roles: whom the policies are for is not the program's to say."""

    policies: dict[str, pulumi.Output[str]]  # "reader", "enroller", "approver" -> ARN

    def __init__(self, name: str, args: PeopleArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:People", name, None, opts)
        self._name, self._args = name, args
        written = {
            "reader": policies.reader(args.table_arn, args.discovery_arn),
            "enroller": self._enroller(),
            "approver": policies.approver(args.table_arn, args.discovery_arn),
        }
        self.policies = {kind: self._policy(kind, document).arn for kind, document in written.items()}
        self.register_outputs({"policies": self.policies})

    def _enroller(self) -> pulumi.Input[Mapping[str, object]]:
        args = self._args
        if args.key_arn is None:
            return policies.enroller(args.table_arn, args.discovery_arn, args.auto_tenants)
        return args.key_arn.apply(
            lambda arn: policies.enroller(
                args.table_arn, args.discovery_arn, args.auto_tenants, policies.DataKeyOf(args.environment, arn)
            )
        )

    def _policy(self, kind: str, document: pulumi.Input[Mapping[str, object]]) -> Policy:
        name = f"{self._name}-{kind}"
        return Policy(
            name,
            name=name,
            description=f"{DESCRIPTIONS[kind]} in the Twinlock environment {self._args.environment}",
            # Without white space: a managed policy holds 6,144 characters.
            policy=pulumi.Output.from_input(document).apply(lambda found: json.dumps(found, separators=(",", ":"))),
            tags=tags(self._args.environment, "people", name),
            opts=ResourceOptions(parent=self),
        )
