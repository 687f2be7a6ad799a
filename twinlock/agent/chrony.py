"""How sure this gateway's clock is: the only file that runs `chronyc`.

https://chrony-project.org/doc/4.6/chronyc.html (tracking, sources; -c: comma-separated, in the order of the report)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from twinlock.agent.command import Run, run
from twinlock.agent.errors import CommandFailed

# A peer refuses a handshake that is not later than the last one: gateways have to agree.
SURE_SECONDS = 0.05
# When chrony's last word of its source is older than three polls, it may have stopped to trust it: it keeps what it
# heard before. Or it only passes over what came late, on a busy machine: then the clock is as good as its crystal,
# which drifts by a tenth of a millisecond a second at worst, by 30 ms in so long.
_LATE_SECONDS, _LOST_SECONDS = 55.0, 300.0
_FIELDS = 14


@dataclass(frozen=True, kw_only=True)
class Offset:
    """Seconds that the clock is off, to whichever side: surely `least`, surely not more than `most`."""

    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """chrony's last word: the offset, and how many seconds old it is."""

    offset: Offset
    age: float


def read_tracking(text: str, now: float) -> Tracking | None:
    """None: it follows no source. Raises CommandFailed for other text.

    `now` in epoch seconds.
    """
    words = text.strip().split(",")
    if len(words) != _FIELDS:
        raise CommandFailed(f"chronyc tracking: {len(words)} fields where {_FIELDS} are expected: another chrony?")
    if words[13] == "Not synchronised":
        return None
    offset, delay, dispersion = abs(float(words[4])), float(words[10]), float(words[11])
    doubt = delay / 2 + dispersion
    return Tracking(offset=Offset(least=max(0.0, offset - doubt), most=offset + doubt), age=now - float(words[3]))


def trusts_a_source(text: str) -> bool:
    """Of `chronyc sources`: the second field is * for the one that it follows."""
    return any(line.split(",")[1:2] == ["*"] for line in text.splitlines())


def look(runner: Run = run, now: Callable[[], float] = time.time) -> Offset | None:
    """The clock's offset; None: it follows no source. Raises CommandFailed."""
    said = read_tracking(_ask(runner, "tracking"), now())
    if said is None or said.age > _LOST_SECONDS:
        return None
    if said.age > _LATE_SECONDS and not trusts_a_source(_ask(runner, "sources")):
        return None
    return said.offset


def _ask(runner: Run, what: str) -> str:
    return runner(("chronyc", "-h", "127.0.0.1", "-c", what), "")
