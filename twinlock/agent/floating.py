"""The address that follows whoever serves: taken on a takeover, looked at now and then, and never taken back.

A cloud call, so of a thread of its own. Who serves looks whether the address is where it should be, more often just
after it began: a gateway that lost its lease may have asked for the address a moment before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from twinlock.agent.errors import CloudUnavailable

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.5  # after a call that failed
SOON_SECONDS, SOON_FOR = 1.0, 15.0
LOOK_SECONDS = 10.0


class FloatingAddress(Protocol):
    """Raises CloudUnavailable."""

    def is_here(self) -> bool:
        """Whether it leads to this gateway, as the cloud has it."""
        ...

    def take(self) -> None:
        """Has it lead here, wherever it leads now."""
        ...


class Floating:
    """`serves` is asked just before the address is taken, and says no in doubt."""

    def __init__(self, address: FloatingAddress, serves: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._address, self._serves, self._clock = address, serves, clock
        self._began: float | None = None
        self.wake = threading.Event()  # this gateway began to serve
        self.held = False  # as far as is known

    def go_on(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.wake.clear()
            self.wake.wait(self.step())

    def step(self) -> float:
        """One look; seconds until the next."""
        if not self._serves():
            self.held, self._began = False, None
            return SOON_SECONDS
        if self._began is None:
            self._began = self._clock()
        try:
            return self._look(self._began)
        except CloudUnavailable as exc:
            _log.warning("floating address: %s", exc)
            return AGAIN_SECONDS

    def _look(self, began: float) -> float:
        here = self._address.is_here()
        if not here and self._serves():
            self._address.take()
            _log.info(
                "floating address: taken, %.0f ms after this gateway began to serve", 1000 * (self._clock() - began)
            )
            here = True
        self.held = here and self._serves()
        return SOON_SECONDS if self._clock() - began < SOON_FOR else LOOK_SECONDS
