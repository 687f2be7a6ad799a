"""A live peer's numbered packets through its tunnel and back, and which of them never came: `python -m bench.numbered`
runs in the client's namespace until its standard input closes, and prints one JSON line; `Stream` starts and reads it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType

from lab.clients import PYTHON
from lab.echo import ADDRESS, PORT, roomy
from lab.paths import ROOT

PACKETS_A_SECOND = 1000
STARTED = "answered\n"
_LAST_SECONDS = 2.0  # so long an answer may take


class Stream:
    """`sent` and `missing` are packets, known once it is over."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.sent = self.missing = 0

    def __enter__(self) -> Stream:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", self._namespace, PYTHON, "-m", "bench.numbered"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101
        if self._process.stdout.readline() != STARTED:
            raise RuntimeError("no packet of the live peer's was answered")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        printed, _ = self._process.communicate("", timeout=30)
        if kind is None:
            found = json.loads(printed)
            self.sent, self.missing = found["sent"], found["missing"]


def stream(probe: socket.socket, over: threading.Event) -> dict[str, int]:
    """Sends at an even pace until `over`; the first packet is asked again until the tunnel answers."""
    _first_answer(probe)
    print(STARTED, end="", flush=True)
    answered: set[int] = set()
    threading.Thread(target=_collect, args=(probe, answered), daemon=True).start()
    sent, began = 0, time.monotonic()
    while not over.is_set():
        while sent < (time.monotonic() - began) * PACKETS_A_SECOND:
            sent += 1
            probe.send(str(sent).encode())
        time.sleep(1 / PACKETS_A_SECOND)
    last = time.monotonic() + _LAST_SECONDS
    while len(answered) < sent and time.monotonic() < last:
        time.sleep(0.01)
    return {"sent": sent, "missing": sent - len(answered)}


def _first_answer(probe: socket.socket) -> None:
    probe.settimeout(1)
    for _ in range(20):
        probe.send(b"0")
        try:
            probe.recv(64)
        except TimeoutError:
            continue
        probe.settimeout(None)
        return
    raise TimeoutError("no answer within 20 s")


def _collect(probe: socket.socket, answered: set[int]) -> None:
    while True:
        if number := int(probe.recv(64)):  # 0 is a late answer to the first question
            answered.add(number)


def main() -> None:
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        roomy(probe)
        probe.connect((ADDRESS, PORT))
        print(json.dumps(stream(probe, over)))


if __name__ == "__main__":
    main()
