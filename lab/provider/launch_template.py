"""Launch templates. A change of what a machine gets is a new version; the group names the version that it launches."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import listed, mapped, retag, specification
from .json_path import at, fields, given, rows, text, texts
from .patience import found
from .resource import Change, Problem, ResourceType, words
from .values import Json, Value

_KEPT_BY_TEMPLATE = frozenset({"tags", "name", "updateDefaultVersion", "defaultVersion"})
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html
_NAME = re.compile(r"^[a-zA-Z0-9().\-/_]{3,128}$")


def _data(inputs: Json) -> Json:
    """The RequestLaunchTemplateData of the inputs."""
    profile, options = fields(inputs, "iamInstanceProfile"), fields(inputs, "metadataOptions")
    return given(
        ImageId=inputs.get("imageId"),
        InstanceType=inputs.get("instanceType"),
        UserData=inputs.get("userData"),
        IamInstanceProfile=given(Arn=profile.get("arn"), Name=profile.get("name")) or None,
        MetadataOptions={name[0].upper() + name[1:]: value for name, value in options.items()} or None,
        BlockDeviceMappings=[_mapping(entry) for entry in rows(inputs, "blockDeviceMappings")] or None,
        NetworkInterfaces=[_interface(entry) for entry in rows(inputs, "networkInterfaces")] or None,
        SecurityGroupIds=inputs.get("vpcSecurityGroupIds"),
        TagSpecifications=[
            {"ResourceType": entry.get("resourceType"), "Tags": listed(entry.get("tags"))}
            for entry in rows(inputs, "tagSpecifications")
        ]
        or None,
    )


def _mapping(entry: Json) -> Json:
    volume = fields(entry, "ebs")
    disk = given(
        Encrypted=_boolean(volume.get("encrypted")),
        DeleteOnTermination=_boolean(volume.get("deleteOnTermination")),
        VolumeType=volume.get("volumeType"),
        VolumeSize=volume.get("volumeSize"),
        KmsKeyId=volume.get("kmsKeyId"),
    )
    return given(DeviceName=entry.get("deviceName"), Ebs=disk or None)


def _interface(entry: Json) -> Json:
    return given(
        DeviceIndex=entry.get("deviceIndex", 0),
        NetworkInterfaceId=entry.get("networkInterfaceId"),
        DeleteOnTermination=_boolean(entry.get("deleteOnTermination")),
        SubnetId=entry.get("subnetId"),
        Groups=entry.get("securityGroups"),
        AssociatePublicIpAddress=_boolean(entry.get("associatePublicIpAddress")),
    )


def _boolean(value: Value) -> bool | None:
    """The provider's "true", "false" and "" (not set) are texts, because unset differs from false."""
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None


def _create(api: Api, inputs: Json) -> str:
    made = api.call(
        "ec2",
        "create_launch_template",
        LaunchTemplateName=inputs["name"],
        LaunchTemplateData=_data(inputs),
        **given(VersionDescription=inputs.get("description")),
        **specification("launch-template", inputs),
    )
    return text(made, "LaunchTemplate", "LaunchTemplateId")


def _update(api: Api, change: Change) -> None:
    which = {"LaunchTemplateId": change.id}
    if change.names - _KEPT_BY_TEMPLATE:
        described = given(VersionDescription=change.new.get("description"))
        api.call("ec2", "create_launch_template_version", **which, LaunchTemplateData=_data(change.new), **described)
    if change.new.get("updateDefaultVersion") is True:
        newest = str(at(_one(api, change.id), "LatestVersionNumber"))
        api.call("ec2", "modify_launch_template", **which, DefaultVersion=newest)
    retag(api, change)


def _one(api: Api, identifier: str) -> Json | None:
    by_id = {"LaunchTemplateIds": [identifier]}
    entries = found(lambda: rows(api.call("ec2", "describe_launch_templates", **by_id), "LaunchTemplates"))
    return entries[0] if entries else None


def version_data(api: Api, identifier: str, version: str) -> Json:
    """The LaunchTemplateData of one version."""
    wanted = {"LaunchTemplateId": identifier, "Versions": [version]}
    return fields(
        api.call("ec2", "describe_launch_template_versions", **wanted),
        "LaunchTemplateVersions",
        0,
        "LaunchTemplateData",
    )


def _read(api: Api, identifier: str, inputs: Json) -> Json | None:
    template = _one(api, identifier)
    if template is None:
        return None
    shown: Json = {
        "arn": api.arn("ec2", f"launch-template/{identifier}"),
        "name": text(template, "LaunchTemplateName"),
        "namePrefix": "",
        "latestVersion": at(template, "LatestVersionNumber"),
        "defaultVersion": at(template, "DefaultVersionNumber"),
        "tags": mapped(template.get("Tags")),
    }
    data = version_data(api, identifier, "$Latest")
    # What the newest version says of the plain settings: a version made by hand shows up as a drift.
    shown |= {"imageId": text(data, "ImageId") or None, "instanceType": text(data, "InstanceType") or None}
    return shown | {"userData": text(data, "UserData") or None}


def _delete(api: Api, identifier: str, _state: Json) -> None:
    api.call("ec2", "delete_launch_template", LaunchTemplateId=identifier)


def _name(inputs: Json) -> Iterator[Problem]:
    """CreateLaunchTemplate: 3 to 128 of a set of characters."""
    name = inputs.get("name")
    if isinstance(name, str) and not _NAME.match(name):
        yield Problem("name", f"3 to 128 of a-z, A-Z, 0-9 and ().-/_, got {name}")


def _user_data(inputs: Json) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html: base64, at most 16 KB before encoding."""
    encoded = inputs.get("userData")
    if not isinstance(encoded, str):
        return
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        yield Problem("userData", "is not base64: the provider sends it as it is")
        return
    if size > 16384:
        yield Problem("userData", f"{size} bytes, and a machine takes at most 16384")


def _metadata(inputs: Json) -> Iterator[Problem]:
    """API_LaunchTemplateInstanceMetadataOptionsRequest."""
    hops = fields(inputs, "metadataOptions").get("httpPutResponseHopLimit")
    if isinstance(hops, int) and not 1 <= hops <= 64:
        yield Problem("metadataOptions.httpPutResponseHopLimit", f"1 to 64, got {hops}")


# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html, GiB
_SIZES = {
    **{"gp2": (1, 16384), "gp3": (1, 65536), "io1": (4, 16384), "io2": (4, 65536)},
    **{"st1": (125, 16384), "sc1": (125, 16384), "standard": (1, 1024)},
}


# API_LaunchTemplateTagSpecificationRequest; the elastic GPU's kind is gone with it.
_TAGGED = ("instance", "volume", "network-interface", "spot-instances-request")


def _tagged(inputs: Json) -> Iterator[Problem]:
    """CreateLaunchTemplate: the tags of what a launch makes, each kind once."""
    kinds = [text(entry, "resourceType") for entry in rows(inputs, "tagSpecifications")]
    for position, kind in enumerate(kinds):
        if kind not in _TAGGED or kind in kinds[:position]:
            reason = f"must be one of {', '.join(_TAGGED)}, each once, got {kind}"
            yield Problem(f"tagSpecifications[{position}].resourceType", reason)


def _disks(inputs: Json) -> Iterator[Problem]:
    """API_EbsBlockDevice: types and their sizes; the provider's texts for true and false."""
    for position, entry in enumerate(rows(inputs, "blockDeviceMappings")):
        path, volume = f"blockDeviceMappings[{position}].ebs", fields(entry, "ebs")
        kind, size = volume.get("volumeType", "gp2"), volume.get("volumeSize")
        if (
            isinstance(kind, str)
            and kind in _SIZES
            and isinstance(size, int)
            and not _SIZES[kind][0] <= size <= _SIZES[kind][1]
        ):
            yield Problem(f"{path}.volumeSize", f"{kind} has {_SIZES[kind][0]} to {_SIZES[kind][1]} GiB, got {size}")
        for name in ("encrypted", "deleteOnTermination"):
            if isinstance(volume.get(name), str) and volume[name] not in ("true", "false", ""):
                yield Problem(f"{path}.{name}", f'must be "true" or "false", got {volume[name]}')


def existing_interface(entry: Json) -> list[str]:
    """What is wrong with an entry that names an existing interface; nothing if it names none.

    Everything about such an interface is its own (https://docs.aws.amazon.com/autoscaling/ec2/userguide/
    create-launch-template.html and API_LaunchTemplateInstanceNetworkInterfaceSpecificationRequest).
    """
    if not entry.get("networkInterfaceId"):
        return []
    wrong = [name for name in ("subnetId", "securityGroups", "associatePublicIpAddress") if entry.get(name)]
    reasons = [f"{name} is the existing interface's own: leave it out" for name in wrong]
    if entry.get("deviceIndex", 0) != 0:
        reasons.append("an existing interface is device 0 of a group's machine")
    if entry.get("deleteOnTermination") != "false":
        reasons.append('an existing interface outlives the machine: deleteOnTermination must be "false"')
    return reasons


def _interfaces(inputs: Json) -> Iterator[Problem]:
    """Security groups are given in one place (RunInstances); an existing interface stands alone."""
    entries = rows(inputs, "networkInterfaces")
    if entries and texts(inputs, "vpcSecurityGroupIds"):
        yield Problem("vpcSecurityGroupIds", "does not go with networkInterfaces: the groups are the interface's")
    for position, entry in enumerate(entries):
        for reason in existing_interface(entry):
            yield Problem(f"networkInterfaces[{position}]", reason)
    if len(entries) > 1 and any(entry.get("networkInterfaceId") for entry in entries):
        yield Problem("networkInterfaces", "an existing interface is the only one that a group's machine can have")


TEMPLATE = ResourceType(
    token="aws:ec2/launchTemplate:LaunchTemplate",  # noqa: S106
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("name"),
    in_place=words(
        "description imageId instanceType iamInstanceProfile.arn iamInstanceProfile.name updateDefaultVersion userData "
        "metadataOptions.httpEndpoint metadataOptions.httpTokens metadataOptions.httpPutResponseHopLimit "
        "metadataOptions.instanceMetadataTags vpcSecurityGroupIds tags "
        "blockDeviceMappings.deviceName blockDeviceMappings.ebs.encrypted blockDeviceMappings.ebs.volumeType "
        "blockDeviceMappings.ebs.volumeSize blockDeviceMappings.ebs.deleteOnTermination "
        "blockDeviceMappings.ebs.kmsKeyId "
        "networkInterfaces.deviceIndex networkInterfaces.networkInterfaceId networkInterfaces.deleteOnTermination "
        "networkInterfaces.subnetId networkInterfaces.securityGroups networkInterfaces.associatePublicIpAddress "
        "tagSpecifications.resourceType tagSpecifications.tags"
    ),
    named="name",
    rules=(_name, _user_data, _metadata, _tagged, _disks, _interfaces),
    restated=words("latestVersion"),
)

TYPES = (TEMPLATE,)
