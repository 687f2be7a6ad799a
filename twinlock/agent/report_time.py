"""When this machine last reported a hung twin: kept over restarts of the agent, as a file's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from twinlock.agent.errors import CommandFailed

_FILE = "reported"


class ReportTime:
    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._path, self._now = folder / _FILE, now

    def age(self) -> float:
        """Seconds; of a clock that was set back since, how far."""
        try:
            return abs(self._now() - self._path.stat().st_mtime)
        except FileNotFoundError:
            return float("inf")

    def done(self) -> None:
        """Raises CommandFailed: a report that can't be remembered is not made."""
        try:
            self._path.touch(0o600)
        except OSError as exc:
            raise CommandFailed(f"{self._path}: {exc.strerror}") from exc
