"""sd_notify: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html"""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Tells systemd, if it asked to be told: "READY=1", "WATCHDOG=1", "STATUS=…"."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # A leading "@" stands for the abstract namespace.
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(message.encode())
