"""Roles for the lab's people: who reads, who enrols for a tenant, who approves, each with the deployed policy."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lab.aws.control import ControlPlane
from lab.aws.launcher_values import Backend
from twinlock.registry.policies import TENANT_TAG

TENANTS = ("red", "blue", "jobs", "strict")


def make_roles(control: ControlPlane, backend: Backend, *, policies: Mapping[str, str]) -> None:
    """Roles `lab-reader`, `lab-approver` and `lab-enroller-TENANT`; `policies`: the stack's output. Once is enough."""
    trust = json.dumps(_trust(control.account))
    roles = {"lab-reader": "reader", "lab-approver": "approver"}
    roles |= {f"lab-enroller-{tenant}": "enroller" for tenant in TENANTS}
    for role, policy in roles.items():
        tenant = role.removeprefix("lab-enroller-")
        tags = [{"Key": TENANT_TAG, "Value": tenant}] if tenant in TENANTS else []
        backend("iam", "CreateRole", {"RoleName": role, "AssumeRolePolicyDocument": trust, "Tags": tags})
        backend("iam", "AttachRolePolicy", {"RoleName": role, "PolicyArn": policies[policy]})


def _trust(account: str) -> dict[str, object]:
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}
