"""The lab's own launcher of instances and autoscaling groups, in place of moto's.

moto launches a group with an existing network interface elsewhere, attaches an interface twice, drops metadata
options and forgets terminated instances; and somebody has to boot machines. The launcher answers those actions
through the front's overrides and keeps everything else (networks, templates, images, roles) in moto.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from lab.aws.addresses import AddressApi
from lab.aws.endpoints import EndpointApi
from lab.aws.groups_api import GroupApi
from lab.aws.groups_book import GroupBook
from lab.aws.groups_hooks import HookApi
from lab.aws.groups_loop import GroupLoop
from lab.aws.instances import Instance
from lab.aws.instances_api import InstanceApi
from lab.aws.instances_fleet import Fleet
from lab.aws.instances_network import InterfaceApi
from lab.aws.launcher_machines import Machines
from lab.aws.launcher_template_api import TemplateApi
from lab.aws.launcher_values import Backend, Document, Handler
from lab.aws.quotas import ADDRESSES, NETWORKS, Quota, QuotaApi
from lab.aws.room import RoomApi

log = logging.getLogger(__name__)

# How often machines are looked at when nothing else happens, in seconds.
PULSE = 0.5


def utc_now() -> datetime:
    return datetime.now(UTC)


class Launcher:
    """`apply` makes the fabric equal to `lab.aws.adapter.read_topology`; it is called before a machine boots.

    `handlers` are what the front overrides, by service and action. `changed` is told when something happens that no
    call says: an instance's state, an address that takes effect later.
    """

    def __init__(
        self,
        backend: Backend,
        machines: Machines,
        *,
        apply: Callable[[], None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
        region: str = "eu-west-1",
        account: str = "123456789012",
        address_delay: float | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._stopping, self._kicked = threading.Event(), threading.Event()
        self._changed = changed
        kick = self._kicked.set
        self.fleet = Fleet(backend, machines, apply, clock)
        self.groups = GroupBook(clock)
        self._loop = GroupLoop(self.groups, self.fleet, backend, clock)
        self.interfaces = InterfaceApi(backend, self.fleet.book, account, clock)
        self.endpoints = EndpointApi(backend, self.interfaces)
        self.addresses = AddressApi(backend, self.fleet.book, changed, address_delay)
        self.room = RoomApi(backend)
        own = InstanceApi(self.fleet, backend, account, self.interfaces.all, kick, clock)
        groups = GroupApi(self.groups, self._loop, backend, region, account, kick, clock)
        hooks = HookApi(self.groups, self._loop, backend, kick, clock)
        self.handlers: Mapping[str, Mapping[str, Handler]] = {
            "ec2": own.handlers()
            | TemplateApi(backend).handlers()
            | self.interfaces.handlers()
            | self.endpoints.handlers()
            | self.addresses.handlers()
            | self.room.handlers(),
            "autoscaling": groups.handlers() | hooks.handlers(),
            "secretsmanager": self.room.secret_handlers(),
            "service-quotas": QuotaApi(self._quotas, region, account).handlers(),
        }
        self._thread = threading.Thread(target=self._run, name="launcher", daemon=True)

    def _quotas(self) -> Mapping[Quota, int]:
        return {ADDRESSES: self.addresses.quota, NETWORKS: self.room.networks}

    def call(self, service: str, action: str, parameters: Document) -> Document:
        """Asks the launcher itself, without a wire in between. Raises Refused."""
        return self.handlers[service][action](parameters)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop. Machines run on: whoever runs them stops them."""
        self._stopping.set()
        self._kicked.set()
        self.addresses.stop()
        if self._thread.is_alive():
            self._thread.join()

    def step(self) -> bool:
        """Looks at everything once: groups, then instances. True when anything moved."""
        moved = self._loop.step()
        if self.fleet.advance():
            self._changed()
            return True
        return moved

    def running(self) -> tuple[Instance, ...]:
        """Instances whose machines should be up, in the order of their launch: pending ones too, because the network
        must be there before a machine boots."""
        return self.fleet.running()

    def darken(self, zone: str, dark: bool = True) -> None:
        """Nothing is launched in a zone from now on, or again."""
        (self._loop.dark.add if dark else self._loop.dark.discard)(zone)
        self._kicked.set()

    def impair(self, instance_id: str) -> None:
        """Lets the instance's status checks fail from now on, as EC2 finds a machine that no longer answers."""
        self.fleet.book.impair(instance_id)
        self._kicked.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._kicked.wait(PULSE)
            self._kicked.clear()
            try:
                while not self._stopping.is_set() and self.step():
                    pass
            except Exception:
                # The loop is the cloud itself: it reports, and goes on at the next pulse.
                log.exception("the launcher's step failed")
