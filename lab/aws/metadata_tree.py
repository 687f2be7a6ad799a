"""What an instance's metadata service knows, as a tree of paths. Pure.

Categories and forms: "Instance metadata categories" of the EC2 user guide, checked against what cloud-init's Ec2
datasource and botocore's fetcher read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lab.aws.instances import MetadataOptions


@dataclass(frozen=True, kw_only=True)
class InterfaceView:
    id: str
    mac: str
    device: int
    addresses: tuple[str, ...]  # private IPv4, the primary first
    prefixes: tuple[str, ...]
    public: tuple[tuple[str, str], ...]  # (private, public)
    groups: tuple[tuple[str, str], ...]  # (id, name)
    subnet: str
    subnet_cidr: str
    network: str
    network_cidrs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InstanceView:
    """An instance as its own metadata service shows it."""

    id: str
    reservation: str
    image: str
    type: str
    architecture: str
    zone: str
    zone_id: str
    region: str
    account: str
    launched: datetime
    user_data: bytes | None  # decoded
    options: MetadataOptions
    profile: str  # ARN of the instance profile, "" for none
    tags: tuple[tuple[str, str], ...]
    interfaces: tuple[InterfaceView, ...]  # device order


Tree = Mapping[str, str]


def tree(view: InstanceView) -> Tree:
    """Path below meta-data/ -> value. Credentials are not in it: they are made when asked for."""
    first = view.interfaces[0]
    host = hostname(first.addresses[0], view.region)
    found = {
        "ami-id": view.image,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "hostname": host,
        "instance-action": "none",
        "instance-id": view.id,
        "instance-life-cycle": "on-demand",
        "instance-type": view.type,
        "local-hostname": host,
        "local-ipv4": first.addresses[0],
        "mac": first.mac,
        "placement/availability-zone": view.zone,
        "placement/availability-zone-id": view.zone_id,
        "placement/region": view.region,
        "profile": "default-hvm",
        "reservation-id": view.reservation,
        "security-groups": "\n".join(name for _, name in first.groups),
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    public = dict(first.public).get(first.addresses[0])
    if public:
        found |= {"public-ipv4": public, "public-hostname": public_hostname(public, view.region)}
    for interface in view.interfaces:
        base = f"network/interfaces/macs/{interface.mac}"
        found |= {f"{base}/{key}": value for key, value in _interface(interface, view).items()}
    if view.options.instance_tags:
        found |= {f"tags/instance/{key}": value for key, value in view.tags}
    return found


def listing(known: Tree, path: str) -> str | None:
    """The children of a directory, one a line, those with children of their own ending in a slash; None if unknown."""
    prefix = f"{path.strip('/')}/" if path.strip("/") else ""
    children: set[str] = set()
    for name in known:
        if name.startswith(prefix):
            head, slash, _ = name.removeprefix(prefix).partition("/")
            children.add(head + slash)
    return "\n".join(sorted(children)) or None


def identity_document(view: InstanceView) -> str:
    """dynamic/instance-identity/document."""
    return json.dumps(
        {
            "accountId": view.account,
            "architecture": view.architecture,
            "availabilityZone": view.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": view.image,
            "instanceId": view.id,
            "instanceType": view.type,
            "kernelId": None,
            "pendingTime": view.launched.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "privateIp": view.interfaces[0].addresses[0],
            "ramdiskId": None,
            "region": view.region,
            "version": "2017-09-30",
        },
        indent=2,
    )


def hostname(address: str, region: str) -> str:
    """The name that a subnet of the kind "IP name" gives ("Amazon EC2 instance hostnames")."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{address.replace('.', '-')}.{domain}"


def public_hostname(address: str, region: str) -> str:
    domain = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{address.replace('.', '-')}.{domain}.amazonaws.com"


def _interface(interface: InterfaceView, view: InstanceView) -> dict[str, str]:
    found = {
        "device-number": str(interface.device),
        "interface-id": interface.id,
        "local-hostname": hostname(interface.addresses[0], view.region),
        "local-ipv4s": "\n".join(interface.addresses),
        "mac": interface.mac,
        "owner-id": view.account,
        "security-group-ids": "\n".join(group for group, _ in interface.groups),
        "security-groups": "\n".join(name for _, name in interface.groups),
        "subnet-id": interface.subnet,
        "subnet-ipv4-cidr-block": interface.subnet_cidr,
        "vpc-id": interface.network,
        "vpc-ipv4-cidr-block": interface.network_cidrs[0],
        "vpc-ipv4-cidr-blocks": "\n".join(interface.network_cidrs),
    }
    if interface.prefixes:
        found["ipv4-prefix"] = "\n".join(interface.prefixes)
    if interface.public:
        first = interface.public[0][1]
        found["public-ipv4s"] = "\n".join(public for _, public in interface.public)
        found["public-hostname"] = public_hostname(first, view.region)
    return found | {f"ipv4-associations/{public}": private for private, public in interface.public}
