"""The cloud's time source: answers NTP clients with this machine's clock (RFC 5905, server mode)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

from lab.fabric.kernel import inside

PORT = 123
EPOCH = 2_208_988_800  # seconds from 1900, where NTP's time begins, to 1970
STRATUM = 3
PACKET = struct.Struct("!BBbbII4s8s8s8s8s")


def answer(request: bytes, received: float, sent: float) -> bytes | None:
    """The 48 bytes for a client's packet; None for what is no client's. Times in seconds since 1970."""
    if len(request) < PACKET.size or request[0] & 7 != 3:
        return None
    version = request[0] & 0o70
    poll, transmitted = request[2], request[40:48]
    now = _stamp(received)
    return PACKET.pack(version | 4, STRATUM, poll, -20, 0, 1, b"LAB ", now, transmitted, now, _stamp(sent))


class Clock:
    """Answers on one address of a namespace until it is stopped; `lies` are seconds ahead by the client's address."""

    def __init__(self, namespace: str, address: str) -> None:
        self.lies: dict[str, float] = {}
        self._socket = inside(namespace, lambda: _bound(address))
        threading.Thread(target=self._serve, daemon=True, name=f"clock {namespace}").start()

    def stop(self) -> None:
        # An empty datagram to itself ends the thread, which waits in recvfrom.
        with contextlib.suppress(OSError):
            self._socket.sendto(b"", self._socket.getsockname())

    def _serve(self) -> None:
        with self._socket:
            while True:
                request, client = self._socket.recvfrom(512)
                if not request and client == self._socket.getsockname():
                    return
                lie = self.lies.get(str(client[0]), 0.0)
                received = time.time() + lie
                if reply := answer(request, received, time.time() + lie):
                    with contextlib.suppress(OSError):  # the client went away meanwhile
                        self._socket.sendto(reply, client)


def _bound(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, PORT))
    return made


def _stamp(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("!II", (whole + EPOCH) & 0xFFFFFFFF, int((seconds - whole) * 2**32))
