"""EC2's actions on network interfaces and subnets, where what the launcher knows changes moto's answer.

Each gap of moto that is filled here has a test which fails once moto has caught up.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase

from lab.aws.instances import Attachment, InstanceBook, new_id
from lab.aws.instances_describe import attachment_document
from lab.aws.launcher_values import (
    Backend,
    Document,
    Handler,
    Refused,
    Result,
    filters,
    number,
    record,
    records,
    text,
    texts,
)

# The size of a delegated IPv4 prefix ("Assign prefixes to Amazon EC2 network interfaces").
PREFIX_LENGTH = 28
# Filters that moto can't answer, because it does not know our instances.
OWN_FILTERS: Mapping[str, Callable[[Document], str]] = {
    "status": lambda shown: text(shown, "Status"),
    "attachment.instance-id": lambda shown: text(record(shown, "Attachment"), "InstanceId"),
    "attachment.attachment-id": lambda shown: text(record(shown, "Attachment"), "AttachmentId"),
    "attachment.status": lambda shown: text(record(shown, "Attachment"), "Status"),
    "attachment.device-index": lambda shown: str(record(shown, "Attachment").get("DeviceIndex", "")),
}


class InterfaceApi:
    """Keeps delegated prefixes and shows attachments; refuses to delete what is in use."""

    def __init__(self, backend: Backend, book: InstanceBook, account: str, clock: Callable[[], datetime]) -> None:
        self._backend, self._book, self._account, self._clock = backend, book, account, clock
        self._prefixes: dict[str, tuple[str, ...]] = {}
        self._lock = threading.RLock()

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateNetworkInterface": self.create,
            "DescribeNetworkInterfaces": self.describe,
            "DeleteNetworkInterface": self.delete,
            "AttachNetworkInterface": self.attach,
            "DetachNetworkInterface": self.detach,
            "AssignPrivateIpAddresses": self.assign,
            "UnassignPrivateIpAddresses": self.unassign,
            "DeleteSubnet": self.delete_subnet,
        }

    def all(self) -> dict[str, Document]:
        """DescribeNetworkInterfaces' documents by id."""
        found = records(self._backend("ec2", "DescribeNetworkInterfaces", {}), "NetworkInterfaces")
        return {text(item, "NetworkInterfaceId"): self._complete(item) for item in found}

    def create(self, asked: Document) -> Result:
        count, named = number(asked, "Ipv4PrefixCount", 0), _named_prefixes(asked, "Ipv4Prefixes")
        passed = {key: value for key, value in asked.items() if not key.startswith("Ipv4Prefix")}
        made = record(self._backend("ec2", "CreateNetworkInterface", passed), "NetworkInterface")
        try:
            self._delegate(text(made, "NetworkInterfaceId"), text(made, "SubnetId"), count, named)
        except Refused:
            self._backend("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": text(made, "NetworkInterfaceId")})
            raise
        return {"NetworkInterface": self._complete(made)}

    def describe(self, asked: Document) -> Result:
        wanted = filters(asked)
        own = {name: values for name, values in wanted.items() if name in OWN_FILTERS}
        rest = [{"Name": name, "Values": list(values)} for name, values in wanted.items() if name not in own]
        passed = {key: value for key, value in asked.items() if key not in ("Filters", "MaxResults", "NextToken")}
        found = records(
            self._backend("ec2", "DescribeNetworkInterfaces", passed | ({"Filters": rest} if rest else {})),
            "NetworkInterfaces",
        )
        shown = [self._complete(item) for item in found]
        return {"NetworkInterfaces": [item for item in shown if _passes(item, own)]}

    def delete(self, asked: Document) -> Result:
        interface = text(asked, "NetworkInterfaceId")
        if self._book.holder(interface) is not None:
            # "Delete a network interface": it must be detached first.
            raise Refused("InvalidParameterValue", f"Network interface '{interface}' is currently in use.")
        self._backend("ec2", "DeleteNetworkInterface", asked)
        with self._lock:
            self._prefixes.pop(interface, None)
        return {}

    def attach(self, asked: Document) -> Result:
        interface, instance_id = text(asked, "NetworkInterfaceId"), text(asked, "InstanceId")
        if self._book.holder(interface) is not None:
            raise Refused("InvalidNetworkInterface.InUse", f"Interface: [{interface}] in use.")
        instance = self._book.get(instance_id)
        if instance is None or instance.state not in ("running", "stopped"):
            raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        device = number(asked, "DeviceIndex", 0)
        if any(item.device == device for item in instance.attachments):
            message = f"Instance '{instance_id}' already has an interface attached at device index '{device}'."
            raise Refused("InvalidParameterValue", message)
        made = Attachment(
            id=new_id("eni-attach"),
            interface=interface,
            device=device,
            delete_on_termination=False,
            attached=self._clock(),
        )
        self._book.put(replace(instance, attachments=(*instance.attachments, made)))
        return {"AttachmentId": made.id, "NetworkCardIndex": 0}

    def detach(self, asked: Document) -> Result:
        wanted = text(asked, "AttachmentId")
        for instance in self._book.all():
            for attachment in instance.attachments:
                if attachment.id != wanted:
                    continue
                if attachment.device == 0:
                    message = "The network interface at device index 0 cannot be detached."
                    raise Refused("OperationNotPermitted", message)
                kept = tuple(item for item in instance.attachments if item.id != wanted)
                self._book.put(replace(instance, attachments=kept))
                return {}
        raise Refused("InvalidAttachmentID.NotFound", f"The attachment ID '{wanted}' does not exist")

    def assign(self, asked: Document) -> Result:
        interface = text(asked, "NetworkInterfaceId")
        count, named = number(asked, "Ipv4PrefixCount", 0), _named_prefixes(asked, "Ipv4Prefixes")
        if not count and not named:
            return dict(self._backend("ec2", "AssignPrivateIpAddresses", asked))
        subnet = text(self._described(interface), "SubnetId")
        added = self._delegate(interface, subnet, count, named)
        return {"NetworkInterfaceId": interface, "AssignedIpv4Prefixes": _shown_prefixes(added)}

    def unassign(self, asked: Document) -> Result:
        interface, gone = text(asked, "NetworkInterfaceId"), set(_named_prefixes(asked, "Ipv4Prefixes"))
        if texts(asked, "PrivateIpAddresses"):
            passed = {key: value for key, value in asked.items() if key != "Ipv4Prefixes"}
            self._backend("ec2", "UnassignPrivateIpAddresses", passed)
        with self._lock:
            has = self._prefixes.get(interface, ())
            unknown = gone - set(has)
            if unknown:
                message = f"Prefixes {sorted(unknown)} are not assigned to interface [{interface}]."
                raise Refused("InvalidParameterValue", message)
            self._prefixes[interface] = tuple(item for item in has if item not in gone)
        return {}

    def delete_subnet(self, asked: Document) -> Result:
        subnet = text(asked, "SubnetId")
        if any(text(item, "SubnetId") == subnet for item in self.all().values()):
            # "Delete a subnet": terminate its instances and delete its network interfaces first.
            message = f"The subnet '{subnet}' has dependencies and cannot be deleted."
            raise Refused("DependencyViolation", message)
        return dict(self._backend("ec2", "DeleteSubnet", asked))

    def _described(self, interface: str) -> Document:
        asked: Result = {"NetworkInterfaceIds": [interface]}
        return records(self._backend("ec2", "DescribeNetworkInterfaces", asked), "NetworkInterfaces")[0]

    def _delegate(self, interface: str, subnet: str, count: int, named: tuple[str, ...]) -> tuple[str, ...]:
        if count and named:
            raise Refused("InvalidParameterCombination", "Ipv4PrefixCount and Ipv4Prefixes exclude each other.")
        if not count and not named:
            return ()
        asked: Result = {"SubnetIds": [subnet]}
        cidr = text(records(self._backend("ec2", "DescribeSubnets", asked), "Subnets")[0], "CidrBlock")
        with self._lock:
            neighbours = [item for item in self.all().values() if text(item, "SubnetId") == subnet]
            chosen = choose_prefixes(cidr, neighbours, count, named)
            self._prefixes[interface] = (*self._prefixes.get(interface, ()), *chosen)
        return chosen

    def _complete(self, interface: Document) -> Result:
        """Adds what moto does not know: the attachment, the prefixes, the primary address in the list of addresses."""
        shown = dict(interface)
        name, primary = text(interface, "NetworkInterfaceId"), text(interface, "PrivateIpAddress")
        others = [item for item in records(interface, "PrivateIpAddresses") if item.get("PrivateIpAddress") != primary]
        first: Result = {"PrivateIpAddress": primary, "Primary": True}
        if record(interface, "Association"):
            first["Association"] = interface["Association"]
        else:
            shown.pop("Association", None)  # moto shows an empty one
        shown["PrivateIpAddresses"] = [first, *({**item, "Primary": False} for item in others)]
        shown["Ipv4Prefixes"] = _shown_prefixes(self._prefixes.get(name, ()))
        holder = self._book.holder(name)
        if holder is not None:
            shown |= {"Status": "in-use", "Attachment": attachment_document(*holder, self._account)}
        return shown


def choose_prefixes(cidr: str, neighbours: Iterable[Document], count: int, named: tuple[str, ...]) -> tuple[str, ...]:
    """Free /28 blocks of a subnet: those named, or the first `count`. Raises Refused when they are not to be had."""
    subnet = ipaddress.IPv4Network(cidr)
    taken = _taken(subnet, neighbours)
    for prefix in named:
        _check_prefix(prefix, subnet, taken)
    if named:
        return named
    chosen: list[str] = []
    blocks = subnet.subnets(new_prefix=PREFIX_LENGTH) if subnet.prefixlen <= PREFIX_LENGTH else iter(())
    for block in blocks:
        if len(chosen) < count and not any(block.overlaps(other) for other in taken):
            chosen.append(str(block))
    if len(chosen) < count:
        # "Assign prefixes": the subnet must have contiguous free /28 blocks.
        message = "There aren't sufficient free Ipv4 addresses or prefixes in the subnet."
        raise Refused("InsufficientCidrBlocks", message)
    return tuple(chosen)


def _check_prefix(prefix: str, subnet: ipaddress.IPv4Network, taken: list[ipaddress.IPv4Network]) -> None:
    try:
        block = ipaddress.IPv4Network(prefix)
    except ValueError as exc:
        raise Refused("InvalidParameterValue", f"Value ({prefix}) for parameter Ipv4Prefix is invalid.") from exc
    if block.prefixlen != PREFIX_LENGTH or not block.subnet_of(subnet):
        message = f"The prefix {prefix} is not a /{PREFIX_LENGTH} inside the subnet's range {subnet}."
        raise Refused("InvalidParameterValue", message)
    if any(block.overlaps(other) for other in taken):
        raise Refused("InvalidParameterValue", f"Some of the addresses of {prefix} are already in use.")


def _taken(subnet: ipaddress.IPv4Network, neighbours: Iterable[Document]) -> list[ipaddress.IPv4Network]:
    # "Subnet CIDR blocks": the first four addresses and the last one of a subnet are AWS's own.
    own = [subnet[0], subnet[1], subnet[2], subnet[3], subnet[-1]]
    taken = [ipaddress.IPv4Network(address) for address in own]
    for interface in neighbours:
        taken += [
            ipaddress.IPv4Network(text(item, "PrivateIpAddress")) for item in records(interface, "PrivateIpAddresses")
        ]
        taken += [ipaddress.IPv4Network(text(item, "Ipv4Prefix")) for item in records(interface, "Ipv4Prefixes")]
    return taken


def _named_prefixes(asked: Document, name: str) -> tuple[str, ...]:
    """Plain texts in AssignPrivateIpAddresses, structures in CreateNetworkInterface."""
    structures = records(asked, name)
    return tuple(text(item, "Ipv4Prefix") for item in structures) if structures else texts(asked, name)


def _shown_prefixes(prefixes: Iterable[str]) -> list[Result]:
    return [{"Ipv4Prefix": prefix} for prefix in prefixes]


def _passes(shown: Document, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    return all(
        any(fnmatchcase(OWN_FILTERS[name](shown), pattern) for pattern in values) for name, values in wanted.items()
    )
