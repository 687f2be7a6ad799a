"""Launches, stops and ends instances: their interfaces, their machines, their states.

A call only moves an instance to `pending`, `stopping` or `shutting-down`; `advance` does what that asks for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from lab.aws.instances import Attachment, Instance, InstanceBook, State, new_id
from lab.aws.launcher_machines import Machines
from lab.aws.launcher_template import InterfaceRequest, LaunchRequest, architecture
from lab.aws.launcher_values import Backend, Document, Refused, record, records, tag_list, text

# How long a terminated instance is still described ("Terminate Amazon EC2 instances": "for about an hour").
KEPT_AFTER_TERMINATION = timedelta(hours=1)


class Fleet:
    """All instances. `apply` makes the network equal to the API before a machine boots, and after one has gone."""

    def __init__(
        self, backend: Backend, machines: Machines, apply: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self.book = InstanceBook()
        self._backend, self._machines, self._apply, self._clock = backend, machines, apply, clock
        # A reboot must not look like a machine that went down.
        self._power = threading.Lock()

    def launch(self, request: LaunchRequest) -> Instance:
        """A new instance in state pending, its interfaces attached. Raises Refused, and then has changed nothing."""
        arch = architecture(request.type)
        _check_image(self._backend, request.image, arch)
        profile = _profile_arn(self._backend, request.profile)
        if sorted(item.device for item in request.interfaces) != list(range(len(request.interfaces))):
            raise Refused("InvalidParameterValue", "Each network interface requires a unique device index.")
        for item in request.interfaces:
            self._check_free(item)
        described = self._interfaces(request)
        now = self._clock()
        attachments = tuple(
            Attachment(
                id=new_id("eni-attach"),
                interface=text(interface, "NetworkInterfaceId"),
                device=item.device,
                delete_on_termination=item.delete_on_termination,
                attached=now,
            )
            for item, interface in zip(request.interfaces, described, strict=True)
        )
        first = described[0]
        instance = Instance(
            id=new_id("i"),
            reservation=new_id("r"),
            state="pending",
            launched=now,
            image=request.image,
            type=request.type,
            architecture=arch,
            profile=profile,
            user_data=request.user_data,
            metadata=request.metadata,
            disks=request.disks,
            attachments=attachments,
            network=text(first, "VpcId"),
            subnet=text(first, "SubnetId"),
            zone=text(first, "AvailabilityZone"),
            private_address=text(first, "PrivateIpAddress"),
            key_name=request.key_name,
            monitoring=request.monitoring,
            template=request.template,
            template_version=request.template_version,
            tags=tuple(sorted(request.tags.items())),
            on_shutdown=request.on_shutdown,
            changed=now,
        )
        return self.book.put(instance)

    def get(self, instance_id: str) -> Instance:
        instance = self.book.get(instance_id)
        if instance is None:
            raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return instance

    def terminate(self, instance_id: str, reason: tuple[str, str]) -> Instance:
        instance = self.get(instance_id)
        if instance.state in ("shutting-down", "terminated"):
            return instance
        return self.book.move(instance_id, "shutting-down", self._clock(), reason)

    def stop(self, instance_id: str) -> Instance:
        return self._ask(instance_id, {"running": "stopping"}, {"stopping", "stopped"}, "stopped")

    def start(self, instance_id: str) -> Instance:
        return self._ask(instance_id, {"stopped": "pending"}, {"pending", "running"}, "started")

    def reboot(self, instance_id: str) -> None:
        if self.get(instance_id).state != "running":
            raise Refused("IncorrectState", f"The instance '{instance_id}' is not in a state from which it can reboot.")
        with self._power:
            self._machines.stop(instance_id)
            self._machines.start(instance_id)

    def console(self, instance_id: str) -> str:
        instance = self.get(instance_id)
        return self._machines.console(instance_id) if instance.booted else instance.console

    def alive(self, instance_id: str) -> bool:
        return self._machines.alive(instance_id)

    def running(self) -> tuple[Instance, ...]:
        return self.book.in_states({"pending", "running"})

    def advance(self) -> bool:
        """One step of every instance that is on its way somewhere, and of those that went down by themselves."""
        with self._power:
            return self._advance()

    def _advance(self) -> bool:
        self._notice_shutdowns()
        going = self.book.in_states({"shutting-down", "stopping"})
        coming = self.book.in_states({"pending"})
        for instance in going:
            self._take_down(instance)
        if going or coming:
            self._apply()
        for instance in coming:
            self._machines.start(instance.id)
            self.book.boot(instance.id, self._clock())
        self._forget_old()
        return bool(going or coming)

    def _ask(self, instance_id: str, moves: dict[State, State], done: set[State], verb: str) -> Instance:
        instance = self.get(instance_id)
        if instance.state in done:
            return instance
        if instance.state not in moves:
            state = instance.state
            raise Refused(
                "IncorrectInstanceState",
                f"The instance '{instance_id}' is not in a state from which it can be {verb} ({state}).",
            )
        return self.book.move(instance_id, moves[instance.state], self._clock())

    def _take_down(self, instance: Instance) -> None:
        ended = instance.state == "shutting-down"
        if instance.booted:
            console = self._machines.console(instance.id)
            self._machines.stop(instance.id)
            self.book.unplug(instance.id, console)
        self.book.move(instance.id, "terminated" if ended else "stopped", self._clock(), expected=instance.state)
        for attachment in instance.attachments if ended else ():
            if attachment.delete_on_termination:
                self._backend("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": attachment.interface})

    def _notice_shutdowns(self) -> None:
        """A machine that powered itself off, or crashed, is stopped (or ended, where the instance says so)."""
        for instance in self.book.in_states({"running"}):
            if not self._machines.alive(instance.id):
                to: State = "shutting-down" if instance.on_shutdown == "terminate" else "stopping"
                reason = (
                    "Client.InstanceInitiatedShutdown",
                    "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
                )
                self.book.move(instance.id, to, self._clock(), reason)

    def _forget_old(self) -> None:
        for instance in self.book.in_states({"terminated"}):
            if instance.changed and self._clock() - instance.changed > KEPT_AFTER_TERMINATION:
                self.book.forget(instance.id)

    def _check_free(self, item: InterfaceRequest) -> None:
        holder = self.book.holder(item.existing) if item.existing else None
        if holder is not None:
            # The text is what EC2 answers when an interface of another instance is named in a launch.
            raise Refused("InvalidNetworkInterface.InUse", f"Interface: [{item.existing}] in use.")

    def _interfaces(self, request: LaunchRequest) -> list[Document]:
        """All of them, or none is left behind."""
        found: list[Document] = []
        try:
            found.extend(self._interface(item, request) for item in request.interfaces)
        except Refused:
            for item, interface in zip(request.interfaces, found, strict=False):
                if not item.existing:
                    name = text(interface, "NetworkInterfaceId")
                    self._backend("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": name})
            raise
        return found

    def _interface(self, item: InterfaceRequest, request: LaunchRequest) -> Document:
        if item.public_address:
            message = "AssociatePublicIpAddress is not kept by this launcher: use an Elastic IP address."
            raise Refused("UnsupportedOperation", message)
        if item.existing:
            asked: dict[str, object] = {"NetworkInterfaceIds": [item.existing]}
            return records(self._backend("ec2", "DescribeNetworkInterfaces", asked), "NetworkInterfaces")[0]
        made: dict[str, object] = {"SubnetId": item.subnet, "TagSpecifications": []}
        if not item.subnet:
            raise Refused("MissingInput", "No subnets found: name a subnet or a network interface.")
        if item.groups:
            made["Groups"] = list(item.groups)
        if item.private_address:
            made["PrivateIpAddress"] = item.private_address
        if request.interface_tags:
            tags = tag_list(request.interface_tags)
            made["TagSpecifications"] = [{"ResourceType": "network-interface", "Tags": tags}]
        return record(self._backend("ec2", "CreateNetworkInterface", made), "NetworkInterface")


def _check_image(backend: Backend, image: str, arch: str) -> None:
    if not image:
        raise Refused("MissingParameter", "The request must contain the parameter ImageId")
    found = records(backend("ec2", "DescribeImages", {"ImageIds": [image]}), "Images")
    if not found:
        raise Refused("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    has = text(found[0], "Architecture", "x86_64")
    if has != arch:
        raise Refused(
            "InvalidParameterValue",
            f"The architecture '{arch}' of the specified instance type does not match the architecture '{has}' of "
            "the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
        )


def _profile_arn(backend: Backend, profile: str) -> str:
    if not profile:
        return ""
    name = profile.rsplit("/", 1)[-1]
    try:
        found = record(backend("iam", "GetInstanceProfile", {"InstanceProfileName": name}), "InstanceProfile")
    except Refused as exc:
        kind = "arn" if profile.startswith("arn:") else "name"
        message = f"Value ({profile}) for parameter iamInstanceProfile.{kind} is invalid."
        raise Refused("InvalidParameterValue", f"{message} Invalid IAM Instance Profile {kind}") from exc
    return text(found, "Arn")
