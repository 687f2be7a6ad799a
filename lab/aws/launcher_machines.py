"""What the launcher needs from whoever runs machines, and machines that are records only (no root)."""

from __future__ import annotations

import threading
from typing import Protocol


class Machines(Protocol):
    def start(self, machine_id: str, /) -> None:
        """Boots a machine in its namespace; returns at once."""
        ...

    def stop(self, machine_id: str, /) -> None:
        """Takes its power away at once. No error when it does not run."""
        ...

    def console(self, machine_id: str, /) -> str:
        """All that it wrote on its console."""
        ...

    def alive(self, machine_id: str, /) -> bool: ...


class NullMachines:
    """Machines that run nothing: enough to see what the API does."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def start(self, machine_id: str) -> None:
        with self._lock:
            self._running.add(machine_id)

    def stop(self, machine_id: str) -> None:
        with self._lock:
            self._running.discard(machine_id)

    def console(self, machine_id: str) -> str:
        return ""

    def alive(self, machine_id: str) -> bool:
        with self._lock:
            return machine_id in self._running
