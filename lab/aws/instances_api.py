"""EC2's actions on instances, answered from the fleet."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime

from lab.aws.instances import Instance
from lab.aws.instances_describe import describe, matches, state_document
from lab.aws.instances_fleet import Fleet
from lab.aws.launcher_template import launch_request, read_template
from lab.aws.launcher_values import (
    Backend,
    Document,
    Handler,
    Refused,
    Result,
    filters,
    flag,
    number,
    record,
    records,
    tags,
    text,
    texts,
)

BY_USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")


class InstanceApi:
    """`interfaces` gives DescribeNetworkInterfaces' documents by id, as the API shows them."""

    def __init__(
        self,
        fleet: Fleet,
        backend: Backend,
        account: str,
        interfaces: Callable[[], Mapping[str, Document]],
        kick: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._fleet, self._backend, self._account = fleet, backend, account
        self._interfaces, self._kick, self._clock = interfaces, kick, clock

    def handlers(self) -> dict[str, Handler]:
        return {
            "RunInstances": self.run,
            "TerminateInstances": self.terminate,
            "StopInstances": self.stop,
            "StartInstances": self.start,
            "RebootInstances": self.reboot,
            "DescribeInstances": self.describe,
            "DescribeInstanceStatus": self.status,
            "DescribeInstanceAttribute": self.attribute,
            "GetConsoleOutput": self.console,
            "CreateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
        }

    def run(self, asked: Document) -> Result:
        count = number(asked, "MinCount", 1)
        data, template, version = dict(asked), "", ""
        if asked.get("LaunchTemplate"):
            found = read_template(self._backend, record(asked, "LaunchTemplate"))
            template, version = found.id, found.version
            data = {**found.data, **{key: value for key, value in asked.items() if value not in (None, [])}}
            both = [*records(found.data, "TagSpecifications"), *records(asked, "TagSpecifications")]
            data["TagSpecifications"] = both
        request = launch_request(data, template=template, version=version)
        launched = [self._fleet.launch(request) for _ in range(count)]
        self._kick()
        shown = self._described(launched)
        return {"ReservationId": launched[0].reservation, "OwnerId": self._account, "Groups": [], "Instances": shown}

    def terminate(self, asked: Document) -> Result:
        changes = self._each(asked, lambda instance: self._fleet.terminate(instance.id, BY_USER))
        return {"TerminatingInstances": changes}

    def stop(self, asked: Document) -> Result:
        return {"StoppingInstances": self._each(asked, lambda instance: self._fleet.stop(instance.id))}

    def start(self, asked: Document) -> Result:
        return {"StartingInstances": self._each(asked, lambda instance: self._fleet.start(instance.id))}

    def reboot(self, asked: Document) -> Result:
        for instance_id in texts(asked, "InstanceIds"):
            self._fleet.reboot(instance_id)
        return {}

    def describe(self, asked: Document) -> Result:
        found = self._selected(asked)
        by_reservation: dict[str, list[Instance]] = {}
        for instance in found:
            by_reservation.setdefault(instance.reservation, []).append(instance)
        return {
            "Reservations": [
                {"ReservationId": key, "OwnerId": self._account, "Groups": [], "Instances": self._described(group)}
                for key, group in by_reservation.items()
            ]
        }

    def status(self, asked: Document) -> Result:
        everything = flag(asked, "IncludeAllInstances")
        return {
            "InstanceStatuses": [
                self._status(instance)
                for instance in self._selected(asked)
                if everything or instance.state == "running"
            ]
        }

    def attribute(self, asked: Document) -> Result:
        instance = self._fleet.get(text(asked, "InstanceId"))
        name = text(asked, "Attribute")
        values: dict[str, tuple[str, Result]] = {
            "userData": ("UserData", {"Value": instance.user_data} if instance.user_data else {}),
            "instanceType": ("InstanceType", {"Value": instance.type}),
            "instanceInitiatedShutdownBehavior": (
                "InstanceInitiatedShutdownBehavior",
                {"Value": instance.on_shutdown},
            ),
            "disableApiTermination": ("DisableApiTermination", {"Value": False}),
            "disableApiStop": ("DisableApiStop", {"Value": False}),
        }
        if name not in values:
            raise Refused("InvalidParameterValue", f"The attribute '{name}' is not kept by this launcher.")
        key, value = values[name]
        return {"InstanceId": instance.id, key: value}

    def console(self, asked: Document) -> Result:
        """The last 64 KB, as on AWS ("Get the console output")."""
        instance = self._fleet.get(text(asked, "InstanceId"))
        written = self._fleet.console(instance.id).encode()[-65536:]
        return {
            "InstanceId": instance.id,
            "Timestamp": self._clock(),
            "Output": base64.b64encode(written).decode(),
        }

    def create_tags(self, asked: Document) -> Result:
        self._backend("ec2", "CreateTags", asked)
        self._tag(asked, dict(tags(asked)))
        return {}

    def delete_tags(self, asked: Document) -> Result:
        self._backend("ec2", "DeleteTags", asked)
        self._tag(asked, dict.fromkeys(tags(asked)))
        return {}

    def _tag(self, asked: Document, set_to: dict[str, str | None]) -> None:
        for resource in texts(asked, "Resources"):
            if resource.startswith("i-"):
                self._fleet.get(resource)
                self._fleet.book.update_tags(resource, set_to)

    def _each(self, asked: Document, act: Callable[[Instance], Instance]) -> list[Result]:
        """Applies to all named instances or, when one is unknown, to none."""
        before = [self._fleet.get(instance_id) for instance_id in texts(asked, "InstanceIds")]
        changes: list[Result] = []
        for instance in before:
            after = act(instance)
            previous, current = state_document(instance), state_document(after)
            changes.append({"InstanceId": instance.id, "PreviousState": previous, "CurrentState": current})
        self._kick()
        return changes

    def _selected(self, asked: Document) -> list[Instance]:
        named = texts(asked, "InstanceIds")
        chosen = [self._fleet.get(name) for name in named] if named else list(self._fleet.book.all())
        wanted = filters(asked)
        return [instance for instance in chosen if matches(instance, wanted)]

    def _described(self, instances: list[Instance]) -> list[Result]:
        interfaces = self._interfaces()
        return [describe(instance, self._account, interfaces) for instance in instances]

    def _status(self, instance: Instance) -> Result:
        check = instance.health if instance.state == "running" else "not-applicable"
        detail: Result = {"Status": check}
        return {
            "InstanceId": instance.id,
            "AvailabilityZone": instance.zone,
            "InstanceState": state_document(instance),
            "InstanceStatus": detail,
            "SystemStatus": detail,
        }
