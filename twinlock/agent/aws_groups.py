"""What groups are asked for: a new machine for a hung twin's, which a role may ask this environment's groups, and one
for this gateway's own, which it may ask its own slot's group alone."""

from __future__ import annotations

from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.agent.errors import CloudUnavailable


class AutoScaling(Protocol):
    """What is used of the client of Auto Scaling."""

    def set_instance_health(self, **arguments: object) -> object: ...
    def terminate_instance_in_auto_scaling_group(self, **arguments: object) -> object: ...


def report_unhealthy(groups: AutoScaling, instance_id: str) -> None:
    """A machine younger than its group's grace period is left alone. Raises CloudUnavailable."""
    try:
        groups.set_instance_health(InstanceId=instance_id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=True)
    except (BotoCoreError, ClientError) as exc:
        raise CloudUnavailable(f"reporting {instance_id}: {' '.join(str(exc).split())}") from exc


def replace_own(groups: AutoScaling, instance_id: str) -> None:
    """The group launches another machine as soon as this one is gone. Raises CloudUnavailable."""
    try:
        groups.terminate_instance_in_auto_scaling_group(InstanceId=instance_id, ShouldDecrementDesiredCapacity=False)
    except (BotoCoreError, ClientError) as exc:
        raise CloudUnavailable(f"replacing {instance_id}: {' '.join(str(exc).split())}") from exc
