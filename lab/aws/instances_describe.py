"""How instances look in answers of the EC2 API. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from lab.aws.instances import STATE_CODES, Attachment, Instance
from lab.aws.launcher_values import Document, Refused, Result, flag, record, records, tag_list, text


def state_document(instance: Instance) -> Result:
    return {"Code": STATE_CODES[instance.state], "Name": instance.state}


def describe(instance: Instance, account: str, interfaces: Mapping[str, Document]) -> Result:
    """`interfaces` are DescribeNetworkInterfaces' by id; those of an instance that is ending may be missing."""
    kept = () if instance.state == "terminated" else instance.attachments
    attached = [item for item in kept if item.interface in interfaces]
    shown = [_interface(instance, item, account, interfaces[item.interface]) for item in attached]
    document: Result = {
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "State": state_document(instance),
        "InstanceType": instance.type,
        "Architecture": instance.architecture,
        "LaunchTime": instance.launched,
        "AmiLaunchIndex": 0,
        "Placement": {"AvailabilityZone": instance.zone, "GroupName": "", "Tenancy": "default"},
        "Monitoring": {"State": "enabled" if instance.monitoring else "disabled"},
        "Tags": tag_list(instance.tag_map),
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "BlockDeviceMappings": [
            {"DeviceName": disk.device, "Ebs": {"DeleteOnTermination": disk.delete_on_termination}}
            for disk in instance.disks
        ],
        "NetworkInterfaces": shown,
        "MetadataOptions": {
            "State": "applied",
            "HttpTokens": instance.metadata.tokens,
            "HttpPutResponseHopLimit": instance.metadata.hop_limit,
            "HttpEndpoint": "enabled" if instance.metadata.enabled else "disabled",
            "InstanceMetadataTags": "enabled" if instance.metadata.instance_tags else "disabled",
        },
        "StateTransitionReason": "User initiated" if instance.state == "terminated" else "",
    }
    if instance.state_reason[0]:
        document["StateReason"] = {"Code": instance.state_reason[0], "Message": instance.state_reason[1]}
    if instance.profile:
        document["IamInstanceProfile"] = {"Arn": instance.profile, "Id": "AIPA" + instance.id[-17:].upper()}
    if instance.key_name:
        document["KeyName"] = instance.key_name
    if shown:
        document |= _first_interface(instance, interfaces[attached[0].interface])
    return document


def attachment_document(instance: Instance, attachment: Attachment, account: str) -> Result:
    return {
        "AttachmentId": attachment.id,
        "AttachTime": attachment.attached,
        "DeleteOnTermination": attachment.delete_on_termination,
        "DeviceIndex": attachment.device,
        "NetworkCardIndex": 0,
        "InstanceId": instance.id,
        "InstanceOwnerId": account,
        "Status": "attaching" if instance.state == "pending" else "attached",
    }


def _first_interface(instance: Instance, interface: Document) -> Result:
    found: Result = {
        "VpcId": instance.network,
        "SubnetId": instance.subnet,
        "PrivateIpAddress": instance.private_address,
        "SecurityGroups": list(records(interface, "Groups")),
        "SourceDestCheck": flag(interface, "SourceDestCheck", True),
    }
    public = text(record(interface, "Association"), "PublicIp")
    return found | ({"PublicIpAddress": public} if public else {})


def _interface(instance: Instance, attachment: Attachment, account: str, interface: Document) -> Result:
    kept = (
        "Association", "Description", "Groups", "MacAddress", "NetworkInterfaceId", "OwnerId", "PrivateIpAddress",
        "PrivateIpAddresses", "SourceDestCheck", "SubnetId", "VpcId", "Ipv4Prefixes",
    )  # fmt: skip
    shown = attachment_document(instance, attachment, account)
    shown = {key: value for key, value in shown.items() if not key.startswith("Instance")}
    return {key: interface[key] for key in kept if key in interface} | {"Attachment": shown, "Status": "in-use"}


# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html, those that the lab needs.
FILTERS: Mapping[str, Callable[[Instance], list[str]]] = {
    "instance-id": lambda i: [i.id],
    "instance-state-name": lambda i: [i.state],
    "instance-state-code": lambda i: [str(STATE_CODES[i.state])],
    "instance-type": lambda i: [i.type],
    "image-id": lambda i: [i.image],
    "availability-zone": lambda i: [i.zone],
    "subnet-id": lambda i: [i.subnet],
    "vpc-id": lambda i: [i.network],
    "private-ip-address": lambda i: [i.private_address],
    "iam-instance-profile.arn": lambda i: [i.profile],
    "network-interface.network-interface-id": lambda i: [a.interface for a in i.attachments],
    "network-interface.attachment.attachment-id": lambda i: [a.id for a in i.attachments],
    "tag-key": lambda i: [key for key, _ in i.tags],
    "tag-value": lambda i: [value for _, value in i.tags],
}


def matches(instance: Instance, filters: Mapping[str, tuple[str, ...]]) -> bool:
    """Every filter, by any of its values; `*` and `?` stand for what they do on AWS. Raises Refused if unknown."""
    return all(_matches_one(instance, name, values) for name, values in filters.items())


def _matches_one(instance: Instance, name: str, values: tuple[str, ...]) -> bool:
    if name.startswith("tag:"):
        value = instance.tag_map.get(name.removeprefix("tag:"))
        have = [] if value is None else [value]
    elif name in FILTERS:
        have = FILTERS[name](instance)
    else:
        raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
    return any(fnmatchcase(item, pattern) for item in have for pattern in values)
