"""Makes autoscaling groups true: launches, terminates, replaces, waits for hooks, refreshes. One step at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from lab.aws.groups import (
    LAUNCHING,
    TERMINATING,
    Group,
    Launch,
    Member,
    Refresh,
    Terminate,
    Wait,
    next_steps,
    next_to_refresh,
)
from lab.aws.groups_book import GroupBook
from lab.aws.instances import Instance
from lab.aws.instances_fleet import Fleet
from lab.aws.launcher_template import LaunchRequest, launch_request, read_template
from lab.aws.launcher_values import Backend, Refused, records, text

BY_GROUP = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: terminated by its Auto Scaling group")
# AWS backs off after a failed launch, by a pace that it does not document.
RETRY_LAUNCH = timedelta(seconds=2)


class GroupLoop:
    def __init__(self, book: GroupBook, fleet: Fleet, backend: Backend, clock: Callable[[], datetime]) -> None:
        self._book, self._fleet, self._backend, self._clock = book, fleet, backend, clock
        self.dark: set[str] = set()  # zones without capacity

    def step(self) -> bool:
        """Looks at every member, then lets every group take its next steps. True when one did."""
        with self._book.lock:
            before = self._book.members()
            for member in self._book.members():
                self._follow(member)
            for group in self._book.groups():
                self._refresh(group)
                self._reconcile(self._book.get(group.name))
            return self._book.members() != before

    def terminate(self, instance: str, cause: str) -> str:
        """Starts to take a member out; gives the activity's id."""
        group, member = self._book.member(instance)
        if member.leaving:
            return member.activity
        activity = self._book.begin(
            group.name, f"Terminating EC2 instance: {instance}", cause, self._details(group, member.zone)
        )
        self._book.end(member.activity, "Cancelled")
        member = replace(member, lifecycle="Terminating", activity=activity.id, waits=())
        self._book.put_member(self._hold(group, member, TERMINATING))
        return activity.id

    def complete(self, member: Member, wait: Wait, result: str) -> None:
        """A hook lets go of an instance. At launch, ABANDON ends it; at termination both results go on."""
        waits = tuple(item for item in member.waits if item.hook != wait.hook)
        launching = member.lifecycle.startswith("Pending")
        if result == "ABANDON" and launching:
            self._book.put_member(replace(member, waits=()))
            self.terminate(member.instance, f"lifecycle hook {wait.hook} was abandoned")
            return
        if result == "ABANDON":
            waits = ()
        lifecycle = member.lifecycle
        if not waits:
            lifecycle = "Pending:Proceed" if launching else "Terminating:Proceed"
        self._book.put_member(replace(member, waits=waits, lifecycle=lifecycle))

    def _follow(self, member: Member) -> None:
        group, member = self._book.member(member.instance)
        for wait in member.waits:
            if wait.deadline <= self._clock():
                hook = next((h for h in group.hooks if h.name == wait.hook), None)
                self.complete(self._book.member(member.instance)[1], wait, hook.default_result if hook else "CONTINUE")
        group, member = self._book.member(member.instance)
        instance = self._fleet.book.get(member.instance)
        if instance is None or instance.state == "terminated":
            self._gone(member)
        elif member.lifecycle == "Pending" and instance.state == "running":
            self._book.put_member(self._hold(group, member, LAUNCHING))
        elif member.lifecycle == "Pending:Proceed":
            self._in_service(member)
        elif member.lifecycle in ("Terminating", "Terminating:Proceed") and not member.waits:
            self._fleet.terminate(member.instance, BY_GROUP)
        elif member.lifecycle == "InService":
            self._judge(group, member, instance)

    def _judge(self, group: Group, member: Member, instance: Instance) -> None:
        """An instance that does not run is unhealthy at once, grace or not; an impaired one after the grace period."""
        if "HealthCheck" in group.suspended or not member.healthy:
            return
        graced = self._clock() - member.joined < timedelta(seconds=group.grace)
        if instance.state != "running" or (instance.health == "impaired" and not graced):
            self._book.put_member(replace(member, healthy=False))

    def _hold(self, group: Group, member: Member, transition: str) -> Member:
        """Into the hooks' waiting state, or on when there are none."""
        now = self._clock()
        launching = transition == LAUNCHING
        waits = tuple(
            Wait(hook=hook.name, token=str(uuid4()), deadline=now + timedelta(seconds=hook.timeout))
            for hook in group.hooks
            if hook.transition == transition and "Lifecycle" not in group.suspended
        )
        if waits:
            return replace(member, waits=waits, lifecycle="Pending:Wait" if launching else "Terminating:Wait")
        return replace(member, lifecycle="Pending:Proceed" if launching else "Terminating:Proceed")

    def _in_service(self, member: Member) -> None:
        self._book.end(member.activity, "Successful")
        self._book.put_member(replace(member, lifecycle="InService", activity="", joined=self._clock()))

    def _gone(self, member: Member) -> None:
        group, _ = self._book.member(member.instance)
        if not member.leaving:
            activity = self._book.begin(
                group.name,
                f"Terminating EC2 instance: {member.instance}",
                "an instance was taken out of service in response to an EC2 health check that indicated it had been "
                "terminated or stopped",
                self._details(group, member.zone),
            )
            self._book.end(member.activity, "Cancelled")
            self._book.end(activity.id, "Successful")
        else:
            self._book.end(member.activity, "Successful")
        self._book.drop_member(member.instance)

    def _reconcile(self, group: Group) -> None:
        members = self._book.members(group.name)
        if group.deleting and not members:
            self._book.drop(group.name)
            return
        for step in next_steps(group, members):
            match step:
                case Terminate(instance, cause):
                    self.terminate(instance, cause)
                case Launch(cause):
                    if not self._book.failed_lately(group.name, RETRY_LAUNCH):
                        self._launch(group, cause)

    def _launch(self, group: Group, cause: str) -> None:
        subnet, zone = self._place(group)
        activity = self._book.begin(group.name, "Launching a new EC2 instance", cause, self._details(group, zone))
        try:
            request = self._request(group, subnet)
            self._check_capacity(zone)
            instance = self._fleet.launch(request)
        except Refused as exc:
            self._book.end(activity.id, "Failed", f"{exc.message} Launching EC2 instance failed.")
            return
        self._book.describe_activity(activity.id, f"Launching a new EC2 instance: {instance.id}")
        member = Member(
            instance=instance.id,
            zone=instance.zone,
            type=instance.type,
            template=instance.template,
            template_name=group.template_name,
            template_version=instance.template_version,
            lifecycle="Pending",
            healthy=True,
            protected=group.protect_new,
            joined=self._clock(),
            activity=activity.id,
        )
        self._book.put_member(member, group.name)

    def _check_capacity(self, zone: str) -> None:
        if zone in self.dark:
            raise Refused("InsufficientInstanceCapacity", f"We currently do not have capacity in {zone}.")

    def _request(self, group: Group, subnet: str) -> LaunchRequest:
        found = read_template(self._backend, {"LaunchTemplateId": group.template, "Version": group.template_version})
        request = launch_request(found.data, template=found.id, version=found.version, subnet=subnet)
        own = {
            "aws:autoscaling:groupName": group.name,
            "aws:ec2launchtemplate:id": found.id,
            "aws:ec2launchtemplate:version": found.version,
        }
        propagated = {tag.key: tag.value for tag in group.tags if tag.propagate}
        return replace(request, tags={**request.tags, **propagated, **own})

    def _place(self, group: Group) -> tuple[str, str]:
        """The subnet and zone with the fewest members; no subnet when the group names zones alone: the default's."""
        if group.subnets:
            asked: dict[str, object] = {"SubnetIds": list(group.subnets)}
        else:
            names = list(group.zones)
            asked = {
                "Filters": [
                    {"Name": "availability-zone", "Values": names},
                    {"Name": "default-for-az", "Values": ["true"]},
                ]
            }
        subnets = records(self._backend("ec2", "DescribeSubnets", asked), "Subnets")
        if not subnets:
            return "", group.zones[0]
        members = self._book.members(group.name)
        least = min(subnets, key=lambda s: sum(m.zone == text(s, "AvailabilityZone") for m in members))
        return text(least, "SubnetId"), text(least, "AvailabilityZone")

    def _refresh(self, group: Group) -> None:
        refresh = next((r for r in self._book.refreshes(group.name) if r.ended is None), None)
        if refresh is None:
            return
        members = self._book.members(group.name)
        if refresh.status == "Cancelling":
            if not any(member.leaving or member.lifecycle.startswith("Pending") for member in members):
                self._book.put_refresh(replace(refresh, status="Cancelled", ended=self._clock()))
            return
        refresh = self._book.put_refresh(replace(refresh, status="InProgress"))
        self._go_on(group, refresh, members)

    def _go_on(self, group: Group, refresh: Refresh, members: tuple[Member, ...]) -> None:
        now, warmup = self._clock(), timedelta(seconds=refresh.warmup)
        if any(
            member.lifecycle == "InService" and now - member.joined < warmup for member in self._new(refresh, members)
        ):
            return
        left = {member.instance for member in members} & set(refresh.old)
        whole = len(members) >= group.desired and all(m.lifecycle == "InService" and m.healthy for m in members)
        if not left and whole:
            self._book.put_refresh(replace(refresh, status="Successful", ended=now))
            return
        chosen = next_to_refresh(group, members, refresh)
        if chosen is not None:
            self.terminate(chosen, f"an instance was taken out of service in response to instance refresh {refresh.id}")

    @staticmethod
    def _new(refresh: Refresh, members: tuple[Member, ...]) -> list[Member]:
        return [member for member in members if member.instance not in refresh.old and refresh.total]

    def _details(self, group: Group, zone: str) -> str:
        return json.dumps({"Subnet ID": ",".join(group.subnets), "Availability Zone": zone})
