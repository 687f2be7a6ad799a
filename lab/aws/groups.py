"""Autoscaling groups as plain data, and what a group does next: pure, no clock, no cloud."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

# "Amazon EC2 Auto Scaling instance lifecycle"; Warmed:… and Standby are not kept here.
Lifecycle = Literal[
    "Pending", "Pending:Wait", "Pending:Proceed", "InService",
    "Terminating", "Terminating:Wait", "Terminating:Proceed", "Terminated",
]  # fmt: skip
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
RefreshStatus = Literal[
    "Pending", "InProgress", "Successful", "Failed", "Cancelling", "Cancelled",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tag:
    key: str
    value: str
    propagate: bool


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A lifecycle hook; timeouts in seconds."""

    name: str
    transition: str
    timeout: int
    default_result: Literal["CONTINUE", "ABANDON"]
    metadata: str
    target: str
    role: str


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A hook that holds an instance."""

    hook: str
    token: str
    deadline: datetime


@dataclass(frozen=True, kw_only=True)
class Member:
    """An instance of a group."""

    instance: str
    zone: str
    type: str
    template: str
    template_name: str
    template_version: str
    lifecycle: Lifecycle
    healthy: bool
    protected: bool
    joined: datetime
    activity: str  # id of the activity that is going on with it
    waits: tuple[Wait, ...] = ()

    @property
    def leaving(self) -> bool:
        return self.lifecycle.startswith("Terminat")


@dataclass(frozen=True, kw_only=True)
class Group:
    name: str
    arn: str
    template: str  # id
    template_name: str
    template_version: str  # as given: a number, $Latest or $Default
    minimum: int
    maximum: int
    desired: int
    zones: tuple[str, ...]
    subnets: tuple[str, ...]
    health_check: str
    grace: int  # seconds
    cooldown: int
    warmup: int
    healthy_min: int  # percent of the maintenance policy; -1 for none
    healthy_max: int
    protect_new: bool
    tags: tuple[Tag, ...]
    hooks: tuple[Hook, ...]
    suspended: frozenset[str]
    created: datetime
    service_role: str
    deleting: bool = False


@dataclass(frozen=True, kw_only=True)
class Activity:
    """A scaling activity, as people read it."""

    id: str
    group: str
    description: str
    cause: str
    started: datetime
    ended: datetime | None
    status: Literal["InProgress", "Successful", "Failed", "Cancelled"]
    message: str
    details: str  # JSON


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """An instance refresh; `after` is the version that it brings, `waited` since when nothing is left to replace."""

    id: str
    group: str
    status: RefreshStatus
    started: datetime
    ended: datetime | None
    healthy_min: int
    healthy_max: int
    warmup: int
    skip_matching: bool
    reason: str
    old: tuple[str, ...]  # instances that it has still to replace, or to skip
    total: int


@dataclass(frozen=True)
class Terminate:
    instance: str
    cause: str


@dataclass(frozen=True)
class Launch:
    cause: str


Step = Terminate | Launch


def next_steps(group: Group, members: Sequence[Member]) -> tuple[Step, ...]:
    """What brings a group nearer to what it should be.

    With a maintenance policy of at most 100 percent a replacement waits until what it replaces is gone ("Instance
    maintenance policies": terminate before launching); with at least 100 percent it is launched first. Without one,
    the unhealthy is terminated and its replacement is launched without waiting.
    """
    if group.deleting:
        return tuple(Terminate(m.instance, _DELETED) for m in members if not m.leaving)
    staying = [member for member in members if not member.leaving]
    sick = [member for member in staying if not member.healthy and member.lifecycle == "InService"]
    serving = sum(member.healthy and member.lifecycle == "InService" for member in staying)
    steps: list[Step] = []
    launch_first = group.healthy_min >= 100 and group.healthy_max > 100
    if not group.suspended & {"Terminate", "ReplaceUnhealthy", "HealthCheck"}:
        spare = serving - group.desired if launch_first else 0
        room = max(0, spare + len(sick)) if launch_first else len(sick)
        steps += [Terminate(member.instance, _UNHEALTHY) for member in sick[:room]]
    if "Terminate" not in group.suspended:
        steps += [Terminate(member.instance, _SHRINK) for member in _surplus(group, staying, sick)]
    if "Launch" not in group.suspended:
        steps += [Launch(_GROW)] * _wanted(group, members, staying, sick, steps)
    return tuple(steps)


_DELETED = "the group was deleted with ForceDelete"
_UNHEALTHY = "an instance was taken out of service in response to an EC2 health check indicating it is unhealthy"
_SHRINK = "a difference between desired and actual capacity shrank the group"
_GROW = "an instance was started in response to a difference between desired and actual capacity"


def _surplus(group: Group, staying: Sequence[Member], sick: Sequence[Member]) -> list[Member]:
    """Oldest template first is not asked for here: the oldest instances go first, protected ones never."""
    extra = len(staying) - len(sick) - group.desired
    free = [member for member in staying if member not in sick and not member.protected]
    return sorted(free, key=lambda member: member.joined)[: max(0, extra)]


def _wanted(
    group: Group, members: Sequence[Member], staying: Sequence[Member], sick: Sequence[Member], steps: Sequence[Step]
) -> int:
    going = {step.instance for step in steps if isinstance(step, Terminate)}
    counted = [member for member in staying if member.instance not in going and member not in sick]
    missing = group.desired - len(counted)
    if group.healthy_max >= 0:
        ceiling = math.floor(group.desired * group.healthy_max / 100)
        missing = min(missing, max(ceiling, group.desired) - len(members))
    return max(0, missing)


def next_to_refresh(group: Group, members: Sequence[Member], refresh: Refresh) -> str | None:
    """The next instance that a refresh replaces: one at a time, and only while the group is whole."""
    present = {member.instance: member for member in members}
    left = [present[name] for name in refresh.old if name in present and not present[name].leaving]
    whole = len(members) >= group.desired and all(m.lifecycle == "InService" and m.healthy for m in members)
    if not left or not whole:
        return None
    serving = len(members) - 1
    floor = refresh.healthy_min if refresh.healthy_max <= 100 else 0
    if serving * 100 < floor * group.desired:
        # With one instance and more than 0 percent AWS makes the exception of terminating it, too.
        return left[0].instance if group.desired == 1 else None
    return left[0].instance
