"""Network interfaces and elastic addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import partial

from .api import Api
from .ec2_tags import mapped, retag, specification
from .errors import ApiError
from .json_path import flag, given, rows, text, texts
from .patience import found, until, while_refused
from .resource import Change, Problem, ResourceType, words
from .values import Json

_WAIT = 600  # the real provider's timeout for an interface to be let go, 10 minutes


def _create(api: Api, inputs: Json) -> str:
    addresses, prefixes = texts(inputs, "privateIps"), texts(inputs, "ipv4Prefixes")
    addresses6 = [{"Ipv6Address": address} for address in texts(inputs, "ipv6Addresses")]
    made = api.call(
        "ec2",
        "create_network_interface",
        SubnetId=inputs["subnetId"],
        **given(Groups=inputs.get("securityGroups"), Description=inputs.get("description")),
        **({"PrivateIpAddresses": _listed(addresses)} if addresses else {}),
        **({"Ipv6Addresses": addresses6} if addresses6 else {}),
        **({"Ipv4Prefixes": [{"Ipv4Prefix": prefix} for prefix in prefixes]} if prefixes else {}),
        **specification("network-interface", inputs),
    )
    return text(made, "NetworkInterface", "NetworkInterfaceId")


def _listed(addresses: list[str]) -> list[Json]:
    return [{"PrivateIpAddress": address, "Primary": place == 0} for place, address in enumerate(addresses)]


def _finish(api: Api, identifier: str, inputs: Json) -> None:
    if "sourceDestCheck" in inputs:
        checked = {"Value": inputs["sourceDestCheck"]}
        api.call("ec2", "modify_network_interface_attribute", NetworkInterfaceId=identifier, SourceDestCheck=checked)


def _one(api: Api, identifier: str) -> Json | None:
    by_id = {"NetworkInterfaceIds": [identifier]}
    entries = found(lambda: rows(api.call("ec2", "describe_network_interfaces", **by_id), "NetworkInterfaces"))
    return entries[0] if entries else None


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    interface = _one(api, identifier)
    if interface is None:
        return None
    prefixes = [text(entry, "Ipv4Prefix") for entry in rows(interface, "Ipv4Prefixes")]
    private = [text(entry, "PrivateIpAddress") for entry in rows(interface, "PrivateIpAddresses")]
    addresses6 = [text(entry, "Ipv6Address") for entry in rows(interface, "Ipv6Addresses")]
    return {
        "arn": api.arn("ec2", f"network-interface/{identifier}"),
        "subnetId": text(interface, "SubnetId"),
        "privateIp": text(interface, "PrivateIpAddress"),
        "privateIps": private,
        "privateIpList": private,
        "privateIpsCount": len(private) - 1,
        "privateDnsName": text(interface, "PrivateDnsName"),
        "macAddress": text(interface, "MacAddress"),
        "securityGroups": [text(group, "GroupId") for group in rows(interface, "Groups")],
        "sourceDestCheck": flag(interface, "SourceDestCheck"),
        "description": text(interface, "Description"),
        "interfaceType": text(interface, "InterfaceType") or "interface",
        "outpostArn": "",
        "ownerId": text(interface, "OwnerId") or api.account,
        "attachments": _attachments(interface),
        "ipv4Prefixes": prefixes,
        "ipv4PrefixCount": len(prefixes),
        "ipv6Addresses": addresses6,
        "ipv6AddressCount": len(addresses6),
        "ipv6AddressLists": addresses6,
        "ipv6Prefixes": [],
        "ipv6PrefixCount": 0,
        "tags": mapped(interface.get("TagSet")),
    }


def _attachments(interface: Json) -> list[Json]:
    attachment = interface.get("Attachment")
    if not isinstance(attachment, dict) or not attachment.get("AttachmentId"):
        return []
    return [
        {
            "attachmentId": text(attachment, "AttachmentId"),
            "deviceIndex": attachment.get("DeviceIndex") or 0,
            "instance": text(attachment, "InstanceId"),
        }
    ]


def _update(api: Api, change: Change) -> None:
    modify = {"NetworkInterfaceId": change.id}
    if "securityGroups" in change.names and change.new.get("securityGroups"):
        groups = change.new["securityGroups"]
        api.call("ec2", "modify_network_interface_attribute", **modify, Groups=groups)
    if "sourceDestCheck" in change.names:
        _finish(api, change.id, {"sourceDestCheck": change.new.get("sourceDestCheck", True)})
    if "description" in change.names:
        described = {"Value": change.new.get("description", "")}
        api.call("ec2", "modify_network_interface_attribute", **modify, Description=described)
    if "privateIps" in change.names:
        _readdress(api, change, "privateIps", "PrivateIpAddresses")
    if "ipv4Prefixes" in change.names:
        _readdress(api, change, "ipv4Prefixes", "Ipv4Prefixes")
    if "ipv6Addresses" in change.names:
        _readdress(api, change, "ipv6Addresses", "Ipv6Addresses", "ipv6_addresses")
    retag(api, change)


def _readdress(api: Api, change: Change, name: str, parameter: str, what: str = "private_ip_addresses") -> None:
    """Secondary addresses and delegated prefixes come and go; the primary stays (AssignPrivateIpAddresses)."""
    old, new = texts(change.old, name), texts(change.new, name)
    if gone := [address for address in old if address not in new]:
        api.call("ec2", f"unassign_{what}", NetworkInterfaceId=change.id, **{parameter: gone})
    if come := [address for address in new if address not in old]:
        api.call("ec2", f"assign_{what}", NetworkInterfaceId=change.id, **{parameter: come})


def _delete(api: Api, identifier: str, _state: Json) -> None:
    """The real provider detaches first; an instance that is shutting down lets go by itself."""
    interface = _one(api, identifier)
    if interface is None:
        return
    for attachment in _attachments(interface):
        found(partial(_detach, api, attachment))
    until(lambda: text(_one(api, identifier), "Status") in ("available", ""), _WAIT, f"{identifier} is still in use")
    busy = frozenset({"InvalidParameterValue", "InvalidNetworkInterface.InUse"})
    while_refused(lambda: api.call("ec2", "delete_network_interface", NetworkInterfaceId=identifier), busy, _WAIT)


def _detach(api: Api, attachment: Json) -> None:
    try:
        api.call("ec2", "detach_network_interface", AttachmentId=attachment["attachmentId"], Force=True)
    except ApiError as refused:
        # Device 0 can't be detached: EC2 lets go of it when the instance ends.
        if refused.code != "OperationNotPermitted":
            raise


def _addresses(inputs: Json) -> Iterator[Problem]:
    """CreateNetworkInterface: private IPv4 addresses, each once."""
    addresses = texts(inputs, "privateIps")
    for position, address in enumerate(addresses):
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            yield Problem(f"privateIps[{position}]", f"{address} is no IPv4 address")
    if len(set(addresses)) != len(addresses):
        yield Problem("privateIps", f"an address twice: {', '.join(addresses)}")


def _prefixes(inputs: Json) -> Iterator[Problem]:
    """CreateNetworkInterface: /28 blocks, at their own beginning."""
    for position, prefix in enumerate(texts(inputs, "ipv4Prefixes")):
        try:
            length = ipaddress.IPv4Network(prefix).prefixlen
        except ValueError:
            length = 0
        if length != 28:
            yield Problem(f"ipv4Prefixes[{position}]", f"{prefix} is no /28 block")


def _groups(inputs: Json) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html: five security groups an interface."""
    groups = inputs.get("securityGroups")
    if isinstance(groups, list) and len(groups) > 5:
        yield Problem("securityGroups", f"an interface has at most 5, got {len(groups)}")


def first_address_stays(old: Json, new: Json) -> bool:
    """Whether a change of `privateIps` can be made on the living interface."""
    before, after = texts(old, "privateIps")[:1], texts(new, "privateIps")[:1]
    return before == after


INTERFACE = ResourceType(
    token="aws:ec2/networkInterface:NetworkInterface",  # noqa: S106
    create=_create,
    finish=_finish,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("subnetId"),
    forces_new_when={"privateIps": lambda old, new: not first_address_stays(old, new)},
    in_place=words("privateIps ipv4Prefixes ipv6Addresses securityGroups sourceDestCheck description tags"),
    rules=(_addresses, _prefixes, _groups),
    delete_before_replace=True,  # its addresses are fixed: two at once can't be
)


def _allocate(api: Api, inputs: Json) -> str:
    made = api.call("ec2", "allocate_address", Domain="vpc", **specification("elastic-ip", inputs))
    return text(made, "AllocationId")


def _read_address(api: Api, identifier: str, _inputs: Json) -> Json | None:
    entries = found(lambda: rows(api.call("ec2", "describe_addresses", AllocationIds=[identifier]), "Addresses"))
    if not entries:
        return None
    address = entries[0]
    public = text(address, "PublicIp")
    dashed = public.replace(".", "-")
    return {
        "arn": api.arn("ec2", f"elastic-ip/{identifier}"),
        "allocationId": identifier,
        "publicIp": public,
        "publicDns": f"ec2-{dashed}.{api.region}.compute.amazonaws.com",
        "publicIpv4Pool": text(address, "PublicIpv4Pool") or "amazon",
        "domain": text(address, "Domain") or "vpc",
        "vpc": True,
        "associationId": text(address, "AssociationId"),
        "instance": text(address, "InstanceId"),
        "networkInterface": text(address, "NetworkInterfaceId"),
        "networkBorderGroup": text(address, "NetworkBorderGroup") or api.region,
        "privateIp": text(address, "PrivateIpAddress"),
        "privateDns": "",
        "carrierIp": "",
        "customerOwnedIp": "",
        "customerOwnedIpv4Pool": "",
        "ipamPoolId": "",
        "ptrRecord": "",
        "tags": mapped(address.get("Tags")),
    }


def _release(api: Api, identifier: str, _state: Json) -> None:
    busy = frozenset({"InvalidIPAddress.InUse", "AuthFailure"})
    while_refused(lambda: api.call("ec2", "release_address", AllocationId=identifier), busy, 180)


def _vpc_domain(inputs: Json) -> Iterator[Problem]:
    """AllocateAddress: `vpc` is the only domain since EC2-Classic ended."""
    if isinstance(inputs.get("domain"), str) and inputs["domain"] != "vpc":
        yield Problem("domain", f"must be vpc, got {inputs['domain']}")


ADDRESS = ResourceType(
    token="aws:ec2/eip:Eip",  # noqa: S106
    create=_allocate,
    read=_read_address,
    update=retag,
    delete=_release,
    forces_new=words("domain"),
    in_place=words("tags"),
    rules=(_vpc_domain,),
)


def _associate(api: Api, inputs: Json) -> str:
    ends = {"AllocationId": inputs["allocationId"], "NetworkInterfaceId": inputs["networkInterfaceId"]}
    private = given(PrivateIpAddress=inputs.get("privateIpAddress"))
    return text(api.call("ec2", "associate_address", **ends, **private, AllowReassociation=False), "AssociationId")


def _read_association(api: Api, identifier: str, _inputs: Json) -> Json | None:
    by_id = [{"Name": "association-id", "Values": [identifier]}]
    entries = rows(api.call("ec2", "describe_addresses", Filters=by_id), "Addresses")
    if not entries:
        return None
    return {
        "allocationId": text(entries, 0, "AllocationId"),
        "instanceId": text(entries, 0, "InstanceId"),
        "networkInterfaceId": text(entries, 0, "NetworkInterfaceId"),
        "privateIpAddress": text(entries, 0, "PrivateIpAddress"),
        "publicIp": text(entries, 0, "PublicIp"),
    }


def _disassociate(api: Api, identifier: str, _state: Json) -> None:
    api.call("ec2", "disassociate_address", AssociationId=identifier)


def _both_ends(inputs: Json) -> Iterator[Problem]:
    """AssociateAddress: an address of a VPC is named by its allocation, and goes to an interface here."""
    for name in ("allocationId", "networkInterfaceId"):
        if inputs.get(name) is None:
            yield Problem(name, "missing: the lab's provider associates an allocation with an interface")


ADDRESS_ASSOCIATION = ResourceType(
    token="aws:ec2/eipAssociation:EipAssociation",  # noqa: S106
    create=_associate,
    read=_read_association,
    delete=_disassociate,
    forces_new=words("allocationId networkInterfaceId privateIpAddress"),
    rules=(_both_ends,),
    delete_before_replace=True,  # an address has one interface, an interface's address one elastic address
)

TYPES = (INTERFACE, ADDRESS, ADDRESS_ASSOCIATION)
