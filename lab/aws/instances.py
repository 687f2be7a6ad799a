"""An instance as the launcher keeps it, and the book of all of them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

State = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html
STATE_CODES: dict[State, int] = {
    "pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80,
}  # fmt: skip
# States in which a network interface is still the instance's.
HOLDING: frozenset[State] = frozenset({"pending", "running", "shutting-down", "stopping", "stopped"})


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A network interface of an instance."""

    id: str  # eni-attach-…
    interface: str  # eni-…
    device: int
    delete_on_termination: bool
    attached: datetime


@dataclass(frozen=True, kw_only=True)
class MetadataOptions:
    """Who may read an instance's metadata, and how far the token's answer travels.

    Defaults as of an API call that names nothing ("Configure instance metadata options for new instances").
    """

    tokens: Literal["optional", "required"] = "optional"
    hop_limit: int = 1
    enabled: bool = True
    instance_tags: bool = False


@dataclass(frozen=True, kw_only=True)
class Disk:
    device: str
    encrypted: bool
    kind: str  # "gp3", …
    size: int  # GiB, 0 when the image decides
    key: str  # ARN of a KMS key, "" for the account's own
    delete_on_termination: bool


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance. Replaced in the book, never changed."""

    id: str
    reservation: str
    state: State
    launched: datetime
    image: str
    type: str
    architecture: str
    profile: str  # ARN of the instance profile, "" for none
    user_data: str  # base64, as given
    metadata: MetadataOptions
    disks: tuple[Disk, ...]
    attachments: tuple[Attachment, ...]  # device order
    network: str
    subnet: str
    zone: str
    private_address: str
    key_name: str
    monitoring: bool
    template: str  # id of the launch template, "" for none
    template_version: str
    tags: tuple[tuple[str, str], ...]
    on_shutdown: Literal["stop", "terminate"] = "stop"
    state_reason: tuple[str, str] = ("", "")  # code and message
    changed: datetime | None = None  # when the state last changed
    console: str = ""  # what stood on the console when the machine was taken away
    health: Literal["ok", "impaired"] = "ok"
    booted: bool = False  # its machine was started and not yet taken away

    @property
    def tag_map(self) -> dict[str, str]:
        return dict(self.tags)


def new_id(prefix: str) -> str:
    """An id as AWS writes them: i-0123456789abcdef0."""
    return f"{prefix}-0{secrets.token_hex(8)}"


class InstanceBook:
    """All instances, terminated ones too until they are forgotten. Safe to use from several threads."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._lock = threading.RLock()

    def put(self, instance: Instance) -> Instance:
        with self._lock:
            self._instances[instance.id] = instance
        return instance

    def get(self, instance_id: str) -> Instance | None:
        with self._lock:
            return self._instances.get(instance_id)

    def all(self) -> tuple[Instance, ...]:
        with self._lock:
            return tuple(self._instances.values())

    def in_states(self, states: Iterable[State]) -> tuple[Instance, ...]:
        wanted = frozenset(states)
        return tuple(instance for instance in self.all() if instance.state in wanted)

    def move(
        self,
        instance_id: str,
        state: State,
        now: datetime,
        reason: tuple[str, str] | None = None,
        *,
        expected: State | None = None,
    ) -> Instance:
        """Changes the state, unless a call has changed it from the `expected` one meanwhile. Raises KeyError."""
        with self._lock:
            before = self._instances[instance_id]
            if expected is not None and before.state != expected:
                return before
            after = replace(before, state=state, changed=now, state_reason=reason or before.state_reason)
            return self.put(after)

    def boot(self, instance_id: str, now: datetime) -> None:
        """Its machine was started: running, unless a call has ended it meanwhile."""
        with self._lock:
            self.put(replace(self._instances[instance_id], booted=True))
            self.move(instance_id, "running", now, ("", ""), expected="pending")

    def unplug(self, instance_id: str, console: str) -> None:
        """Its machine was taken away."""
        with self._lock:
            self.put(replace(self._instances[instance_id], booted=False, console=console, health="ok"))

    def impair(self, instance_id: str) -> None:
        with self._lock:
            self.put(replace(self._instances[instance_id], health="impaired"))

    def update_tags(self, instance_id: str, set_to: dict[str, str | None]) -> None:
        """None removes a tag."""
        with self._lock:
            before = self._instances[instance_id]
            kept = {key: value for key, value in (before.tag_map | set_to).items() if value is not None}
            self.put(replace(before, tags=tuple(sorted(kept.items()))))

    def forget(self, instance_id: str) -> None:
        with self._lock:
            self._instances.pop(instance_id, None)

    def holder(self, interface: str) -> tuple[Instance, Attachment] | None:
        """Who has a network interface attached."""
        for instance in self.in_states(HOLDING):
            for attachment in instance.attachments:
                if attachment.interface == interface:
                    return instance, attachment
        return None
