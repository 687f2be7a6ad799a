"""Runs a command for as long as its own standard input stays open: `python -m lab.aws.tethered COMMAND ARG…`.

The lab's background processes end with the process that started them, however that one ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading


def main() -> int:
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def until_the_parent_ends() -> None:
        sys.stdin.buffer.read()
        child.kill()

    threading.Thread(target=until_the_parent_ends, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
