"""One operation on an environment, as whoever started it sees it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from twinlock.automation.engine import Engine
from twinlock.automation.errors import AutomationError, Cancelled
from twinlock.change import Event, Report, report


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How an operation is to be carried out. `wait`: seconds to wait for another one on the same environment."""

    on_event: Callable[[Event], None] | None = None
    timeout: float | None = None
    wait: float = 0.0
    policy_pack: Path | None = None
    policy_config: Path | None = None


PLAIN = Wishes()


@dataclass
class Operation:
    """One thing under way. `async for event in operation` tells it as it happens; `result` waits for its end."""

    process: Engine
    wishes: Wishes
    events: list[Event] = field(default_factory=list[Event])
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _report: Report | None = None
    _error: AutomationError | None = None
    ended_by: type[AutomationError] | None = None  # why it was ended, if it was

    def cancel(self) -> None:
        """Asks for the end; `result` raises Cancelled when it has come. What was done until then stands."""
        self.end(Cancelled)

    def result(self) -> Report:
        """Waits. Raises AutomationError."""
        with self._changed:
            self._changed.wait_for(self._over)
        if self._error:
            raise self._error
        assert self._report is not None  # noqa: S101 - one of both, once it is over
        return self._report

    async def __aiter__(self) -> AsyncIterator[Event]:
        seen = 0
        while True:
            with self._changed:
                fresh, over = self.events[seen:], self._over()
            for event in fresh:
                yield event
            seen += len(fresh)
            if over and not fresh:
                return
            if not fresh:
                await asyncio.sleep(0.05)

    def _over(self) -> bool:
        return self._report is not None or self._error is not None

    def end(self, reason: type[AutomationError]) -> None:
        with self._changed:
            if self._over() or self.ended_by:
                return
            self.ended_by = reason
        self.process.end()

    def say(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
        if self.wishes.on_event:
            self.wishes.on_event(event)

    def finish(self, error: AutomationError | None) -> None:
        with self._changed:
            self._error = error
            self._report = None if error else report(self.events)
            self._changed.notify_all()
