"""What roles may do."""

from __future__ import annotations

from collections.abc import Iterator

from policies.resource import Resource, statements
from policies.rule import Rule

POLICIES = (
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/policy:Policy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
)
# Services that know no resource for the action, so that there is nothing to name: the reason beside each.
UNNAMEABLE = {
    "cloudwatch:PutMetricData": "a metric is no resource; its namespace is a condition",
    "ec2:DescribeInstances": "EC2's descriptions know no resources",
    "ec2:DescribeNetworkInterfaces": "EC2's descriptions know no resources",
    "autoscaling:DescribeAutoScalingGroups": "Auto Scaling's descriptions know no resources",
    "autoscaling:DescribeAutoScalingInstances": "Auto Scaling's descriptions know no resources",
}


def _wildcards(resource: Resource) -> Iterator[str]:
    if resource.type not in POLICIES:
        return
    for one in statements(resource.get("policy")):
        if one.effect != "Allow":
            continue
        for action in one.actions:
            if "*" in action:
                yield f"allows {action}: name the actions"
        named = [action for action in one.actions if action not in UNNAMEABLE]
        if named and any(_everything(arn) for arn in one.resources):
            yield f"allows {named[0]} on every resource: name the resources"


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
)
