"""Listening sockets that live in a namespace and are served by this process."""

from __future__ import annotations

import socket

from lab.fabric.kernel import inside


def listening(namespace: str, address: str, port: int, *, ttl: int | None = None) -> socket.socket:
    """A TCP socket listening inside `namespace`; `ttl` is the hop limit of everything it sends."""

    def open_socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ttl is not None:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            made.bind((address, port))
            made.listen(256)
        except OSError:
            made.close()
            raise
        return made

    return inside(namespace, open_socket)


def hang_up(made: socket.socket) -> None:
    """Ends a listening socket, and with it a thread that waits in its accept()."""
    try:
        made.shutdown(socket.SHUT_RDWR)
    except OSError:  # its owner closed it already
        return
    made.close()
