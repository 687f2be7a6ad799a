"""How sure this gateway's clock is: the only file that runs `chronyc`.

https://chrony-project.org/doc/4.6/chronyc.html (tracking; -c: comma-separated, in the order of the report's lines)
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from twinlock.agent.command import Run, run
from twinlock.agent.errors import CommandFailed

# A peer refuses a handshake that is not later than the last one: gateways have to agree.
SURE_SECONDS = 0.05
# So old may chrony's last word of its source be: three polls. One that it trusts no more it keeps as it was.
_STALE_SECONDS = 55.0
_FIELDS = 14


@dataclass(frozen=True, kw_only=True)
class Offset:
    """Seconds that the clock is off, to whichever side: surely `least`, surely not more than `most`."""

    least: float
    most: float


def read_offset(text: str, now: float) -> Offset | None:
    """None: it follows no source. Raises CommandFailed for other text.

    `now` in epoch seconds.
    """
    words = text.strip().split(",")
    if len(words) != _FIELDS:
        raise CommandFailed(f"chronyc tracking: {len(words)} fields where {_FIELDS} are expected: another chrony?")
    if words[13] == "Not synchronised" or now - float(words[3]) > _STALE_SECONDS:
        return None
    offset, delay, dispersion = abs(float(words[4])), float(words[10]), float(words[11])
    doubt = delay / 2 + dispersion
    return Offset(least=max(0.0, offset - doubt), most=offset + doubt)


def look(runner: Run = run) -> Offset | None:
    """`read_offset` now. Raises CommandFailed."""
    return read_offset(runner(("chronyc", "-h", "127.0.0.1", "-c", "tracking"), ""), time.time())
