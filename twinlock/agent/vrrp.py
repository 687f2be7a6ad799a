"""keepalived's word: it writes a line into a pipe whenever it hears a twin, or no longer does."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

FIFO = Path("/run/twinlock/vrrp")
_LOOK_SECONDS = 0.2  # until keepalived has made it
_AT_ONCE = 1 << 16  # bytes, as much as a pipe holds
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
    with listening(fifo) as lines:
        for line in lines:
            if (slot := silent_slot(line, me)) is not None:
                yield slot


def listening(fifo: Path) -> TextIO:
    """What keepalived says from now on. What it said while nobody listened is forgotten: a twin that has come back
    since would be taken for one that just fell silent."""
    pipe = os.open(fifo, os.O_RDWR)
    while select.select([pipe], [], [], 0)[0]:
        os.read(pipe, _AT_ONCE)
    return os.fdopen(pipe, "r")
