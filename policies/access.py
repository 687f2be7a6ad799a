"""What roles may do."""

from __future__ import annotations

from collections.abc import Iterator

from policies.resource import Resource, Value, mappings, statements, texts
from policies.rule import Rule

POLICIES = (
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/policy:Policy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
)
ROLE = "aws:iam/role:Role"
ATTACHMENTS = (
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
)
# Services that know no resource for the action, so that there is nothing to name: the reason beside each.
UNNAMEABLE = {
    "cloudwatch:PutMetricData": "a metric is no resource; its namespace is a condition",
    "ec2:DescribeAddresses": "EC2's descriptions know no resources",
    "ec2:DescribeInstances": "EC2's descriptions know no resources",
    "ec2:DescribeNetworkInterfaces": "EC2's descriptions know no resources",
    "autoscaling:DescribeAutoScalingGroups": "Auto Scaling's descriptions know no resources",
    "autoscaling:DescribeAutoScalingInstances": "Auto Scaling's descriptions know no resources",
}


def _wildcards(resource: Resource) -> Iterator[str]:
    for one in (one for document in _documents(resource) for one in statements(document)):
        if one.effect != "Allow":
            continue
        for action in one.actions:
            if "*" in action:
                yield f"allows {action}: name the actions"
        if one.other_than:
            yield f"allows everything but {one.other_than[0]}: name the actions"
        if one.other_resources:
            yield f"allows {', '.join(one.actions)} on everything but {one.other_resources[0]}: name the resources"
        named = [action for action in one.actions if action not in UNNAMEABLE]
        if named and any(_everything(arn) for arn in one.resources):
            yield f"allows {named[0]} on every resource: name the resources"


def _documents(resource: Resource) -> Iterator[Value]:
    if resource.type in POLICIES:
        yield resource.get("policy")
    if resource.type == ROLE:
        for inline in mappings(resource.get("inlinePolicies")):
            yield inline.get("policy")


def _administrators(resource: Resource) -> Iterator[str]:
    """What AWS wrote for people who may do anything, given to a role, a user or a group."""
    given = (
        resource.get("managedPolicyArns") if resource.type == ROLE
        else resource.get("policyArn") if resource.type in ATTACHMENTS
        else None
    )  # fmt: skip
    for arn in texts(given):
        if arn.startswith("arn:aws:iam::aws:") and arn.endswith(("/AdministratorAccess", "FullAccess")):
            yield f"gets {arn.rpartition('/')[2]}: write a policy that names actions and resources"


def _trust(resource: Resource) -> Iterator[str]:
    if resource.type == ROLE:
        for one in statements(resource.get("assumeRolePolicy")):
            if one.effect == "Allow" and one.everyone and not one.condition:
                yield "may be taken by anybody of any account: name who may in assumeRolePolicy"


def _everything(arn: str) -> bool:
    """`*`, and an ARN whose resource is nothing but wildcards, such as arn:aws:s3:::*."""
    return not arn.split(":", 5)[-1].strip("*/") if arn.startswith("arn:") else arn == "*"


RULES = (
    Rule(
        name="no-wildcards",
        description="Roles name their actions and resources.",
        controls=("IAM.1", "IAM.21", "CIS 1.16", "CKV_AWS_62", "CKV_AWS_63", "CKV_AWS_290", "CKV_AWS_355"),
        check=_wildcards,
    ),
    Rule(
        name="no-administrators",
        description="No role gets a policy of AWS's own that allows everything.",
        controls=("IAM.1", "CIS 1.16", "CKV_AWS_274"),
        check=_administrators,
    ),
    Rule(
        name="named-trust",
        description="A role says who may take it.",
        controls=("CKV_AWS_60",),
        check=_trust,
    ),
)
