"""Auto Scaling's actions on groups and their instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from lab.aws.groups import Group, Tag
from lab.aws.groups_book import GroupBook
from lab.aws.groups_describe import activity_document, group_document, member_document, tag_documents
from lab.aws.groups_form import (
    check_existing_interface,
    check_maintenance,
    check_name,
    check_placement,
    check_sizes,
    check_template,
)
from lab.aws.groups_loop import GroupLoop
from lab.aws.launcher_template import read_template
from lab.aws.launcher_values import (
    Backend,
    Document,
    Handler,
    Refused,
    Result,
    filters,
    flag,
    number,
    optional_number,
    record,
    records,
    text,
    texts,
)


class GroupApi:
    def __init__(
        self,
        book: GroupBook,
        loop: GroupLoop,
        backend: Backend,
        region: str,
        account: str,
        kick: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._book, self._loop, self._backend = book, loop, backend
        self._region, self._account, self._kick, self._clock = region, account, kick, clock

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateAutoScalingGroup": self.create,
            "UpdateAutoScalingGroup": self.update,
            "DeleteAutoScalingGroup": self.delete,
            "DescribeAutoScalingGroups": self.describe,
            "DescribeAutoScalingInstances": self.describe_instances,
            "DescribeScalingActivities": self.activities,
            "SetDesiredCapacity": self.set_desired,
            "TerminateInstanceInAutoScalingGroup": self.terminate,
            "SetInstanceHealth": self.set_health,
            "SetInstanceProtection": self.set_protection,
            "SuspendProcesses": self.suspend,
            "ResumeProcesses": self.resume,
            "CreateOrUpdateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
            "DescribeTags": self.describe_tags,
        }

    def create(self, asked: Document) -> Result:
        name = text(asked, "AutoScalingGroupName")
        check_name(name)
        if self._book.find(name) is not None:
            raise Refused(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            )
        minimum = number(asked, "MinSize", 0)
        blank = Group(
            name=name,
            arn=f"arn:aws:autoscaling:{self._region}:{self._account}:autoScalingGroup:{uuid4()}:"
            f"autoScalingGroupName/{name}",
            template="",
            template_name="",
            template_version="$Default",
            minimum=minimum,
            maximum=number(asked, "MaxSize", minimum),
            desired=number(asked, "DesiredCapacity", minimum),
            zones=(),
            subnets=(),
            health_check="EC2",
            grace=0,
            cooldown=300,
            warmup=0,
            healthy_min=-1,
            healthy_max=-1,
            protect_new=False,
            tags=_tags(asked, name, {}),
            hooks=(),
            suspended=frozenset(),
            created=self._clock(),
            service_role=f"arn:aws:iam::{self._account}:role/aws-service-role/autoscaling.amazonaws.com/"
            "AWSServiceRoleForAutoScaling",
        )
        self._settle(asked, blank)
        return {}

    def update(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._alive(asked)
            group = replace(
                group,
                minimum=number(asked, "MinSize", group.minimum),
                maximum=number(asked, "MaxSize", group.maximum),
            )
            # Without a desired capacity, the present one is pulled into the new bounds ("UpdateAutoScalingGroup").
            within = min(max(group.desired, group.minimum), group.maximum)
            self._settle(asked, replace(group, desired=number(asked, "DesiredCapacity", within)))
        return {}

    def delete(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._alive(asked)
            members = self._book.members(group.name)
            if members and not flag(asked, "ForceDelete"):
                message = (
                    "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                    "request(s) still in the group."
                )
                raise Refused("ResourceInUse", message)
            if members:
                self._book.put(replace(group, deleting=True, minimum=0, desired=0))
            else:
                self._book.drop(group.name)
        self._kick()
        return {}

    def describe(self, asked: Document) -> Result:
        named = texts(asked, "AutoScalingGroupNames")
        wanted = filters(asked)
        chosen = [group for group in self._book.groups() if not named or group.name in named]
        return {
            "AutoScalingGroups": [
                group_document(group, self._book.members(group.name)) for group in chosen if _tagged(group, wanted)
            ]
        }

    def describe_instances(self, asked: Document) -> Result:
        named = texts(asked, "InstanceIds")
        return {
            "AutoScalingInstances": [
                member_document(member) | {"AutoScalingGroupName": self._book.group_of(member.instance)}
                for member in self._book.members()
                if not named or member.instance in named
            ]
        }

    def activities(self, asked: Document) -> Result:
        group = text(asked, "AutoScalingGroupName") or None
        if group is not None and not flag(asked, "IncludeDeletedGroups"):
            self._book.get(group)
        ids = texts(asked, "ActivityIds")
        found = [item for item in self._book.activities(group) if not ids or item.id in ids]
        return {"Activities": [activity_document(item) for item in found[: number(asked, "MaxRecords", 100)]]}

    def set_desired(self, asked: Document) -> Result:
        with self._book.lock:
            group = self._alive(asked)
            desired = number(asked, "DesiredCapacity", group.desired)
            if desired > group.maximum:
                bound = f"is above max value {group.maximum} for the AutoScalingGroup."
                raise Refused("ValidationError", f"New SetDesiredCapacity value {desired} {bound}")
            if desired < group.minimum:
                bound = f"is below min value {group.minimum} for the AutoScalingGroup."
                raise Refused("ValidationError", f"New SetDesiredCapacity value {desired} {bound}")
            self._book.put(replace(group, desired=desired))
        self._kick()
        return {}

    def terminate(self, asked: Document) -> Result:
        instance = text(asked, "InstanceId")
        with self._book.lock:
            group, _ = self._book.member(instance)
            if flag(asked, "ShouldDecrementDesiredCapacity"):
                if group.desired <= group.minimum:
                    message = (
                        f"Currently, desiredSize equals minSize ({group.minimum}). Terminating instance without "
                        "replacement will violate group's min size constraint. Either set "
                        "shouldDecrementDesiredCapacity flag to false or lower group's min size."
                    )
                    raise Refused("ValidationError", message)
                self._book.put(replace(group, desired=group.desired - 1))
            activity = self._loop.terminate(instance, "instance was taken out of service in response to a user request")
            found = next(item for item in self._book.activities(group.name) if item.id == activity)
        self._kick()
        return {"Activity": activity_document(found)}

    def set_health(self, asked: Document) -> Result:
        status = text(asked, "HealthStatus")
        if status not in ("Healthy", "Unhealthy"):
            raise Refused("ValidationError", f"Valid instance health states are: [Healthy, Unhealthy]; got {status}.")
        with self._book.lock:
            group, member = self._book.member(text(asked, "InstanceId"))
            young = (self._clock() - member.joined).total_seconds() < group.grace
            # "SetInstanceHealth": the grace period is respected unless the call says otherwise.
            if status == "Healthy" or not (flag(asked, "ShouldRespectGracePeriod", True) and young):
                self._book.put_member(replace(member, healthy=status == "Healthy"))
        self._kick()
        return {}

    def set_protection(self, asked: Document) -> Result:
        with self._book.lock:
            self._alive(asked)
            for instance in texts(asked, "InstanceIds"):
                _, member = self._book.member(instance)
                self._book.put_member(replace(member, protected=flag(asked, "ProtectedFromScaleIn")))
        return {}

    def suspend(self, asked: Document) -> Result:
        return self._processes(asked, lambda suspended, named: suspended | named)

    def resume(self, asked: Document) -> Result:
        return self._processes(asked, lambda suspended, named: suspended - named)

    def create_tags(self, asked: Document) -> Result:
        with self._book.lock:
            for item in records(asked, "Tags"):
                group = self._book.get(text(item, "ResourceId"))
                merged = _tags({"Tags": [item]}, group.name, {tag.key: tag for tag in group.tags})
                self._book.put(replace(group, tags=merged))
        return {}

    def delete_tags(self, asked: Document) -> Result:
        with self._book.lock:
            for item in records(asked, "Tags"):
                group = self._book.get(text(item, "ResourceId"))
                kept = tuple(tag for tag in group.tags if tag.key != text(item, "Key"))
                self._book.put(replace(group, tags=kept))
        return {}

    def describe_tags(self, asked: Document) -> Result:
        wanted = filters(asked)
        keys = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}
        found = [item for group in self._book.groups() for item in tag_documents(group)]
        for name, values in wanted.items():
            if name not in keys:
                raise Refused("ValidationError", f"Filter type {name} is not correct.")
            found = [item for item in found if item[keys[name]] in values]
        return {"Tags": found}

    def _settle(self, asked: Document, group: Group) -> None:
        """Puts the rest of what is asked into the group, checks the whole and keeps it."""
        group = _configured(asked, group)
        check_sizes(group.minimum, group.maximum, group.desired)
        check_maintenance(group.healthy_min, group.healthy_max)
        check_placement(group.zones, group.subnets)
        group = self._with_subnet_zones(asked, group)
        if asked.get("LaunchTemplate"):
            group = replace(group, template="", template_name="")
            found = read_template(self._backend, record(asked, "LaunchTemplate"))
            version = text(record(asked, "LaunchTemplate"), "Version", "$Default")
            group = replace(group, template=found.id, template_name=found.name, template_version=version)
        if not group.template:
            message = (
                "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
                "MixedInstancesPolicy parameter."
            )
            raise Refused("ValidationError", message)
        self._check_form(group)
        self._book.put(group)
        self._kick()

    def _check_form(self, group: Group) -> None:
        specification = {"LaunchTemplateId": group.template, "Version": group.template_version}
        template = read_template(self._backend, specification)
        check_template(template)
        for entry in records(template.data, "NetworkInterfaces"):
            if entry.get("NetworkInterfaceId"):
                asked: Result = {"NetworkInterfaceIds": [text(entry, "NetworkInterfaceId")]}
                found = records(self._backend("ec2", "DescribeNetworkInterfaces", asked), "NetworkInterfaces")
                check_existing_interface(group, template, text(found[0], "AvailabilityZone"))

    def _with_subnet_zones(self, asked: Document, group: Group) -> Group:
        if not group.subnets:
            return group
        wanted: Result = {"SubnetIds": list(group.subnets)}
        subnets = records(self._backend("ec2", "DescribeSubnets", wanted), "Subnets")
        zones = tuple(dict.fromkeys(text(subnet, "AvailabilityZone") for subnet in subnets))
        if texts(asked, "AvailabilityZones") and set(texts(asked, "AvailabilityZones")) != set(zones):
            message = "The availability zones of the specified subnets and the AutoScalingGroup do not match"
            raise Refused("ValidationError", message)
        return replace(group, zones=zones)

    def _alive(self, asked: Document) -> Group:
        group = self._book.get(text(asked, "AutoScalingGroupName"))
        if group.deleting:
            raise Refused("ScalingActivityInProgress", f"AutoScalingGroup {group.name} is being deleted")
        return group

    def _processes(self, asked: Document, change: Callable[[frozenset[str], frozenset[str]], frozenset[str]]) -> Result:
        named = frozenset(texts(asked, "ScalingProcesses")) or PROCESSES
        unknown = named - PROCESSES
        if unknown:
            raise Refused("ValidationError", f"{', '.join(sorted(unknown))} is not a valid process type.")
        with self._book.lock:
            group = self._alive(asked)
            self._book.put(replace(group, suspended=change(group.suspended, named)))
        self._kick()
        return {}


# "Types of processes" of "Suspend and resume Amazon EC2 Auto Scaling processes".
PROCESSES = frozenset(
    {
        "Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck",
        "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions",
    }
)  # fmt: skip


def _configured(asked: Document, group: Group) -> Group:
    subnets = tuple(item.strip() for item in text(asked, "VPCZoneIdentifier").split(",") if item.strip())
    policy = record(asked, "InstanceMaintenancePolicy")
    low = optional_number(policy, "MinHealthyPercentage")
    high = optional_number(policy, "MaxHealthyPercentage")
    return replace(
        group,
        subnets=subnets if "VPCZoneIdentifier" in asked else group.subnets,
        zones=texts(asked, "AvailabilityZones") or group.zones,
        health_check=text(asked, "HealthCheckType", group.health_check),
        grace=number(asked, "HealthCheckGracePeriod", group.grace),
        cooldown=number(asked, "DefaultCooldown", group.cooldown),
        warmup=number(asked, "DefaultInstanceWarmup", group.warmup),
        protect_new=flag(asked, "NewInstancesProtectedFromScaleIn", group.protect_new),
        healthy_min=group.healthy_min if low is None else low,
        healthy_max=group.healthy_max if high is None else high,
    )


def _tags(asked: Document, group: str, before: dict[str, Tag]) -> tuple[Tag, ...]:
    after = dict(before)
    for item in records(asked, "Tags"):
        key = text(item, "Key")
        if text(item, "ResourceId", group) != group:
            raise Refused("ValidationError", f"Tag {key} names another group: {text(item, 'ResourceId')}")
        # "Tag restrictions": 128 characters of key, 256 of value, aws: is reserved.
        if not 1 <= len(key) <= 128 or len(text(item, "Value")) > 256 or key.lower().startswith("aws:"):
            raise Refused("ValidationError", f"Tag key {key!r} is too long, empty or reserved, or its value too long.")
        after[key] = Tag(key=key, value=text(item, "Value"), propagate=flag(item, "PropagateAtLaunch", True))
    return tuple(sorted(after.values(), key=lambda tag: tag.key))


def _tagged(group: Group, wanted: dict[str, tuple[str, ...]]) -> bool:
    have = {tag.key: tag.value for tag in group.tags}
    for name, values in wanted.items():
        if name == "tag-key":
            passes = any(key in values for key in have)
        elif name == "tag-value":
            passes = any(value in values for value in have.values())
        elif name.startswith("tag:"):
            passes = have.get(name.removeprefix("tag:")) in values
        else:
            raise Refused("ValidationError", f"Filter type {name} is not correct.")
        if not passes:
            return False
    return True
