"""How machines are launched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.resource import UNKNOWN, Resource, Value, at, items, mapping, mappings, number, texts, true
from policies.rule import Rule, StackRule

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
INSTANCE = "aws:ec2/instance:Instance"
CONFIGURATION = "aws:ec2/launchConfiguration:LaunchConfiguration"
GROUP = "aws:autoscaling/group:Group"
PLACES = ("availabilityZones", "vpcZoneIdentifiers")


def _metadata(resource: Resource) -> Iterator[str]:
    if resource.type not in (TEMPLATE, INSTANCE, CONFIGURATION) or resource.get("metadataOptions") is UNKNOWN:
        return
    options = mapping(resource.get("metadataOptions"))
    if options.get("httpEndpoint") in ("disabled", UNKNOWN):
        return
    if options.get("httpTokens") not in ("required", UNKNOWN):
        yield "answers metadata requests without a token: set metadataOptions.httpTokens to required"
    if options.get("httpPutResponseHopLimit") is not UNKNOWN and number(options.get("httpPutResponseHopLimit")) != 1:
        yield "hands metadata tokens on to others: set metadataOptions.httpPutResponseHopLimit to 1"


def _volumes(resource: Resource) -> Iterator[str]:
    for disk in _disks(resource):
        if disk is not UNKNOWN and not true(disk):
            yield "has a disk that is not encrypted: set encrypted to true"


def _disks(resource: Resource) -> Iterator[Value]:
    """Whether each disk is encrypted. A machine without any named takes its image's, by the account's default."""
    match resource.type:
        case "aws:ec2/launchTemplate:LaunchTemplate":
            for disk in mappings(resource.get("blockDeviceMappings")):
                if disk.get("ebs") is not None:
                    yield at(disk, "ebs", "encrypted")
        case "aws:ec2/instance:Instance" | "aws:ec2/launchConfiguration:LaunchConfiguration":
            for disk in (*mappings(resource.get("rootBlockDevice")), *mappings(resource.get("ebsBlockDevices"))):
                yield disk.get("encrypted")
        case "aws:ebs/volume:Volume":
            yield resource.get("encrypted")
        case _:
            return


def _zones(resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
    """Of all groups together: a pair may be two groups of one zone each. Subnets count as zones."""
    groups = [resource for resource in resources if resource.type == GROUP]
    if not groups or any(_to_come(group, key) for group in groups for key in PLACES):
        return
    zones = {zone for group in groups for zone in texts(group.get("availabilityZones"))}
    subnets = {subnet for group in groups for subnet in texts(group.get("vpcZoneIdentifiers"))}
    if max(len(zones), len(subnets)) < 2:
        yield groups[0], f"and its likes stand in {', '.join(sorted(zones | subnets)) or 'no zone'}: use two zones"


def _to_come(group: Resource, key: str) -> bool:
    """Subnets that this very stack makes have no ids in a preview."""
    value = group.chosen(key)
    return value is UNKNOWN or UNKNOWN in items(value)


RULES = (
    Rule(
        name="metadata-tokens",
        description="A machine's metadata are for the machine: IMDSv2, hop limit 1.",
        controls=("EC2.8", "EC2.170", "AutoScaling.3", "CIS 5.6", "CKV_AWS_79", "CKV_AWS_341"),
        check=_metadata,
    ),
    Rule(
        name="encrypted-disks",
        description="Disks are encrypted.",
        controls=("EC2.3", "CIS 2.2.1", "CKV_AWS_3", "CKV_AWS_8"),
        check=_volumes,
    ),
)
STACK_RULES = (
    StackRule(
        name="two-zones",
        description="Machines stand in two zones or more.",
        controls=("AutoScaling.2",),
        check=_zones,
    ),
)
