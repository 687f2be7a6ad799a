"""How much the machine's processes waited for a processor: what takes a second on a free machine takes longer there.

https://docs.kernel.org/accounting/psi.html; a kernel without it says nothing, and nothing is allowed for.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
Waited = tuple[float, float]  # epoch seconds, and the seconds so far in which some process waited
_EVERY_SECONDS = 0.25
_MOST = 0.9  # of the time: whoever waits for longer gets no more allowance for it


@contextmanager
def watched() -> Generator[list[Waited]]:
    """Samples, in order, as long as it is open."""
    found: list[Waited] = []
    stop = threading.Event()

    def look() -> None:
        while True:
            found.append((time.time(), _total()))
            if stop.wait(_EVERY_SECONDS):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def slowness(waited: Sequence[Waited], start: float, end: float) -> float:
    """So many times as long as on a free machine something may take that went on from `start` to `end`."""
    inside = [one for one in waited if start - _EVERY_SECONDS <= one[0] <= end + _EVERY_SECONDS]
    if len(inside) < 2:
        return 1.0
    (first, before), (last, after) = inside[0], inside[-1]
    return 1 / (1 - min(_MOST, (after - before) / (last - first)))


def _total() -> float:
    try:
        text = PRESSURE.read_text()
    except OSError:
        return 0.0
    found = re.match(r"some .*total=(\d+)", text)
    return int(found[1]) / 1e6 if found else 0.0
