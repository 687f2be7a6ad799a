"""The one line that whoever looks at the machine's console gets."""

from __future__ import annotations

import logging
from pathlib import Path

CONSOLE = Path("/dev/console")
_log = logging.getLogger(__name__)


def say(line: str, console: Path = CONSOLE) -> None:
    """A machine without a console boots all the same: the journal has the line too."""
    _log.info("%s", line)
    try:
        with console.open("w") as file:
            file.write(line + "\n")
    except OSError as exc:
        _log.warning("no line on the console: %s", exc)


def ready_line(slot: str, service_public_key: str, way_public_key: str) -> str:
    return f"twinlock: gateway {slot} ready service={service_public_key} way={way_public_key}"


def failed_line(slot: str, reason: str) -> str:
    return f"twinlock: gateway {slot} bootstrap failed: {' '.join(reason.split())}"
