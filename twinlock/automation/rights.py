"""What the deployer of an environment must be allowed, as IAM documents by name."""

from __future__ import annotations

from collections.abc import Mapping

from components.aws import deployer
from components.models import Settings as EnvironmentSpec


def rights(wanted: EnvironmentSpec, account: str) -> dict[str, Mapping[str, object]]:
    """ "network", "data" and "roles" for the deployer; "boundary" for the roles that the program makes."""
    return {**deployer.policies(wanted, account), "boundary": deployer.boundary(wanted, account)}
