"""A hung gateway's group is told, and replaces the machine; the role may do so to this environment's groups alone."""

from __future__ import annotations

from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.agent.errors import CloudUnavailable


class AutoScaling(Protocol):
    """What is used of the client of Auto Scaling."""

    def set_instance_health(self, **arguments: object) -> object: ...


def report_unhealthy(groups: AutoScaling, instance_id: str) -> None:
    """A machine younger than its group's grace period is left alone. Raises CloudUnavailable."""
    try:
        groups.set_instance_health(InstanceId=instance_id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=True)
    except (BotoCoreError, ClientError) as exc:
        raise CloudUnavailable(f"reporting {instance_id}: {' '.join(str(exc).split())}") from exc
