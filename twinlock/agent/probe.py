"""`twinlock-agent probe`: hands out sockets of the network namespace that it runs in.

That namespace's packets enter the gateway as a peer's would (userdata/files/probe-net.service.j2). A socket stays where
it was made, so the agent itself connects and speaks through it: this side sees no name, no credentials, no data.
"""

from __future__ import annotations

import socket
from pathlib import Path

from twinlock.agent.errors import CloudUnavailable

SOCKET = Path("/run/twinlock-probe/socket")
_SECONDS = 1.0


def give_forever(path: Path = SOCKET) -> None:
    """A new TCP socket (IPv4) for whoever connects: root alone can."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        while True:
            asking, _ = listening.accept()
            with asking, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                socket.send_fds(asking, [b"1"], [made.fileno()])


def take_socket(path: Path = SOCKET) -> socket.socket:
    """One of those, not connected yet. Raises CloudUnavailable."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_SECONDS)
        try:
            asking.connect(str(path))
            _, found, _, _ = socket.recv_fds(asking, 1, 1)
        except OSError as exc:
            raise CloudUnavailable(f"{path}: nobody hands out sockets: {exc}") from exc
    if not found:
        raise CloudUnavailable(f"{path}: no socket was handed out")
    return socket.socket(fileno=found[0])
