"""Debian's archive, as far as a stock image asks it for packages: what tools/image/stock kept, Debian's signature too.

It answers in the lab's internet, at the name that the image's own list of sources gives.
"""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS = "151.101.2.132"
_SOURCE = re.compile(r"^deb http://(?P<host>[^/ ]+)(?P<path>/[^ ]*) ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A folder with `dists` and `pool`, and where a machine looks for it."""

    host: str
    path: str  # of its address
    folder: Path


def archive_of(stock: Path) -> Archive | None:
    """None where no stock image was made (it is for `make test-all` alone)."""
    sources = stock / "root/etc/apt/sources.list"
    found = _SOURCE.search(sources.read_text()) if sources.exists() else None
    return Archive(host=found["host"], path=found["path"], folder=stock / "mirror") if found else None


def serve(archive: Archive, listener: socket.socket) -> None:
    """Until this process ends."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def translate_path(self, path: str) -> str:
            return super().translate_path(path.removeprefix(archive.path))

        def log_message(self, format: str, *args: object) -> None:
            pass

    def handler(*given: object) -> Handler:
        return Handler(*given, directory=str(archive.folder))  # pyright: ignore

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    threading.Thread(target=server.serve_forever, daemon=True, name="mirror").start()
