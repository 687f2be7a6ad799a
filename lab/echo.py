"""Answers every packet, in the internet's namespace: `python -m lab.echo`. What outages are measured against."""

from __future__ import annotations

import socket

ADDRESS, PORT = "198.51.100.7", 7
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; Python 3.11 has no name for it


def roomy(end: socket.socket) -> None:
    """Room for what comes while this process waits for its turn: only the network may lose packets."""
    end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        roomy(echo)
        echo.bind((ADDRESS, PORT))
        print("ready", flush=True)
        while True:
            data, sender = echo.recvfrom(2048)
            echo.sendto(data, sender)


if __name__ == "__main__":
    main()
