"""A client's view of an outage: a packet through the tunnel each 20 ms, and when each answer came.

`python -m lab.measure SECONDS` runs in the client's namespace and prints one JSON line; `Probe` starts and reads it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from lab import calls
from lab.clients import PYTHON, Client
from lab.echo import ADDRESS, PORT
from lab.paths import ROOT

EVERY = 0.02
STARTED = "answered\n"
_FIRST_SECONDS = 20.0  # so long the first answer may take


@dataclass(frozen=True, kw_only=True)
class Seen:
    """`answers` are the epoch seconds of each answered packet's arrival, in order; `sent` how many were asked."""

    answers: tuple[float, ...]
    sent: int

    def longest_gap(self, after: float = 0.0) -> tuple[float, float]:
        """The longest time without an answered packet that ended after `after`, and when it began."""
        pairs = zip(self.answers, self.answers[1:], strict=False)
        return max(((later - earlier, earlier) for earlier, later in pairs if later > after), default=(0.0, 0.0))


class Probe:
    """Packets from a client for some seconds, in a process of its own."""

    def __init__(self, client: Client, seconds: float) -> None:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", client.namespace, PYTHON, "-m", "lab.measure", str(seconds)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._seconds = seconds

    def started(self) -> bool:
        """Waits for the first answer; False if none came."""
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout.readline() == STARTED

    def seen(self) -> Seen:
        """Waits for its end."""
        printed, _ = self._process.communicate(timeout=self._seconds + 30)
        found = json.loads(printed.removeprefix(STARTED))
        return Seen(answers=tuple(found["answers"]), sent=found["sent"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def echo() -> Generator[None]:
    """Something on the internet that answers the probes."""
    space = calls.namespace("internet")
    subprocess.run(["ip", "-n", space, "addr", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    server = subprocess.Popen(
        ["ip", "netns", "exec", space, PYTHON, "-m", "lab.echo"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None  # noqa: S101
        server.stdout.readline()
        yield
    finally:
        server.kill()
        server.wait()


def ask(seconds: float) -> dict[str, object]:
    """Sends and listens, for so long from the first answer; a packet that can't even be sent is an unanswered one."""
    answers: list[float] = []
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((ADDRESS, PORT))
        began, end = time.monotonic(), time.monotonic() + _FIRST_SECONDS
        while time.monotonic() < end:
            elapsed = time.monotonic() - began
            if elapsed >= sent * EVERY:
                sent += 1
                _try(probe, sent)
            probe.settimeout(max(0.001, sent * EVERY - (time.monotonic() - began)))
            try:
                probe.recv(64)
            except OSError:
                continue
            if not answers:
                print(STARTED, end="", flush=True)
                end = time.monotonic() + seconds
            answers.append(time.time())
    return {"answers": answers, "sent": sent}


def _try(probe: socket.socket, number: int) -> None:
    try:
        probe.send(str(number).encode())
    except OSError:
        return


if __name__ == "__main__":
    print(json.dumps(ask(float(sys.argv[1]))))
