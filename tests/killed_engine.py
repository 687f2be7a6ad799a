"""An engine that starts a process as Pulumi's does, and is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ENGINE = "import subprocess, sys; subprocess.run(sys.argv[1:])"


def ends_with_its_engine(command: Sequence[str]) -> None:
    """Waits until `command` has printed its port, kills its parent, and fails unless it goes by itself."""
    with subprocess.Popen([sys.executable, "-c", ENGINE, *command], stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        assert int(engine.stdout.readline()) > 0, "its port"
        started = child(engine.pid)
        engine.send_signal(signal.SIGKILL)
    gone(started)


def gone(process: int) -> None:
    """Fails unless the process ends within 20 s; ends it then."""
    until = time.monotonic() + 20
    try:
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < until, f"process {process} is still there"
            time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def child(parent: int) -> int:
    """Of any of its threads."""
    threads = Path(f"/proc/{parent}/task").glob("*/children")
    [found] = [word for thread in threads for word in thread.read_text().split()]
    return int(found)
