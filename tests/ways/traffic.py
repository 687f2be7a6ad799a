"""Packets in the tunnel: `python -m tests.ways.traffic echo` and `… ask` or `… pull FROM`, until they are ended.

Who asks sends a packet each 20 ms from its address in the tunnel and prints when each answer came; who pulls is sent a
download instead, as long as it asks.
"""

from __future__ import annotations

import select
import socket
import sys
import time

from tests.ways.cloud import SERVICE, SERVICE_PORT

_EVERY, _PULLED_EVERY = 0.02, 0.005
_FORGET_SECONDS = 0.2


def echo() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((SERVICE, SERVICE_PORT))
        end.settimeout(_PULLED_EVERY)
        pulled, asked = None, 0.0
        while True:
            try:
                data, sender = end.recvfrom(2000)
                if data == b"pull":
                    pulled, asked = sender, time.monotonic()
                else:
                    end.sendto(data, sender)
            except TimeoutError:
                pass
            if pulled and time.monotonic() - asked < _FORGET_SECONDS:
                end.sendto(b"d" * 1200, pulled)


def ask(what: str, source: str) -> None:
    while True:  # anew when the address has gone with its interface
        try:
            _ask(what, source)
        except OSError:
            time.sleep(_EVERY)


def _ask(what: str, source: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((source, 0))
        end.connect((SERVICE, SERVICE_PORT))
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + _EVERY
                end.send(what.encode())
            ready, _, _ = select.select([end], [], [], max(0.0, due - time.monotonic()))
            if ready:
                end.recv(2000)
                print(f"{time.time():.4f}", flush=True)


if __name__ == "__main__":
    echo() if sys.argv[1] == "echo" else ask(*sys.argv[1:])
