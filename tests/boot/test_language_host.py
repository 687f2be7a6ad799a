"""The language host beside a Pulumi CLI that was built here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

HOST = Path(__file__).parents[2] / "tools" / "pulumi" / "language_host.py"
ENGINE = "import subprocess, sys; subprocess.run([sys.executable, '-u', sys.argv[1], '127.0.0.1:1'])"


def test_an_engine_that_is_killed_leaves_no_language_host_behind():
    with subprocess.Popen([sys.executable, "-c", ENGINE, str(HOST)], stdout=subprocess.PIPE, text=True) as engine:
        assert int(engine.stdout.readline()) > 0, "its port"
        host = _child(engine.pid)
        engine.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    try:
        while Path(f"/proc/{host}").exists():
            assert time.monotonic() < until, f"process {host} is still there"
            time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):
            os.kill(host, signal.SIGKILL)


def _child(parent: int) -> int:
    [child] = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)
