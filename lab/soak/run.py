"""`make soak`: one schedule after the other, each of a seed of its own, until the time is over or one fails."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from lab import fail
from lab.remote import LabError
from lab.soak.episode import Broken, Episode
from lab.soak.schedule import Step, draw, play, shorter

STEPS = 14  # of one schedule: a minute or two


def soak(minutes: float, number: int | None, tell: Callable[[str], None]) -> int:
    """How many schedules held; LabError with the seed and the shortest that fails. With no time it plays one."""
    first = secrets.randbelow(1 << 30) if number is None else number
    end, held = time.monotonic() + 60 * minutes, 0
    while not held or time.monotonic() < end:
        steps = draw(first + held, STEPS)
        tell(f"seed {first + held}: {len(steps)} steps")
        try:
            said = trial(steps, tell)
        except LabError as error:
            raise LabError(f"seed {first + held} could not be played: {error}") from error
        if said:
            tell(f"seed {first + held} failed; what is the shortest that does?\n{said}")
            raise LabError(_report(first + held, *_shortest(steps, said, time.monotonic() + 60 * minutes, tell)))
        held += 1
    return held


def trial(steps: Sequence[Step], tell: Callable[[str], None]) -> str:
    """What should not have been, or nothing."""
    try:
        episode = Episode(tell)
        try:
            play(steps, episode)
        finally:
            episode.end()
    except Broken as broken:
        fail.settle()
        return str(broken)
    return ""


def _shortest(steps: Sequence[Step], said: str, end: float, tell: Callable[[str], None]) -> tuple[Sequence[Step], str]:
    last = said

    def fails(some: Sequence[Step]) -> bool:
        nonlocal last
        if time.monotonic() > end:
            return False
        tell(f"without some: {len(some)} steps")
        found = trial(some, tell)
        last = found or last
        return bool(found)

    return shorter(steps, fails), last


def _report(number: int, steps: Sequence[Step], said: str) -> str:
    listed = "\n".join(f"  {step}" for step in steps)
    return f"seed {number} (`make soak SEED={number}` plays it again) fails with\n{listed}\n{said}"
