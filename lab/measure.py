"""A client's view of an outage: a packet through the tunnel each 20 ms, and when each answer came.

Both directions are measured by themselves as well: when packets arrived outside, and when those arrived that outside
sent on its own. `python -m lab.measure NAME ADDRESS` runs in the client's namespace until its standard input ends, and
prints one JSON line; `Probe` starts and reads it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TextIO

from lab import calls
from lab.clients import PYTHON, Client
from lab.echo import ADDRESS, EVERY, PORT, PUSH, WATCH, roomy
from lab.paths import LAB, ROOT

STARTED = "answered\n"
ARRIVALS = LAB / "arrivals"
_FIRST_SECONDS = 20.0  # so long the first answer may take
_numbers = count()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Epoch seconds, in order: of each answer, of each packet that got out, of each that outside sent on its own."""

    answers: tuple[float, ...] = ()
    out: tuple[float, ...] = ()
    pushed: tuple[float, ...] = ()
    ended: float = 0.0

    def longest_gap(self, after: float = 0.0) -> tuple[float, float]:
        """The longest time without an answered packet that ended after `after`, and when it began."""
        return longest_gap(self.answers, self.ended, after)


def longest_gap(times: tuple[float, ...], ended: float, after: float = 0.0) -> tuple[float, float]:
    """The longest time without one that ended after `after`, and when it began; silence to the end is a gap too."""
    pairs = pairwise((*times, ended) if times else (after, ended))
    return max(((later - earlier, earlier) for earlier, later in pairs if later > after), default=(0.0, 0.0))


class Probe:
    """Packets from a client until `seen` or `close`, in a process of its own."""

    def __init__(self, client: Client) -> None:
        self._name = f"{client.name}-{os.getpid()}-{next(_numbers)}"
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", client.namespace, PYTHON, "-m", "lab.measure", self._name, client.address],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def started(self) -> bool:
        """Waits for the first answer; False if none came."""
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout.readline() == STARTED

    def seen(self) -> Seen:
        """Ends it."""
        printed, _ = self._process.communicate(timeout=30)
        found = json.loads(printed.removeprefix(STARTED))
        return Seen(
            answers=tuple(found["answers"]),
            out=tuple(arrived for arrived, _, _ in self.left()),
            pushed=tuple(found["pushed"]),
            ended=found["ended"],
        )

    def left(self) -> Generator[tuple[float, float, str]]:
        """Each packet that got out so far: when it arrived, when it was sent, and the address that it came from."""
        for line in ARRIVALS.read_text().splitlines():
            whose, arrived, sent, by = line.split()
            if whose == self._name:
                yield float(arrived), float(sent), by

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def echo(namespace: str = "") -> Generator[None]:
    """Something that answers the probes: on the internet, or in another namespace."""
    space = namespace or calls.namespace("internet")
    subprocess.run(["ip", "-n", space, "addr", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    server = subprocess.Popen(
        ["ip", "netns", "exec", space, PYTHON, "-m", "lab.echo", str(ARRIVALS)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None  # noqa: S101
        server.stdout.readline()
        yield
    finally:
        server.kill()
        server.wait()


def ask(name: str, address: str, until: TextIO) -> dict[str, object]:
    """Sends and listens until `until` ends; a packet that can't even be sent is an unanswered one.

    From the client's address in the tunnel: a packet that took another way shall not count as answered.
    """
    answers: list[float] = []
    pushed: list[float] = []
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        roomy(probe)
        probe.bind((address, 0))
        probe.connect((ADDRESS, PORT))
        began = time.monotonic()
        while True:
            if time.monotonic() - began >= sent * EVERY:
                sent += 1
                _try(probe, name)
            left = max(0.001, sent * EVERY - (time.monotonic() - began))
            ready, _, _ = select.select([probe, until], [], [], left)
            if until in ready or (not answers and time.monotonic() - began > _FIRST_SECONDS):
                return {"answers": answers, "pushed": pushed, "ended": time.time()}
            if probe in ready and (said := _taken(probe)):
                (pushed if said == PUSH else answers).append(time.time())
                if said != PUSH and len(answers) == 1:
                    print(STARTED, end="", flush=True)


def _taken(probe: socket.socket) -> bytes:
    try:
        return probe.recv(64)
    except OSError:  # what an ICMP error leaves
        return b""


def _try(probe: socket.socket, name: str) -> None:
    try:
        probe.send(WATCH + f"{name} {time.time():.4f}".encode())
    except OSError:
        return


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], sys.argv[2], sys.stdin)))
