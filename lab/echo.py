"""Answers every packet, in the internet's namespace: `python -m lab.echo FILE`. What outages are measured against.

Whoever says `watch NAME TIME` is also sent packets that answer nothing, each 20 ms: what comes from outside is measured
by itself. FILE gets a line for each such packet that arrived: whose it was, when it arrived, when it was sent, and
where from.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

ADDRESS, PORT = "198.51.100.7", 7
EVERY = 0.02
WATCH, PUSH = b"watch ", b"push"
_FORGET_SECONDS = 5.0  # nobody is sent to who asked nothing for so long
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; Python 3.11 has no name for it


def roomy(end: socket.socket) -> None:
    """Room for what comes while this process waits for its turn: only the network may lose packets."""
    end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)


def main(arrivals: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo, arrivals.open("w", buffering=1) as told:
        roomy(echo)
        echo.bind((ADDRESS, PORT))
        print("ready", flush=True)
        askers: dict[str, tuple[tuple[str, int], float]] = {}
        push_at = time.monotonic()
        while True:
            echo.settimeout(max(0.001, push_at - time.monotonic()))
            with suppress(TimeoutError):
                asked, sender = echo.recvfrom(2048)
                _send(echo, asked, sender)
                if asked.startswith(WATCH):
                    name, sent = asked.removeprefix(WATCH).decode().split()
                    told.write(f"{name} {time.time():.4f} {sent} {sender[0]}\n")
                    askers[name] = (sender, time.monotonic())
            if time.monotonic() >= push_at:
                push_at = time.monotonic() + EVERY
                for sender, when in askers.values():
                    if time.monotonic() - when < _FORGET_SECONDS:
                        _send(echo, PUSH, sender)


def _send(echo: socket.socket, what: bytes, to: tuple[str, int]) -> None:
    with suppress(OSError):  # the address is nobody's now: its gateway is gone
        echo.sendto(what, to)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
