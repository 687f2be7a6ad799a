"""From a launch template's data, or a RunInstances call, to what one instance is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lab.aws.instances import Disk, MetadataOptions
from lab.aws.launcher_values import (
    Backend,
    Document,
    Refused,
    flag,
    number,
    record,
    records,
    tags_for,
    text,
    texts,
)


@dataclass(frozen=True, kw_only=True)
class Template:
    """A version of a launch template."""

    id: str
    name: str
    version: str  # the number, never $Latest
    data: Document


@dataclass(frozen=True, kw_only=True)
class InterfaceRequest:
    """A network interface to attach, or to make when `existing` is empty."""

    existing: str
    device: int
    subnet: str
    groups: tuple[str, ...]
    private_address: str
    delete_on_termination: bool
    public_address: bool


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    image: str
    type: str
    profile: str  # ARN or name as given
    user_data: str
    metadata: MetadataOptions
    disks: tuple[Disk, ...]
    interfaces: tuple[InterfaceRequest, ...]
    key_name: str
    monitoring: bool
    on_shutdown: Literal["stop", "terminate"]
    tags: Mapping[str, str]
    interface_tags: Mapping[str, str]
    template: str = ""
    template_version: str = ""


def read_template(backend: Backend, specification: Document) -> Template:
    """The version that a LaunchTemplateSpecification names; `$Default` when it names none, as AWS does."""
    which = {
        key: text(specification, key) for key in ("LaunchTemplateId", "LaunchTemplateName") if specification.get(key)
    }
    if len(which) != 1:
        raise Refused("ValidationError", "You must specify either a launch template ID or a launch template name.")
    asked = text(specification, "Version", "$Default") or "$Default"
    found = records(
        backend("ec2", "DescribeLaunchTemplateVersions", {**which, "Versions": [asked]}), "LaunchTemplateVersions"
    )
    if not found:
        raise Refused("InvalidLaunchTemplateId.VersionNotFound", f"Could not find launch template version {asked}.")
    version = found[0]
    return Template(
        id=text(version, "LaunchTemplateId"),
        name=text(version, "LaunchTemplateName"),
        version=str(number(version, "VersionNumber", 0)),
        data=record(version, "LaunchTemplateData"),
    )


def launch_request(data: Document, *, template: str = "", version: str = "", subnet: str = "") -> LaunchRequest:
    """Reads template data or RunInstances parameters; `subnet` is where interfaces go that name none."""
    return LaunchRequest(
        image=text(data, "ImageId"),
        type=text(data, "InstanceType", "m1.small"),
        profile=text(record(data, "IamInstanceProfile"), "Arn") or text(record(data, "IamInstanceProfile"), "Name"),
        user_data=text(data, "UserData"),
        metadata=_metadata(record(data, "MetadataOptions")),
        disks=tuple(_disk(mapping) for mapping in records(data, "BlockDeviceMappings") if record(mapping, "Ebs")),
        interfaces=_interfaces(data, subnet),
        key_name=text(data, "KeyName"),
        monitoring=flag(record(data, "Monitoring"), "Enabled"),
        on_shutdown="terminate" if text(data, "InstanceInitiatedShutdownBehavior") == "terminate" else "stop",
        tags=tags_for(data, "instance"),
        interface_tags=tags_for(data, "network-interface"),
        template=template,
        template_version=version,
    )


def architecture(instance_type: str) -> str:
    """Graviton families carry a g after the generation ("Amazon EC2 instance type naming conventions")."""
    return "arm64" if re.match(r"(a1|[a-z]+\d+g[a-z]*)\.", instance_type) else "x86_64"


def _metadata(options: Document) -> MetadataOptions:
    return MetadataOptions(
        tokens="required" if text(options, "HttpTokens") == "required" else "optional",
        hop_limit=number(options, "HttpPutResponseHopLimit", 1),
        enabled=text(options, "HttpEndpoint", "enabled") == "enabled",
        instance_tags=text(options, "InstanceMetadataTags") == "enabled",
    )


def _disk(mapping: Document) -> Disk:
    ebs = record(mapping, "Ebs")
    return Disk(
        device=text(mapping, "DeviceName"),
        encrypted=flag(ebs, "Encrypted"),
        kind=text(ebs, "VolumeType", "gp2"),
        size=number(ebs, "VolumeSize", 0),
        key=text(ebs, "KmsKeyId"),
        delete_on_termination=flag(ebs, "DeleteOnTermination", True),
    )


def _interfaces(data: Document, subnet: str) -> tuple[InterfaceRequest, ...]:
    named = records(data, "NetworkInterfaces")
    if not named:
        groups = texts(data, "SecurityGroupIds")
        home = text(data, "SubnetId") or subnet
        address = text(data, "PrivateIpAddress")
        return (_interface({"SubnetId": home, "Groups": list(groups), "PrivateIpAddress": address}, home),)
    return tuple(sorted((_interface(item, subnet) for item in named), key=lambda item: item.device))


def _interface(item: Document, subnet: str) -> InterfaceRequest:
    existing = text(item, "NetworkInterfaceId")
    return InterfaceRequest(
        existing=existing,
        device=number(item, "DeviceIndex", 0),
        subnet=text(item, "SubnetId") or subnet,
        groups=texts(item, "Groups"),
        private_address=text(item, "PrivateIpAddress"),
        # An interface that was there before stays; one that is made for the instance goes with it.
        delete_on_termination=flag(item, "DeleteOnTermination", not existing),
        public_address=flag(item, "AssociatePublicIpAddress"),
    )
