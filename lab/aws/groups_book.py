"""All autoscaling groups, their members, activities and refreshes. Safe to use from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

from lab.aws.groups import Activity, Group, Member, Refresh
from lab.aws.launcher_values import Refused

# "DescribeScalingActivities": for six weeks; the lab is never up that long, and keeps the last of each group.
KEPT_ACTIVITIES = 200


class GroupBook:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._groups: dict[str, Group] = {}
        self._members: dict[str, Member] = {}
        self._member_group: dict[str, str] = {}
        self._activities: list[Activity] = []
        self._refreshes: list[Refresh] = []

    def groups(self) -> tuple[Group, ...]:
        with self.lock:
            return tuple(self._groups.values())

    def find(self, name: str) -> Group | None:
        with self.lock:
            return self._groups.get(name)

    def get(self, name: str) -> Group:
        group = self.find(name)
        if group is None:
            raise Refused("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return group

    def put(self, group: Group) -> Group:
        with self.lock:
            self._groups[group.name] = group
        return group

    def drop(self, name: str) -> None:
        with self.lock:
            self._groups.pop(name, None)

    def members(self, group: str | None = None) -> tuple[Member, ...]:
        with self.lock:
            return tuple(m for m in self._members.values() if group in (None, self._member_group[m.instance]))

    def member(self, instance: str) -> tuple[Group, Member]:
        with self.lock:
            if instance not in self._members:
                message = f"Instance Id not found - No managed instance found for instance ID: {instance}"
                raise Refused("ValidationError", message)
            return self._groups[self._member_group[instance]], self._members[instance]

    def group_of(self, instance: str) -> str:
        with self.lock:
            return self._member_group[instance]

    def put_member(self, member: Member, group: str | None = None) -> Member:
        with self.lock:
            if group is not None:
                self._member_group[member.instance] = group
            self._members[member.instance] = member
        return member

    def drop_member(self, instance: str) -> None:
        with self.lock:
            self._members.pop(instance, None)
            self._member_group.pop(instance, None)

    def begin(self, group: str, description: str, cause: str, details: str) -> Activity:
        started = self._clock()
        stamp = started.strftime("%Y-%m-%dT%H:%M:%SZ")
        activity = Activity(
            id=str(uuid4()),
            group=group,
            description=description,
            cause=f"At {stamp} {cause}.",
            started=started,
            ended=None,
            status="InProgress",
            message="",
            details=details,
        )
        with self.lock:
            self._activities = [*self._activities[-KEPT_ACTIVITIES:], activity]
        return activity

    def end(self, activity_id: str, status: Literal["Successful", "Failed", "Cancelled"], message: str = "") -> None:
        with self.lock:
            self._activities = [
                replace(a, status=status, ended=self._clock(), message=message)
                if a.id == activity_id and a.ended is None
                else a
                for a in self._activities
            ]

    def describe_activity(self, activity_id: str, description: str) -> None:
        with self.lock:
            self._activities = [
                replace(a, description=description) if a.id == activity_id else a for a in self._activities
            ]

    def activities(self, group: str | None = None) -> tuple[Activity, ...]:
        """The newest first."""
        with self.lock:
            return tuple(a for a in reversed(self._activities) if group in (None, a.group))

    def failed_lately(self, group: str, within: timedelta) -> bool:
        """A launch that failed is tried again after a while, not at once."""
        latest = next((a for a in self.activities(group) if a.description.startswith("Launching")), None)
        return latest is not None and latest.status == "Failed" and self._clock() - latest.started < within

    def refreshes(self, group: str) -> tuple[Refresh, ...]:
        """The newest first."""
        with self.lock:
            return tuple(r for r in reversed(self._refreshes) if r.group == group)

    def put_refresh(self, refresh: Refresh) -> Refresh:
        with self.lock:
            kept = [r for r in self._refreshes if r.id != refresh.id]
            position = next((i for i, r in enumerate(self._refreshes) if r.id == refresh.id), len(kept))
            self._refreshes = [*kept[:position], refresh, *kept[position:]]
        return refresh
