"""Waiting for the cloud, as the real provider does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import ApiError, NotReadyError

T = TypeVar("T")
# The clouds' own documents ask to poll no faster than seconds; the lab answers at once.
_FIRST, _LONGEST = 0.1, 2.0


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns when the condition holds. Raises NotReadyError, naming `what`, after `seconds`."""
    end, pause = time.monotonic() + seconds, _FIRST
    while not condition():
        if time.monotonic() + pause > end:
            raise NotReadyError(f"{what} after {seconds:.0f} s")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def while_refused(act: Callable[[], T], codes: frozenset[str], seconds: float) -> T:
    """The act's answer, repeated while the cloud refuses it with one of the codes (it is eventually consistent)."""
    end, pause = time.monotonic() + seconds, _FIRST
    while True:
        try:
            return act()
        except ApiError as refused:
            if refused.code not in codes or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def found(read: Callable[[], T]) -> T | None:
    """What `read` answers, None if the cloud says that there is no such thing."""
    try:
        return read()
    except ApiError as refused:
        if refused.not_found:
            return None
        raise
