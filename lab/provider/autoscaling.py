"""Autoscaling groups, and the one form in which a group may launch into an existing network interface."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .api import Api
from .errors import NotReadyError, ProviderError
from .json_path import at, fields, flag, given, number, rows, text, texts
from .launch_template import version_data
from .patience import found, until, while_refused
from .resource import Change, Problem, ResourceType, words
from .values import Json, Value

_SERVICE = "autoscaling"
_BUSY = frozenset({"ScalingActivityInProgress", "ResourceInUse", "ResourceContention"})
_DELETE_SECONDS = 600  # the real provider's default timeout


def _settings(inputs: Json) -> Json:
    """The parameters that creation and update share."""
    policy = fields(inputs, "instanceMaintenancePolicy")
    healthy = {"MinHealthyPercentage": policy.get("minHealthyPercentage")}
    healthy["MaxHealthyPercentage"] = policy.get("maxHealthyPercentage")
    return given(
        AvailabilityZones=inputs.get("availabilityZones"),
        VPCZoneIdentifier=",".join(texts(inputs, "vpcZoneIdentifiers")) or None,
        MinSize=inputs.get("minSize"),
        MaxSize=inputs.get("maxSize"),
        DesiredCapacity=inputs.get("desiredCapacity"),
        LaunchTemplate=_template(inputs),
        InstanceMaintenancePolicy=healthy if policy else None,
        HealthCheckType=inputs.get("healthCheckType"),
        HealthCheckGracePeriod=inputs.get("healthCheckGracePeriod"),
        DefaultCooldown=inputs.get("defaultCooldown"),
    )


def _template(inputs: Json) -> Json:
    named = fields(inputs, "launchTemplate")
    return {"LaunchTemplateId": named.get("id"), "Version": named.get("version", "$Default")}


def _tags(inputs: Json) -> list[Json]:
    place: Json = {"ResourceId": inputs["name"], "ResourceType": "auto-scaling-group"}
    return [
        place | {"Key": tag["key"], "Value": tag["value"], "PropagateAtLaunch": tag["propagateAtLaunch"]}
        for tag in rows(inputs, "tags")
    ]


def _create(api: Api, inputs: Json) -> str:
    _refuse_other_forms(api, inputs)
    tags = _tags(inputs)
    api.call(
        _SERVICE,
        "create_auto_scaling_group",
        AutoScalingGroupName=inputs["name"],
        **_settings(inputs),
        **({"Tags": tags} if tags else {}),
    )
    return str(inputs["name"])


def _refuse_other_forms(api: Api, inputs: Json) -> None:
    """Raises ProviderError where a group would launch into an existing interface in a form that AWS refuses."""
    template = _template(inputs)
    version = str(template["Version"])
    data = version_data(api, str(template["LaunchTemplateId"]), version)
    existing = [text(entry, "NetworkInterfaceId") for entry in rows(data, "NetworkInterfaces")]
    if any(existing):
        zone = _zone(api, existing[0])
        wrong = existing_interface_form(inputs, version, zone)
        if wrong:
            raise ProviderError(f"its launch template names the interface {existing[0]}: {'; '.join(wrong)}")


def _zone(api: Api, interface: str) -> str:
    by_id = {"NetworkInterfaceIds": [interface]}
    return text(api.call("ec2", "describe_network_interfaces", **by_id), "NetworkInterfaces", 0, "AvailabilityZone")


def existing_interface_form(inputs: Json, version: str, zone: str) -> list[str]:
    """What keeps a group from launching into an existing interface that lies in `zone`.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/create-launch-template.html (network interfaces): zones and
    no subnets, one machine at most, the old one ended before the new one starts, and an exact template version.
    """
    wrong: list[str] = []
    if inputs.get("vpcZoneIdentifiers"):
        wrong.append("vpcZoneIdentifiers must be left out, the interface has its subnet")
    if inputs.get("availabilityZones") != [zone]:
        wrong.append(f"availabilityZones must be [{zone}], where it lies")
    if inputs.get("maxSize") != 1:
        wrong.append("maxSize must be 1, an interface has one machine")
    policy = fields(inputs, "instanceMaintenancePolicy")
    if (policy.get("minHealthyPercentage"), policy.get("maxHealthyPercentage")) != (0, 100):
        wrong.append("instanceMaintenancePolicy must be 0 and 100, so that the old machine goes first")
    if not re.fullmatch(r"[1-9][0-9]*", version):
        wrong.append(f"launchTemplate.version must be an exact number, got {version}")
    return wrong


def _wait_for_capacity(api: Api, identifier: str, inputs: Json, *, known: bool = False) -> None:
    """As the real provider: as many machines in service as wanted, within 10 minutes; "0" does not wait.

    A launch that failed meanwhile ends the wait, with the cloud's own words; `known` leaves out those of before.
    """
    seconds = duration(str(inputs.get("waitForCapacityTimeout", "10m")))
    wanted = number(inputs, "desiredCapacity") or number(inputs, "minSize")
    before = _failures(api, identifier) if known else {}

    def ready() -> bool:
        if _in_service(api, identifier) >= wanted:
            return True
        failed = {key: reason for key, reason in _failures(api, identifier).items() if key not in before}
        if failed:
            raise NotReadyError(f"{identifier}: a launch failed: {next(iter(failed.values()))}")
        return False

    if seconds > 0:
        until(ready, seconds, f"{identifier}: not {wanted} in service")


def _failures(api: Api, identifier: str) -> dict[str, str]:
    """Scaling activity -> why it failed; newest first."""
    activities = rows(api.call(_SERVICE, "describe_scaling_activities", AutoScalingGroupName=identifier), "Activities")
    return {
        text(each, "ActivityId"): text(each, "StatusMessage")
        for each in activities
        if each.get("StatusCode") == "Failed"
    }


def duration(given_text: str) -> float:
    """Seconds of a Go duration such as 10m, 1h30m, 0 or 300s. Raises ProviderError."""
    if given_text == "0":
        return 0
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|m|s)", given_text)
    if not parts or "".join(amount + unit for amount, unit in parts) != given_text:
        raise ProviderError(f"waitForCapacityTimeout: {given_text} is no duration such as 10m or 0")
    return sum(float(amount) * {"h": 3600, "m": 60, "s": 1}[unit] for amount, unit in parts)


def _in_service(api: Api, identifier: str) -> int:
    machines = rows(_one(api, identifier), "Instances")
    return sum(
        text(each, "LifecycleState") == "InService" and text(each, "HealthStatus") == "Healthy" for each in machines
    )


def _one(api: Api, identifier: str) -> Json | None:
    by_name = {"AutoScalingGroupNames": [identifier]}
    groups = rows(api.call(_SERVICE, "describe_auto_scaling_groups", **by_name), "AutoScalingGroups")
    return groups[0] if groups else None


def _read(api: Api, identifier: str, inputs: Json) -> Json | None:
    group = _one(api, identifier)
    if group is None:
        return None
    template, policy = fields(group, "LaunchTemplate"), fields(group, "InstanceMaintenancePolicy")
    shown: Json = {
        "arn": text(group, "AutoScalingGroupARN"),
        "name": identifier,
        "namePrefix": "",
        "availabilityZones": sorted(texts(group, "AvailabilityZones")),
        "vpcZoneIdentifiers": sorted(filter(None, text(group, "VPCZoneIdentifier").split(","))),
        "minSize": number(group, "MinSize"),
        "maxSize": number(group, "MaxSize"),
        "desiredCapacity": number(group, "DesiredCapacity"),
        "defaultCooldown": number(group, "DefaultCooldown"),
        "healthCheckType": text(group, "HealthCheckType"),
        "healthCheckGracePeriod": number(group, "HealthCheckGracePeriod"),
        "serviceLinkedRoleArn": text(group, "ServiceLinkedRoleARN"),
        "predictedCapacity": number(group, "PredictedCapacity"),
        "warmPoolSize": 0,
        "launchTemplate": {
            "id": text(template, "LaunchTemplateId"),
            "name": text(template, "LaunchTemplateName"),
            "version": text(template, "Version"),
        },
        "tags": [_shown_tag(tag) for tag in rows(group, "Tags") if not text(tag, "Key").startswith("aws:")],
    }
    # An adapter that does not tell the policy leaves it as it was given.
    return shown | ({"instanceMaintenancePolicy": _shown_policy(policy)} if policy else {})


def _shown_policy(policy: Json) -> Json:
    return {
        "minHealthyPercentage": at(policy, "MinHealthyPercentage"),
        "maxHealthyPercentage": at(policy, "MaxHealthyPercentage"),
    }


def _shown_tag(tag: Json) -> Json:
    return {"key": text(tag, "Key"), "value": text(tag, "Value"), "propagateAtLaunch": flag(tag, "PropagateAtLaunch")}


def _wait_again(api: Api, identifier: str, inputs: Json) -> None:
    _wait_for_capacity(api, identifier, inputs, known=True)


def _update(api: Api, change: Change) -> None:
    if change.names - {"tags", "waitForCapacityTimeout", "forceDelete"}:
        _refuse_other_forms(api, change.new)
        api.call(_SERVICE, "update_auto_scaling_group", AutoScalingGroupName=change.id, **_settings(change.new))
    if "tags" in change.names:
        kept = {text(tag, "Key") for tag in _tags(change.new)}
        gone = [tag for tag in _tags(change.old) if text(tag, "Key") not in kept]
        if gone:
            api.call(_SERVICE, "delete_tags", Tags=gone)
        if kept:
            api.call(_SERVICE, "create_or_update_tags", Tags=_tags(change.new))
    if change.names & {"desiredCapacity", "minSize", "maxSize"}:
        _wait_for_capacity(api, change.id, change.new, known=True)


def _delete(api: Api, identifier: str, state: Json) -> None:
    """Drains first, as the real provider: nothing that a machine holds is free before it has ended."""
    if _one(api, identifier) is None:
        return
    group = {"AutoScalingGroupName": identifier}
    if not flag(state, "forceDelete"):
        api.call(_SERVICE, "update_auto_scaling_group", **group, MinSize=0, MaxSize=0, DesiredCapacity=0)
        until(lambda: not rows(_one(api, identifier), "Instances"), _DELETE_SECONDS, f"{identifier} still has machines")
    force = {"ForceDelete": flag(state, "forceDelete")}
    while_refused(
        lambda: found(lambda: api.call(_SERVICE, "delete_auto_scaling_group", **group, **force)), _BUSY, _DELETE_SECONDS
    )
    until(lambda: _one(api, identifier) is None, _DELETE_SECONDS, f"{identifier} is not deleted")


def _name(inputs: Json) -> Iterator[Problem]:
    """CreateAutoScalingGroup: 1 to 255 printable ASCII characters without a colon."""
    name = inputs.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[ -9;-~]{1,255}", name):
        yield Problem("name", "1 to 255 printable ASCII characters, no colon")


def _places(inputs: Json) -> Iterator[Problem]:
    """The real provider: zones or subnets, one of them."""
    if bool(inputs.get("availabilityZones")) == bool(inputs.get("vpcZoneIdentifiers")):
        yield Problem("availabilityZones", "give availabilityZones or vpcZoneIdentifiers, one of them")


def _sizes(inputs: Json) -> Iterator[Problem]:
    """CreateAutoScalingGroup: 0 <= min <= desired <= max."""
    low, high = inputs.get("minSize"), inputs.get("maxSize")
    wanted = inputs.get("desiredCapacity", low)
    if all(isinstance(size, int) for size in (low, high, wanted)) and not 0 <= _int(low) <= _int(wanted) <= _int(high):
        yield Problem("desiredCapacity", f"0 <= minSize <= desiredCapacity <= maxSize, got {low}, {wanted}, {high}")


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _maintenance(inputs: Json) -> Iterator[Problem]:
    """API_InstanceMaintenancePolicy: 0 to 100, 100 to 200, at most 100 apart; or both -1."""
    policy = fields(inputs, "instanceMaintenancePolicy")
    low, high = policy.get("minHealthyPercentage"), policy.get("maxHealthyPercentage")
    if not isinstance(low, int) or not isinstance(high, int) or (low, high) == (-1, -1):
        return
    if not (0 <= low <= 100 <= high <= 200 and high - low <= 100):
        reason = f"0 to 100 and 100 to 200, at most 100 apart, got {low} and {high}"
        yield Problem("instanceMaintenancePolicy", reason)


GROUP = ResourceType(
    token="aws:autoscaling/group:Group",  # noqa: S106
    create=_create,
    finish=_wait_for_capacity,
    resume=_wait_again,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("name"),
    in_place=words(
        "availabilityZones vpcZoneIdentifiers minSize maxSize desiredCapacity launchTemplate.id launchTemplate.version "
        "instanceMaintenancePolicy healthCheckType healthCheckGracePeriod defaultCooldown tags waitForCapacityTimeout "
        "forceDelete"
    ),
    named="name",
    rules=(_name, _places, _sizes, _maintenance),
)

TYPES = (GROUP,)
