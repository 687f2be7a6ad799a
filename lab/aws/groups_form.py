"""What Auto Scaling takes, and refuses, in a group and its launch template. Pure.

Sources: "CreateAutoScalingGroup" (API reference), "Create a launch template for an Auto Scaling group" with its
limitations, "Instance maintenance policies". The messages are the service's own where they are known.
"""

from __future__ import annotations

import re

from lab.aws.groups import Group
from lab.aws.launcher_template import Template
from lab.aws.launcher_values import Document, Refused, flag, number, records, text, texts

NAME_LENGTH = 255
GROUPS_OUTSIDE = (
    "Invalid launch template: When a network interface is provided, the security groups must be a part of it."
)


def check_name(name: str) -> None:
    """1 to 255 printable ASCII characters without colons ("CreateAutoScalingGroup")."""
    if not 1 <= len(name) <= NAME_LENGTH or not re.fullmatch(r"[\x20-\x39\x3b-\x7e]+", name):
        message = (
            f"1 validation error detected: Value '{name}' at 'autoScalingGroupName' failed to satisfy constraint: "
            f"Member must have length 1 to {NAME_LENGTH} and be printable ASCII without colons"
        )
        raise Refused("ValidationError", message)


def check_sizes(minimum: int, maximum: int, desired: int) -> None:
    if minimum < 0 or maximum < minimum:
        raise Refused("ValidationError", f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}")
    if not minimum <= desired <= maximum:
        raise Refused(
            "ValidationError",
            f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}",
        )


def check_maintenance(low: int, high: int) -> None:
    """Both or neither; 0 to 100 and 100 to 200; at most 100 apart ("InstanceMaintenancePolicy")."""
    if (low, high) == (-1, -1):
        return
    if not (0 <= low <= 100 and 100 <= high <= 200 and high - low <= 100):
        raise Refused(
            "ValidationError",
            f"InstanceMaintenancePolicy: MinHealthyPercentage {low} must be 0 to 100, MaxHealthyPercentage {high} "
            "100 to 200, at most 100 apart, or both -1",
        )


def check_template(template: Template) -> None:
    """What a template may not hold for any group ("Create a launch template for an Auto Scaling group")."""
    data = template.data
    interfaces = records(data, "NetworkInterfaces")
    for field in ("ImageId", "InstanceType"):
        if not text(data, field):
            raise Refused("ValidationError", f"You must use a valid fully-formed launch template. {field} is missing.")
    if interfaces and (records_or_texts(data, "SecurityGroupIds") or records_or_texts(data, "SecurityGroups")):
        raise Refused("InvalidQueryParameter", GROUPS_OUTSIDE)
    if any("PrivateIpAddress" in item or records(item, "PrivateIpAddresses") for item in interfaces):
        raise Refused("InvalidQueryParameter", "Invalid launch template: Private IP addresses may not be specified.")
    indexes = [number(item, "DeviceIndex", -1) for item in interfaces]
    if len(set(indexes)) != len(indexes):
        message = "Incompatible launch template: Each network interface requires a unique device index."
        raise Refused("InvalidQueryParameter", message)
    if interfaces and 0 not in indexes:
        raise Refused("InvalidQueryParameter", "Invalid launch template: A network interface needs device index 0.")


def check_existing_interface(group: Group, template: Template, interface_zone: str) -> None:
    """The one form that works with an interface that is already there: the group names its zone and no subnet, has at
    most one instance and terminates before it launches; the template names the interface, and only that, in an exact
    version (terraform-provider-aws #7615; "Instance maintenance policies": the interface can only be used once)."""
    entry = next((item for item in records(template.data, "NetworkInterfaces") if item.get("NetworkInterfaceId")), None)
    if entry is None:
        return
    prefix = "Invalid launch template with an existing network interface:"
    wrong = _wrong_entry(template.data, entry) or _wrong_group(group, interface_zone)
    if wrong:
        raise Refused("ValidationError", f"{prefix} {wrong}")


def _wrong_entry(data: Document, entry: Document) -> str:
    if len(records(data, "NetworkInterfaces")) != 1:
        return "it must be the only network interface of the template."
    if number(entry, "DeviceIndex", -1) != 0:
        return "its device index must be 0."
    if "DeleteOnTermination" not in entry or flag(entry, "DeleteOnTermination"):
        return "DeleteOnTermination must be false, or the interface goes with its first instance."
    named = [key for key, value in entry.items() if value not in (None, "", [], {})]
    extra = sorted(set(named) - {"NetworkInterfaceId", "DeviceIndex", "DeleteOnTermination", "NetworkCardIndex"})
    return f"{', '.join(extra)} are the interface's own and may not be specified." if extra else ""


def _wrong_group(group: Group, interface_zone: str) -> str:
    if group.subnets:
        return "VPCZoneIdentifier may not be specified, name AvailabilityZones instead."
    if group.zones != (interface_zone,):
        return f"AvailabilityZones must be exactly the interface's, {interface_zone}; got {', '.join(group.zones)}."
    if group.maximum > 1:
        return f"MaxSize must be 1, because an interface is attached once; got {group.maximum}."
    if not group.template_version.isdigit():
        return f"the version must be a number; got {group.template_version}."
    if (group.healthy_min, group.healthy_max) != (0, 100):
        return (
            "InstanceMaintenancePolicy must be 0/100 (terminate before launching), or its replacement finds it in use."
        )
    return ""


def check_placement(zones: tuple[str, ...], subnets: tuple[str, ...]) -> None:
    if not zones and not subnets:
        raise Refused("ValidationError", "At least one Availability Zone or VPC Subnet is required.")


def records_or_texts(data: Document, name: str) -> bool:
    return bool(texts(data, name))
