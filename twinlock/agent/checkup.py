"""A thread of its own: looks every few seconds whether this gateway is well, and at once when a twin asks."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from twinlock.agent.chrony import SURE_SECONDS, Offset
from twinlock.agent.errors import CloudUnavailable, CommandFailed
from twinlock.agent.transfer import Proof

_log = logging.getLogger(__name__)

EVERY_SECONDS = 3.0
FREE_BYTES = 1 << 20
STALE_SECONDS = 60.0  # without a word from the registry
# The storage's own clock is told to a second: a time source that lies by more than this is found out by it.
LIES_SECONDS = 2.5
# chrony's first answers take a while, and on a busy machine its first measurements are vague: so long after the start
# it is not known whether it follows a source, nor whether a clock that may be right is.
_START_SECONDS = 45.0


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What a look asks. Each raises CloudUnavailable or CommandFailed, or says."""

    transfer: Callable[[], Proof | None]  # None: not known
    offset: Callable[[], Offset | None]  # of the clock; None: it follows nothing
    interfaces: Callable[[], bool]  # all there
    registry_age: Callable[[], float]  # seconds
    free_bytes: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One look, done: what failed and why, and the twins' questions that it answers."""

    failing: Mapping[str, str]  # check -> one line
    answers: Mapping[str, int]


class Checkup:
    """`say` is called with every look's result, on the checkup's thread."""

    def __init__(self, looks: Looks, say: Callable[[Checked], None], clock: Callable[[], float]) -> None:
        self._looks, self._say, self._clock = looks, say, clock
        self._began = clock()
        self._asked = threading.Event()
        self._questions: dict[str, int] = {}  # by the twin's slot; written by the main thread
        self._last: frozenset[str] = frozenset()

    def ask(self, slot: str, number: int) -> None:
        """A twin wants to know what a look finds that begins now."""
        if self._questions.get(slot) != number:
            self._questions = {**self._questions, slot: number}
            self._asked.set()

    def go_on(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._asked.clear()
            began = self._clock()
            self.once()
            self._asked.wait(max(0.0, EVERY_SECONDS - (self._clock() - began)))

    def once(self) -> Checked:
        """A look; what fails that did not fail before has to fail twice."""
        answers = self._questions
        failing = self._look()
        if failing.keys() - self._last:
            again = self._look()
            failing = {check: why for check, why in again.items() if check in failing}
        for check in sorted(failing.keys() - self._last):
            _log.warning("not well: %s: %s", check, failing[check])
        for check in sorted(self._last - failing.keys()):
            _log.info("well again: %s", check)
        self._last = frozenset(failing)
        done = Checked(failing=failing, answers=answers)
        self._say(done)
        return done

    def _look(self) -> dict[str, str]:
        failing: dict[str, str] = {}
        self._judge_clock(failing, self._prove(failing))
        try:
            if not self._looks.interfaces():
                failing["interfaces"] = "a tunnel is gone"
        except CommandFailed as exc:
            failing["interfaces"] = str(exc)
        if (age := self._looks.registry_age()) > STALE_SECONDS:
            failing["registry"] = f"no word for {age:.0f} s"
        if (free := self._looks.free_bytes()) < FREE_BYTES:
            failing["disk"] = f"{free} bytes are free"
        return failing

    def _prove(self, failing: dict[str, str]) -> Proof | None:
        try:
            return self._looks.transfer()
        except CloudUnavailable as exc:
            failing["transfer"] = str(exc)
            return None

    def _judge_clock(self, failing: dict[str, str], proof: Proof | None) -> None:
        starting = self._clock() - self._began <= _START_SECONDS
        try:
            offset = self._looks.offset()
        except CommandFailed as exc:
            failing["clock"] = str(exc)
            return
        if proof is not None and abs(proof.ahead) > LIES_SECONDS:
            failing["clock"] = f"{proof.ahead:+.0f} s against the storage's"
        elif offset is not None and offset.least >= SURE_SECONDS:
            failing["clock"] = f"it is {offset.least:.3f} s off or more"
        elif starting:
            return
        elif offset is None:
            failing["clock-source"] = "it follows none"
        elif offset.most >= SURE_SECONDS:
            failing["clock"] = f"it may be {offset.most:.3f} s off"


def free_bytes(folder: Path) -> Callable[[], int]:
    def look() -> int:
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize

    return look
