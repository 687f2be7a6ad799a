"""The agent's log: lines for the journal, and what they say in numbers as the journal's own fields.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; `journalctl -o json TWINLOCK_EVENT=takeover` finds them.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def numbers(event: str, found: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """For `extra=` of a log call: TWINLOCK_EVENT, and TWINLOCK_DETECTION_MS of `detection_ms`."""
    return {"fields": {"TWINLOCK_EVENT": event, **{f"TWINLOCK_{name.upper()}": str(n) for name, n in found.items()}}}


def to_journal(datagram: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(SOCKET)
        # Never wait: who serves must not hang on a journal that does.
        sock.send(datagram, socket.MSG_DONTWAIT)


class JournalHandler(logging.Handler):
    """Standard error, which systemd writes into the journal; records with fields go there directly."""

    def __init__(self, send: Callable[[bytes], None] = to_journal) -> None:
        """`send` raises OSError where there is no journal."""
        super().__init__()
        self._send, self._stderr = send, logging.StreamHandler(sys.stderr)

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802
        super().setFormatter(fmt)
        self._stderr.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        fields: Mapping[str, str] | None = getattr(record, "fields", None)
        # systemd says so where standard error ends in its journal: elsewhere nobody would read the other place.
        if fields and "JOURNAL_STREAM" in os.environ and self._is_sent(record, fields):
            return
        self._stderr.emit(record)

    def _is_sent(self, record: logging.LogRecord, fields: Mapping[str, str]) -> bool:
        own = {"MESSAGE": self.format(record), "PRIORITY": str(_priority(record)), "SYSLOG_IDENTIFIER": "twinlock"}
        datagram = "".join(f"{name}={' '.join(value.split())}\n" for name, value in {**own, **fields}.items())
        try:
            self._send(datagram.encode())
        except OSError:  # the line itself is not lost: it goes the other way
            return False
        return True


def _priority(record: logging.LogRecord) -> int:
    return next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
