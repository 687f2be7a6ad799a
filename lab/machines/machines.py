"""Machines: systemd-nspawn, which boots a user data document with the real systemd and cloud-init."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from lab.machines.cgroups import Group, group_name, unified_root
from lab.machines.console import Console, plain
from lab.machines.files import lay_files
from lab.paths import MACHINES

BOOT = Path(__file__).parent / "boot"
RESOLVERS = Path("/etc/netns")
POLL_SECONDS = 0.02
LEADER_SECONDS = 30.0  # from the start to a process 1
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}


@cache
def _own_depth() -> int:
    """How many process namespaces deep this process is. Not looked at on import: a Mac has no /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(len(line.split()) - 1 for line in lines if line.startswith("NSpid:"))


class MachineError(RuntimeError):
    """A machine that is not there, or does not do what was waited for."""


def sweep(state_dir: Path = MACHINES) -> None:
    """Kills every machine whose state is there, also those of a process that was killed."""
    groups = unified_root() / group_name(state_dir)
    if groups.is_dir():
        for path in [p for p in groups.iterdir() if p.is_dir()]:
            Group(path).kill()
        groups.rmdir()


class Machines:
    """Starts and kills machines by id.

    `image_of(id)` is a machine's root directory (tools/image/build), `ca_file` a PEM that the machines trust besides
    the image's own, `namespace_of(id)` the network namespace of a machine, which must exist when it starts; its
    resolv.conf is taken from /etc/netns. `state_dir` holds a folder for each machine with its console. Two objects with
    one `state_dir` (in different processes) see the same machines; only the one that started a machine keeps its
    console open, so a machine ends with that process.
    """

    def __init__(
        self, image_of: Callable[[str], Path], state_dir: Path, ca_file: Path, namespace_of: Callable[[str], str]
    ) -> None:
        self._state, self._ca = state_dir.resolve(), ca_file
        self._image_of, self._namespace_of = image_of, namespace_of
        self._groups = unified_root() / group_name(state_dir)
        self._consoles: dict[str, Console] = {}
        self._supervisors: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, machine: str) -> None:
        """Switches a machine on, with an empty disk; returns at once. Raises `MachineError` if it is on already."""
        if self.alive(machine):
            raise MachineError(f"{machine} is running already")
        self.stop(machine)
        image = self._image_of(machine).resolve()
        namespace, folder = self._namespace_of(machine), self._state / machine
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "console").write_bytes(b"")
        lay_files(folder / "files", image, self._ca, RESOLVERS / namespace / "resolv.conf")
        console = self._consoles[machine] = Console(folder / "console")
        argv = [str(BOOT), str(image), str(folder / "files"), namespace, str(self._group(machine).path), machine]
        supervisor = self._supervisors[machine] = subprocess.Popen(
            argv,
            stdin=console.slave,
            stdout=console.slave,
            stderr=console.slave,
            start_new_session=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb"},
        )
        os.setpriority(os.PRIO_PROCESS, supervisor.pid, 0)  # whatever that of its maker is
        console.follow()

    def stop(self, machine: str) -> None:
        """Cuts the power: nothing in the machine runs another instruction. Nothing happens if it is off."""
        self._group(machine).kill()
        if supervisor := self._supervisors.pop(machine, None):
            supervisor.kill()  # it may not have reached its group yet
            supervisor.wait()
        shutil.rmtree(self._state / machine / "files", ignore_errors=True)

    def pause(self, machine: str) -> None:
        """Freezes it: its clock goes on, it does not."""
        self._group(machine).freeze(True)

    def resume(self, machine: str) -> None:
        self._group(machine).freeze(False)

    def fill_disk(self, machine: str, full: bool = True) -> None:
        """Leaves no free byte on its disk, or gives the room back. The disk's size follows what is on it."""
        disk = str(self._state / machine / "disk")
        supervisor = self._supervisors.get(machine)
        if supervisor is None:
            raise MachineError(f"{machine} is not running")
        inside = ["nsenter", f"--target={supervisor.pid}", "--mount"]
        size = "50%"
        if full:
            blocks = subprocess.run(
                [*inside, "stat", "-f", "-c", "%b %f %S", disk], capture_output=True, text=True, check=True
            )
            all_blocks, free, block = map(int, blocks.stdout.split())
            size = str((all_blocks - free) * block)
        subprocess.run([*inside, "mount", "-o", f"remount,size={size}", disk], check=True)

    def alive(self, machine: str) -> bool:
        """Whether it is on: from `start`, also while it is paused, until it is stopped or powers itself off."""
        supervisor = self._supervisors.get(machine)
        return supervisor.poll() is None if supervisor else self.leader(machine) is not None

    def console(self, machine: str) -> str:
        """What it has printed since it was started, its journal included, without terminal escapes."""
        path = self._state / machine / "console"
        if not path.exists():
            raise MachineError(f"no machine {machine} was ever started here")
        return plain(path.read_bytes().decode(errors="replace"))

    def wait_console(self, machine: str, needle: str, timeout: float) -> str:
        """Waits up to `timeout` seconds for a text on the console, and returns the line that holds it."""
        console, deadline = self._consoles.get(machine), time.monotonic() + timeout
        changed = console.changed if console else threading.Condition()  # of another process: looked at again and again
        with changed:
            while True:
                text = self.console(machine)
                if (at := text.find(needle)) >= 0:
                    return text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0]
                left = deadline - time.monotonic()
                if left <= 0 or (console is not None and console.ended):
                    why = "not within the time" if left <= 0 else "the machine ended"
                    raise MachineError(f"{machine} never printed {needle!r} ({why}); its last lines:\n{text[-1500:]}")
                changed.wait(left if console else min(left, POLL_SECONDS))

    def run(self, machine: str, argv: Sequence[str], *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command inside, as root; its exit code is the caller's to look at."""
        command = [*self._enter(machine), *argv]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=_ENVIRONMENT)

    def shell(self, machine: str) -> list[str]:
        """The command that is a root shell inside, for a terminal."""
        return [*self._enter(machine), "/bin/bash", "-l"]

    def _enter(self, machine: str) -> list[str]:
        """What stands before a command so that it runs inside; a machine that was just started is waited for."""
        deadline = time.monotonic() + LEADER_SECONDS
        while (leader := self.leader(machine)) is None:
            if not self.alive(machine) or time.monotonic() > deadline:
                raise MachineError(f"{machine} is not running")
            time.sleep(POLL_SECONDS)
        return ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]

    def sweep(self) -> None:
        """Kills every machine of this state directory, whoever started it."""
        for machine in list(self._supervisors):
            self.stop(machine)
        sweep(self._state)

    def _group(self, machine: str) -> Group:
        return Group(self._groups / machine)

    def leader(self, machine: str) -> int | None:
        """The host's number of the machine's process 1."""
        for pid in self._group(machine).pids():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), list[str]())
            if len(numbers) > _own_depth() and numbers[-1] == "1" and "\nState:\tZ" not in status:
                return pid
        return None
