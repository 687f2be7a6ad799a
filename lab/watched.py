"""Machines with a stopwatch: when each was started, and when it said on its console that it is ready."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, replace

from lab.aws.launcher_machines import Machines

# The agent's one line on the console (twinlock/agent): ready, or why not.
SAID = re.compile(r"twinlock: gateway (?P<slot>\w+) (?P<what>ready|bootstrap failed)(?P<rest>[^\r\n]*)")


@dataclass(frozen=True, kw_only=True)
class Boot:
    """One start of a machine. Seconds from the start to its line on the console; None as long as it said nothing."""

    id: str
    began: float  # of time.monotonic(), the same for all processes of the machine
    slot: str | None
    ready_seconds: float | None
    failure: str | None


class WatchedMachines:
    """Passes everything on, and looks at the consoles of what it started (each 20 ms: the console is a local file)."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._boots: dict[str, Boot] = {}
        self._changed = threading.Condition()

    def start(self, machine_id: str) -> None:
        began = time.monotonic()
        self._machines.start(machine_id)
        with self._changed:  # not before it has a console: who sees it here looks there
            self._boots[machine_id] = Boot(id=machine_id, began=began, slot=None, ready_seconds=None, failure=None)
        threading.Thread(target=self._watch, args=(machine_id, began), daemon=True, name=f"watch-{machine_id}").start()

    def stop(self, machine_id: str) -> None:
        with self._changed:
            self._boots.pop(machine_id, None)
        self._machines.stop(machine_id)

    def console(self, machine_id: str) -> str:
        return self._machines.console(machine_id)

    def alive(self, machine_id: str) -> bool:
        return self._machines.alive(machine_id)

    def boots(self) -> tuple[Boot, ...]:
        with self._changed:
            return tuple(self._boots.values())

    def wait_ready(self, count: int, timeout: float) -> tuple[Boot, ...]:
        """The first `count` machines that are ready; TimeoutError with the consoles' ends otherwise."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready()) >= count, timeout)
            ready = self._ready()
        if len(ready) < count:
            ends = "\n".join(
                f"--- {boot.id}:\n{self.console(boot.id)[-3000:]}" for boot in self.boots() if boot not in ready
            )
            raise TimeoutError(f"{len(ready)} of {count} gateways are ready after {timeout} s\n{ends}")
        return ready

    def _ready(self) -> tuple[Boot, ...]:
        return tuple(boot for boot in self._boots.values() if boot.ready_seconds is not None)

    def _started(self, machine_id: str) -> bool:
        with self._changed:
            return machine_id in self._boots

    def _watch(self, machine_id: str, began: float) -> None:
        while self._started(machine_id):
            if said := SAID.search(self._machines.console(machine_id)):
                ready = time.monotonic() - began if said["what"] == "ready" else None
                failure = None if ready else said["rest"].strip(": ")
                with self._changed:
                    if machine_id in self._boots:
                        known = self._boots[machine_id]
                        self._boots[machine_id] = replace(
                            known, slot=said["slot"], ready_seconds=ready, failure=failure
                        )
                    self._changed.notify_all()
                if ready:
                    return
            time.sleep(0.02)
