"""Waits for what a busy machine takes its time for."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, holds: Callable[[], bool], what: str) -> float:
    """Seconds until it held; an assertion naming it otherwise."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - started
