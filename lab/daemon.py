"""The lab's one long-lived process: control plane, fabric and machines, and the calls of `python -m lab`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from itertools import starmap
from pathlib import Path

from lab import mirror, remote
from lab.aws.adapter import read_topology
from lab.aws.control import ControlPlane, Credentials
from lab.aws.launcher import Launcher
from lab.aws.launcher_front import backend_of, launcher_for
from lab.aws.launcher_machines import Machines, NullMachines
from lab.aws.launcher_views import InstanceRoles, Views, minted_by
from lab.aws.metadata import MetadataService
from lab.aws.names import NAMES
from lab.aws.seeds import STOCK_IMAGE
from lab.calls import Nat, PathCut, PowerAct, Ran, Status
from lab.fabric.cuts import Cut
from lab.fabric.fabric import Fabric
from lab.fabric.kernel import inside
from lab.machines import Machines as Containers
from lab.paths import CONTROL, IMAGE, MACHINES, PREFIX, STOCK
from lab.people import make_roles
from lab.watched import Boot, WatchedMachines

REGION = "eu-west-1"


class Lab:
    """A cloud on this machine. Without root it has a control plane alone: no packets, and machines that are records."""

    def __init__(self) -> None:
        self._control: ControlPlane | None = None
        self._fabric: Fabric | None = None
        self._machines: Machines = NullMachines()
        self._launcher: Launcher | None = None
        self._applying = threading.Lock()
        self._changed = threading.Event()
        self._opened: dict[tuple[str, int], socket.socket] = {}
        self.ended = threading.Event()

    # -- the calls of `python -m lab` ---------------------------------------------------------------------------------

    def ping(self) -> int:
        return os.getpid()

    def start(
        self, *, rootless: bool = False, tables: bool = True, move_seconds: float = 6.0, conflicts: float = 0.02
    ) -> None:
        """Starts everything; `move_seconds` is how long an elastic IP takes to move. A preview needs no `tables`."""
        self._control = control = ControlPlane(CONTROL, region=REGION, conflicts=conflicts, tables=tables)
        control.start()
        if not rootless:
            self._start_fabric(control)
        self._backend = backend = backend_of(control)
        self._launcher = launcher = launcher_for(control, self._machines, apply=self.apply, address_delay=move_seconds)
        self._views = Views(backend, launcher, region=control.region, account=control.account)
        self._roles = InstanceRoles(backend, minted_by(control))
        control.on_change(self._views.forget)
        control.on_change(self._changed.set)
        launcher.start()
        threading.Thread(target=self._follow, daemon=True, name="follow").start()

    def environment(self) -> dict[str, str]:
        """The deployer's settings, for tools on the host."""
        return {**self._reach(), **_environment(self._running().admin)}

    def credentials(self, *, role: str, local: bool = False) -> dict[str, str]:
        """A role's settings: for tools on the host (`local`) or for a client that finds the real names."""
        control = self._running()
        minted = _environment(control.session_for_role(f"arn:aws:iam::{control.account}:role/{role}", "lab"))
        reach = (
            self._reach()
            if local
            else {"AWS_CA_BUNDLE": str(control.ca_file), "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        )
        return {**reach, **minted}

    def people(self, *, policies: Mapping[str, str]) -> None:
        """Gives the lab's people the policies that the stack has put out."""
        make_roles(self._running(), self._backend, policies=policies)

    def client(self, *, name: str, nat: Nat) -> str:
        return self._wired().add_client(name, nat=nat)

    def listen(self, *, address: str, port: int) -> None:
        """Has something that accepts connections and says nothing at a public address."""
        if (address, port) not in self._opened:
            self._opened[address, port] = self._wired().listen("internet", address, port)

    def address_of(self, *, name: str) -> str:
        """What the lab's DNS answers for a name of the cloud."""
        return next(address for suffix, address in NAMES if name == suffix or name.endswith(f".{suffix}"))

    def wait_ready(self, *, count: int, timeout: float) -> tuple[Boot, ...]:
        assert isinstance(self._machines, WatchedMachines)  # noqa: S101
        return tuple(self._machines.wait_ready(count, timeout))

    def status(self) -> Status:
        boots = self._machines.boots() if isinstance(self._machines, WatchedMachines) else ()
        return Status(endpoint=self._running().endpoint, logs=str(CONTROL), machines=tuple(boots))

    def shell(self, *, name: str, command: list[str]) -> list[str]:
        """The words that run a command, or without one a shell, in a gateway (slot or instance id) or a client."""
        assert isinstance(self._machines, WatchedMachines)  # noqa: S101
        for boot in self._machines.boots():
            if name in (boot.slot, boot.id):
                run = ["-c", 'exec "$@"', "-", *command] if command else []
                return [*self._containers.shell(boot.id), *run]
        clients = self._wired().clients()
        if name not in clients:
            slots = {boot.slot or boot.id for boot in self._machines.boots()}
            known = ", ".join([*sorted(slots), *clients]) or "none yet"
            raise remote.LabError(f"there is no {name!r} to look into; there are: {known}", 3)
        return ["ip", "netns", "exec", self._wired().client_namespace(name), *(command or ["/bin/bash"])]

    def run(self, *, machine: str, argv: list[str]) -> Ran:
        done = self._containers.run(machine, argv)
        return Ran(done.returncode, done.stdout + done.stderr)

    def console(self, *, machine: str) -> str:
        return self._machines.console(machine)

    def namespace(self, *, of: str) -> str:
        """The network namespace of a machine, a network or an endpoint, by the cloud's id."""
        return self._wired().machine_namespace(of)

    def cut(self, *, name: str, paths: list[tuple[str, list[str], bool]]) -> None:
        """Cuts paths until `mend`."""
        wired = self._wired()

        def cidrs(other: str) -> tuple[str, ...]:
            """Of a machine; a CIDR is its own."""
            return tuple(address for one in wired.interfaces_of(other) for address in one.addresses) or (other,)

        cuts = [
            Cut(
                interface=interface.id,
                cidrs=tuple(a for other in path.others for a in cidrs(other)),
                spare=path.all_but,
            )
            for path in starmap(PathCut, paths)
            for interface in wired.interfaces_of(path.machine)
        ]
        wired.cut(name, cuts)

    def mend(self, *, name: str) -> None:
        self._wired().mend(name)

    def lie(self, *, machine: str, seconds: float) -> None:
        """The time source is so far ahead for a machine; 0: tells the truth again."""
        found = [address for one in self._wired().interfaces_of(machine) for address in one.addresses]
        self._wired().lie(found, seconds)

    def kernel(self, *, machine: str, name: str, value: str) -> None:
        """Sets a network setting of a machine's kernel (`net/ipv4/ip_forward`)."""
        inside(self._wired().machine_namespace(machine), lambda: Path("/proc/sys", name).write_text(value))

    def fill_disk(self, *, machine: str, full: bool) -> None:
        self._containers.fill_disk(machine, full)

    def slow_down(self, *, seconds: float) -> None:
        self._running().slow_down(seconds)

    def darken(self, *, zone: str, dark: bool) -> None:
        assert self._launcher is not None  # noqa: S101
        self._launcher.darken(zone, dark)

    def power(self, *, machine: str, act: PowerAct) -> None:
        """Cuts a machine's power, or has it stand still and go on."""
        {"cut": self._machines.stop, "pause": self._containers.pause, "resume": self._containers.resume}[act](machine)

    def stop(self) -> None:
        self.ended.set()

    # -- inside -------------------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Makes the fabric equal to what the API says now."""
        if self._fabric is None or self._launcher is None:
            return
        with self._applying:
            self._changed.clear()
            self._fabric.apply(read_topology(self._backend, self._launcher))

    def tear_down(self) -> None:
        if self._launcher:
            self._launcher.stop()
        if self._fabric:
            self._containers.sweep()
            self._fabric.teardown()
        if self._control:
            self._control.stop()

    def _start_fabric(self, control: ControlPlane) -> None:
        archive = mirror.archive_of(STOCK)
        names = (*NAMES, *([(archive.host, mirror.ADDRESS)] if archive else []))
        self._fabric = fabric = Fabric(PREFIX, names)
        self._containers = Containers(self._image_of, MACHINES, control.ca_file, fabric.machine_namespace)
        self._machines = WatchedMachines(self._containers)

        def serve_endpoint(endpoint: str, sock: socket.socket) -> None:
            control.listen(sock, endpoint)

        fabric.on_endpoint = serve_endpoint
        fabric.on_network = self._serve_metadata
        fabric.start()
        for address in sorted({address for _, address in NAMES}):
            control.listen(fabric.listen("internet", address, 443), None)
        if archive:
            mirror.serve(archive, fabric.listen("internet", mirror.ADDRESS, 80))

    def _image_of(self, machine: str) -> Path:
        """The root directory that stands for the instance's image."""
        assert self._launcher is not None  # noqa: S101
        image = next(instance.image for instance in self._launcher.running() if instance.id == machine)
        return STOCK / "root" if image == STOCK_IMAGE.ami_id else IMAGE

    def _serve_metadata(self, network: str, sock: socket.socket) -> None:
        MetadataService(sock, self._views.lookup(network), self._roles.role_of, self._roles.credentials_of).start()

    def _follow(self) -> None:
        while not self.ended.is_set():
            if self._changed.wait(1):
                try:
                    self.apply()
                except Exception as error:  # noqa: BLE001 - said in the log; the next change tries again
                    print(f"apply: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                    self.ended.wait(0.5)
                    self._changed.set()

    def _reach(self) -> dict[str, str]:
        control = self._running()
        return {
            "AWS_ENDPOINT_URL": control.endpoint,
            "AWS_CA_BUNDLE": str(control.ca_file),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def _running(self) -> ControlPlane:
        if self._control is None:
            raise RuntimeError("the lab's cloud has not been started")
        return self._control

    def _wired(self) -> Fabric:
        if self._fabric is None:
            raise RuntimeError("this lab has no network: it was started without root")
        return self._fabric


def _environment(credentials: Credentials) -> dict[str, str]:
    """As the AWS SDKs and tools read it."""
    session = {"AWS_SESSION_TOKEN": credentials.token} if credentials.token else {}
    return {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret, **session}


def main() -> None:
    lab = Lab()
    calls = (
        "ping",
        "people",
        "start",
        "environment",
        "credentials",
        "client",
        "listen",
        "address_of",
        "wait_ready",
        "status",
        "shell",
        "run",
        "console",
        "power",
        "cut",
        "mend",
        "lie",
        "kernel",
        "fill_disk",
        "slow_down",
        "darken",
        "namespace",
        "stop",
    )
    listener = remote.serve({name: getattr(lab, name) for name in calls})

    def end(number: int, frame: object) -> None:
        lab.ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    lab.ended.wait()
    listener.close()
    lab.tear_down()


if __name__ == "__main__":
    main()
