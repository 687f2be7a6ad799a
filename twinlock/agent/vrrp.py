"""keepalived's word: it writes a line into a pipe whenever it hears a twin, or no longer does."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

FIFO = Path("/run/twinlock/vrrp")
_LOOK_SECONDS = 0.2  # until keepalived has made it
# The instance of a slot has that slot's gateway as its master: being master of it here means that it is silent.
_LINE = re.compile(r'INSTANCE "(?P<slot>[a-z0-9-]+)" (?P<state>MASTER|BACKUP|FAULT|STOP)\b')


def silent_slot(line: str, me: str) -> str | None:
    """The twin that fell silent, if the line says so."""
    found = _LINE.match(line)
    return found["slot"] if found and found["state"] == "MASTER" and found["slot"] != me else None


def silences(me: str, fifo: Path = FIFO) -> Iterator[str]:
    """Twins, each as it falls silent. Never ends: the pipe is held open for writing as well."""
    while not fifo.exists():
        time.sleep(_LOOK_SECONDS)
    with os.fdopen(os.open(fifo, os.O_RDWR), "r") as lines:
        for line in lines:
            if (slot := silent_slot(line, me)) is not None:
                yield slot
