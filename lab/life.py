"""How the lab's daemon begins and ends, also after it was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lab import calls
from lab.paths import CONTROL, DAEMON_LOG, LAB, MACHINES, MARK, PREFIX, ROOT, STATE
from lab.remote import LabError

# Where wireguard-go listens for `wg`; one that was killed leaves its socket there.
SOCKETS = Path("/var/run/wireguard")
PID_FILE = LAB / "daemon.pid"  # pid and the process's start time, so that a pid used again is never killed


def start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat (clock ticks since boot), by `ps` elsewhere; None where there is no such process."""
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def start_daemon() -> None:
    """Starts the daemon and waits until it answers; LabError with the end of its log if it does not."""
    CONTROL.mkdir(mode=0o700, parents=True, exist_ok=True)
    with DAEMON_LOG.open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "lab.daemon"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    PID_FILE.write_text(f"{daemon.pid} {start_time(daemon.pid)}")
    for _ in range(600):
        if daemon.poll() is not None:
            break
        with suppress(LabError):
            calls.ping()
            return
        time.sleep(0.05)
    raise LabError(f"the lab's daemon did not start:\n{DAEMON_LOG.read_text()[-3000:]}")


def down() -> None:
    """Ends the daemon, sweeps up what a killed one left, removes `.lab`. Nothing to do is fine too."""
    with suppress(LabError):
        calls.stop()
    _end_daemon()
    _end_engines()
    if sys.platform == "linux" and os.geteuid() == 0:
        from lab.fabric.fabric import Fabric
        from lab.machines.machines import sweep

        sweep(MACHINES)
        Fabric.sweep(PREFIX)
        for socket in SOCKETS.glob(f"*-{MARK}.sock"):
            socket.unlink()
    shutil.rmtree(LAB, ignore_errors=True)
    if LAB.exists():
        raise LabError(f"could not remove {LAB}: something still uses it")


def _end_daemon() -> None:
    if not PID_FILE.exists():
        return
    pid, _, began = PID_FILE.read_text().partition(" ")
    if not pid:
        return
    for turn in range(100):
        if start_time(int(pid)) != began.strip():
            return
        if turn == 60:
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)


def _end_engines() -> None:
    """Engines at work on this lab's state, and the plugins that outlive an engine that was killed."""
    ours = f"PULUMI_BACKEND_URL={STATE}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # somebody else's, or it ended
            if ours in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)
