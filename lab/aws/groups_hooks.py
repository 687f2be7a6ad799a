"""Auto Scaling's actions on lifecycle hooks and instance refreshes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from lab.aws.groups import LAUNCHING, TERMINATING, Hook, Member, Refresh, Wait
from lab.aws.groups_book import GroupBook
from lab.aws.groups_describe import hook_document, refresh_document
from lab.aws.groups_loop import GroupLoop
from lab.aws.launcher_template import read_template
from lab.aws.launcher_values import (
    Backend,
    Document,
    Handler,
    Refused,
    Result,
    flag,
    number,
    record,
    text,
    texts,
)


class HookApi:
    def __init__(
        self,
        book: GroupBook,
        loop: GroupLoop,
        backend: Backend,
        kick: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._book, self._loop, self._backend, self._kick, self._clock = book, loop, backend, kick, clock

    def handlers(self) -> dict[str, Handler]:
        return {
            "PutLifecycleHook": self.put,
            "DescribeLifecycleHooks": self.describe,
            "DeleteLifecycleHook": self.delete,
            "CompleteLifecycleAction": self.complete,
            "RecordLifecycleActionHeartbeat": self.heartbeat,
            "StartInstanceRefresh": self.start_refresh,
            "DescribeInstanceRefreshes": self.describe_refreshes,
            "CancelInstanceRefresh": self.cancel_refresh,
        }

    def put(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._book.get(text(asked, "AutoScalingGroupName"))
            name = text(asked, "LifecycleHookName")
            before = next((hook for hook in group.hooks if hook.name == name), None)
            hook = _hook(asked, before)
            others = tuple(item for item in group.hooks if item.name != name)
            if len(others) >= 50:  # "Quotas for Amazon EC2 Auto Scaling"
                raise Refused("LimitExceeded", "You have already reached the limit of 50 lifecycle hooks per group.")
            self._book.put(replace(group, hooks=(*others, hook)))
        return {}

    def describe(self, asked: Document) -> Result:
        group = self._book.get(text(asked, "AutoScalingGroupName"))
        named = texts(asked, "LifecycleHookNames")
        return {"LifecycleHooks": [hook_document(group, h) for h in group.hooks if not named or h.name in named]}

    def delete(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._book.get(text(asked, "AutoScalingGroupName"))
            name = text(asked, "LifecycleHookName")
            kept = tuple(hook for hook in group.hooks if hook.name != name)
            if kept == group.hooks:
                raise Refused("ValidationError", f"No lifecycle hook {name} in group {group.name}")
            self._book.put(replace(group, hooks=kept))
            # "DeleteLifecycleHook": outstanding actions are completed, CONTINUE at termination, ABANDON at launch.
            for member in self._book.members(group.name):
                for wait in (item for item in member.waits if item.hook == name):
                    launching = member.lifecycle.startswith("Pending")
                    self._loop.complete(member, wait, "ABANDON" if launching else "CONTINUE")
        self._kick()
        return {}

    def complete(self, asked: Document) -> Result:
        result = text(asked, "LifecycleActionResult")
        if result not in ("CONTINUE", "ABANDON"):
            raise Refused("ValidationError", f"The lifecycle action result {result} is neither CONTINUE nor ABANDON")
        with self._book.lock:
            member, wait = self._waiting(asked)
            self._loop.complete(member, wait, result)
        self._kick()
        return {}

    def heartbeat(self, asked: Document) -> Result:
        with self._book.lock:
            member, wait = self._waiting(asked)
            group, _ = self._book.member(member.instance)
            hook = next(hook for hook in group.hooks if hook.name == wait.hook)
            later = replace(wait, deadline=self._clock() + timedelta(seconds=hook.timeout))
            waits = tuple(later if item is wait else item for item in member.waits)
            self._book.put_member(replace(member, waits=waits))
        return {}

    def start_refresh(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._book.get(text(asked, "AutoScalingGroupName"))
            if any(refresh.ended is None for refresh in self._book.refreshes(group.name)):
                message = f"An Instance Refresh is already in progress for Auto Scaling group {group.name}."
                raise Refused("InstanceRefreshInProgress", message)
            template = record(record(asked, "DesiredConfiguration"), "LaunchTemplate")
            if template:
                raise Refused("ValidationError", "DesiredConfiguration is not taken here: update the group first.")
            wanted = read_template(
                self._backend, {"LaunchTemplateId": group.template, "Version": group.template_version}
            )
            preferences = record(asked, "Preferences")
            skip = flag(preferences, "SkipMatching")
            members = self._book.members(group.name)
            old = [m for m in members if not (skip and m.template_version == wanted.version)]
            policy = group.healthy_min >= 0
            refresh = Refresh(
                id=str(uuid4()),
                group=group.name,
                status="Pending",
                started=self._clock(),
                ended=None,
                # "RefreshPreferences": the maintenance policy's when there is one, else 90 and 100.
                healthy_min=number(preferences, "MinHealthyPercentage", group.healthy_min if policy else 90),
                healthy_max=number(preferences, "MaxHealthyPercentage", group.healthy_max if policy else 100),
                warmup=number(preferences, "InstanceWarmup", group.warmup),
                skip_matching=skip,
                reason="",
                old=tuple(member.instance for member in old if not member.leaving),
                total=len(old),
            )
            self._book.put_refresh(refresh)
        self._kick()
        return {"InstanceRefreshId": refresh.id}

    def describe_refreshes(self, asked: Document) -> Result:
        group = self._book.get(text(asked, "AutoScalingGroupName"))
        ids = texts(asked, "InstanceRefreshIds")
        present = [member.instance for member in self._book.members(group.name)]
        found = [refresh for refresh in self._book.refreshes(group.name) if not ids or refresh.id in ids]
        return {"InstanceRefreshes": [refresh_document(refresh, present) for refresh in found]}

    def cancel_refresh(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._book.get(text(asked, "AutoScalingGroupName"))
            active = next((refresh for refresh in self._book.refreshes(group.name) if refresh.ended is None), None)
            if active is None:
                message = f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}"
                raise Refused("ActiveInstanceRefreshNotFound", message)
            self._book.put_refresh(replace(active, status="Cancelling", reason="Cancelled by user"))
        self._kick()
        return {"InstanceRefreshId": active.id}

    def _waiting(self, asked: Document) -> tuple[Member, Wait]:
        group = self._book.get(text(asked, "AutoScalingGroupName"))
        hook, token, instance = (
            text(asked, name) for name in ("LifecycleHookName", "LifecycleActionToken", "InstanceId")
        )
        for member in self._book.members(group.name):
            for wait in member.waits:
                named = member.instance == instance or (token and wait.token == token)
                if wait.hook == hook and named and (not token or wait.token == token):
                    return member, wait
        raise Refused("ValidationError", f"No active Lifecycle Action found with instance ID {instance or token}")


def _hook(asked: Document, before: Hook | None) -> Hook:
    name = text(asked, "LifecycleHookName")
    transition = text(asked, "LifecycleTransition", before.transition if before else "")
    if transition not in (LAUNCHING, TERMINATING):
        raise Refused("ValidationError", f"LifecycleTransition {transition!r} is not one of {LAUNCHING}, {TERMINATING}")
    timeout = number(asked, "HeartbeatTimeout", before.timeout if before else 3600)
    if not 30 <= timeout <= 7200:  # "PutLifecycleHook"
        raise Refused("ValidationError", f"HeartbeatTimeout {timeout} is not from 30 to 7200 seconds")
    result = text(asked, "DefaultResult", before.default_result if before else "ABANDON")
    if result not in ("CONTINUE", "ABANDON"):
        raise Refused("ValidationError", f"DefaultResult {result} is neither CONTINUE nor ABANDON")
    return Hook(
        name=name,
        transition=transition,
        timeout=timeout,
        default_result=result,
        metadata=text(asked, "NotificationMetadata", before.metadata if before else ""),
        target=text(asked, "NotificationTargetARN", before.target if before else ""),
        role=text(asked, "RoleARN", before.role if before else ""),
    )
