"""A machine's serial console: a pseudo-terminal whose output is kept in a file."""

from __future__ import annotations

import errno
import os
import pty
import re
import termios
import threading
from pathlib import Path

# Escape sequences that systemd and agetty send to terminals.
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])|\r")


class Console:
    """Copies a terminal's output into `path` until the other side closes; `changed` is notified of all that comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = threading.Condition()
        self.ended = False
        self._master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (50, 200))

    def follow(self) -> None:
        """Starts copying; the caller has given the slave to the machine and does not need it any more."""
        os.close(self.slave)
        threading.Thread(target=self._copy, name=f"console {self.path.parent.name}", daemon=True).start()

    def _copy(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            while chunk := self._read():
                file.write(chunk)
                with self.changed:
                    self.changed.notify_all()
        os.close(self._master)
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except OSError as exc:
            if exc.errno == errno.EIO:  # the last slave was closed: the machine is gone
                return b""
            raise


def plain(text: str) -> str:
    """Without what is meant for a terminal."""
    return ESCAPES.sub("", text)
