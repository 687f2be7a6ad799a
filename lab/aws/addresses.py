"""Elastic addresses: where they point, and from when on."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.aws.instances import InstanceBook
from lab.aws.launcher_values import Backend, Document, Handler, Refused, Result, records, text

# AWS gives no figure; users who move an address between instances report five to six seconds until packets arrive at
# the new one (docs/lab.md).
DELAY = 6.0
# Where the lab's elastic addresses come from: TEST-NET-2 of RFC 5737. moto's own are loopback addresses.
POOL = ipaddress.IPv4Network("198.51.100.0/24")
# "Elastic IP address quotas": five a region.
QUOTA = 5


@dataclass(frozen=True)
class Target:
    """Where a public address leads."""

    interface: str
    private_address: str


@dataclass(frozen=True)
class _Move:
    before: Target | None
    due: float  # time.monotonic()


class AddressApi:
    """Lets an association take effect late. `delay` in seconds; `changed` is called when one does."""

    def __init__(
        self, backend: Backend, book: InstanceBook, changed: Callable[[], None], delay: float | None = None
    ) -> None:
        self._backend, self._book, self._changed = backend, book, changed
        self.delay = DELAY if delay is None else delay
        self.quota = QUOTA
        self._moves: dict[str, _Move] = {}
        self._private: dict[str, str] = {}
        self._timers: set[threading.Timer] = set()
        self._lock = threading.RLock()

    def handlers(self) -> dict[str, Handler]:
        return {
            "AllocateAddress": self.allocate,
            "AssociateAddress": self.associate,
            "DisassociateAddress": self.disassociate,
            "DescribeAddresses": self.describe,
            "ReleaseAddress": self.release,
        }

    def effective(self) -> dict[str, Target]:
        """Public address -> where its packets go now: until an association is due, to its old place."""
        now = time.monotonic()
        with self._lock:
            waiting = {address: move for address, move in self._moves.items() if move.due > now}
            leads = {address: target for address, target in self._targets().items() if address not in waiting}
            return leads | {address: move.before for address, move in waiting.items() if move.before is not None}

    def allocate(self, asked: Document) -> Result:
        with self._lock:
            taken = {text(item, "PublicIp") for item in self._addresses()}
            if len(taken) >= self.quota:
                raise Refused("AddressLimitExceeded", "The maximum number of addresses has been reached.")
            free = next(str(host) for host in POOL.hosts() if str(host) not in taken)
            return dict(self._backend("ec2", "AllocateAddress", {**asked, "Address": free}))

    def associate(self, asked: Document) -> Result:
        asked = self._by_interface(asked)
        with self._lock:
            before = self._targets()
            # "AssociateAddress": reassociation is automatic unless the call forbids it; in moto it is refused.
            passed = {"AllowReassociation": True, **asked}
            result = dict(self._backend("ec2", "AssociateAddress", passed))
            address = self._named(asked)
            self._private.pop(address, None)
            if text(asked, "PrivateIpAddress"):
                self._private[address] = text(asked, "PrivateIpAddress")
            if before.get(address) != self._targets().get(address):
                self._wait(address, before.get(address))
        return result

    def _by_interface(self, asked: Document) -> Document:
        """ "AssociateAddress": an instance stands for its interface, if it has one alone."""
        name = text(asked, "InstanceId")
        if not name:
            return asked
        if text(asked, "NetworkInterfaceId"):
            raise Refused("InvalidParameterCombination", "Specify an instance or a network interface, not both.")
        instance = self._book.get(name)
        if instance is None:
            raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{name}' does not exist")
        if instance.state not in ("running", "stopped"):
            message = f"The {instance.state} instance '{name}' is not in a valid state for this operation."
            raise Refused("InvalidInstanceID", message)
        if len(instance.attachments) != 1:
            message = f"There are multiple interfaces attached to instance '{name}'. Please specify an interface ID"
            raise Refused("InvalidInstanceID", f"{message} for the operation instead.")
        named = {key: value for key, value in asked.items() if key != "InstanceId"}
        return {**named, "NetworkInterfaceId": instance.attachments[0].interface}

    def disassociate(self, asked: Document) -> Result:
        with self._lock:
            found = [
                item for item in self._addresses()
                if text(asked, "AssociationId") in (text(item, "AssociationId"), "")
                and text(asked, "PublicIp") in (text(item, "PublicIp"), "")
            ]  # fmt: skip
            result = dict(self._backend("ec2", "DisassociateAddress", asked))
            for item in found:
                self._forget(text(item, "PublicIp"))
        return result

    def describe(self, asked: Document) -> Result:
        result = dict(self._backend("ec2", "DescribeAddresses", asked))
        result["Addresses"] = [self._shown(item) for item in records(result, "Addresses")]
        return result

    def release(self, asked: Document) -> Result:
        with self._lock:
            held = [item for item in self._addresses() if self._is(item, asked)]
            if any(text(item, "AssociationId") for item in held):
                # "ReleaseAddress": it must be disassociated first.
                name = text(held[0], "PublicIp")
                raise Refused(
                    "InvalidIPAddress.InUse",
                    f"The address with allocation id cannot be released because it is in use: {name}",
                )
            result = dict(self._backend("ec2", "ReleaseAddress", asked))
            for item in held:
                self._forget(text(item, "PublicIp"))
        return result

    def stop(self) -> None:
        with self._lock:
            for timer in self._timers:
                timer.cancel()

    def _wait(self, address: str, before: Target | None) -> None:
        if self.delay <= 0:
            return
        self._moves[address] = _Move(before, time.monotonic() + self.delay)
        timer = threading.Timer(self.delay, self._due)
        timer.daemon = True
        self._timers = {item for item in self._timers if item.is_alive()} | {timer}
        timer.start()

    def _due(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._moves = {address: move for address, move in self._moves.items() if move.due > now}
        self._changed()

    def _forget(self, address: str) -> None:
        self._moves.pop(address, None)
        self._private.pop(address, None)

    def _addresses(self) -> tuple[Document, ...]:
        return records(self._backend("ec2", "DescribeAddresses", {}), "Addresses")

    def _targets(self) -> dict[str, Target]:
        shown = [self._shown(item) for item in self._addresses()]
        return {
            text(item, "PublicIp"): Target(text(item, "NetworkInterfaceId"), text(item, "PrivateIpAddress"))
            for item in shown
            if text(item, "NetworkInterfaceId")
        }

    def _named(self, asked: Document) -> str:
        return next(text(item, "PublicIp") for item in self._addresses() if self._is(item, asked))

    @staticmethod
    def _is(item: Document, asked: Document) -> bool:
        named = text(asked, "AllocationId")
        if named:
            return text(item, "AllocationId") == named
        return text(item, "PublicIp") == text(asked, "PublicIp")

    def _shown(self, item: Document) -> Result:
        """moto always shows the interface's primary address, whichever was asked for, and knows no instance of ours."""
        interface, kept = text(item, "NetworkInterfaceId"), self._private.get(text(item, "PublicIp"))
        holder = self._book.holder(interface) if interface else None
        shown = dict(item) | ({"PrivateIpAddress": kept} if kept and interface else {})
        return shown | ({"InstanceId": holder[0].id} if holder else {})
