"""Control groups of the machines: how a machine is found, frozen and killed, also by another process than its maker.

Machines live in the unified hierarchy, below a group whose name is derived from the state directory; so nothing has to
be written down for a sweep. Where the host mounts the hierarchies of old, the unified one is beside them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

MOUNTS = Path("/proc/mounts")
GONE_SECONDS = 10.0


class NoUnifiedHierarchyError(RuntimeError):
    """The host has no cgroup v2 at all."""


def unified_root() -> Path:
    """Where the host mounts cgroup v2: the whole of /sys/fs/cgroup, or a folder of it."""
    for line in MOUNTS.read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise NoUnifiedHierarchyError("no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


def group_name(state_dir: Path) -> str:
    """Of all machines whose state is there."""
    return f"twinlock-{hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:10]}"


class Group:
    """The control group of one machine, its supervisor included."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    def pids(self) -> list[int]:
        """Of the group and all groups in it."""
        found: list[int] = []
        for folder, _, _ in os.walk(self.path):  # unlike rglob, it passes over a group that goes while it is listed
            try:
                found += [int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()]
            except OSError as exc:  # the group went between the listing and the reading
                if exc.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
        return found

    def kill(self) -> None:
        """Every process at once, as when the power goes, and then the group itself; nothing if there is none."""
        deadline = time.monotonic() + GONE_SECONDS
        while self.exists:
            try:
                (self.path / "cgroup.kill").write_text("1")
                self._remove()
            except OSError as exc:
                if exc.errno not in (errno.EBUSY, errno.ENOENT, errno.ENODEV) or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def freeze(self, frozen: bool) -> None:
        """Stops or resumes all of its processes; done when this returns."""
        (self.path / "cgroup.freeze").write_text("1" if frozen else "0")
        deadline = time.monotonic() + GONE_SECONDS
        while f"frozen {int(frozen)}" not in (self.path / "cgroup.events").read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.path} did not {'freeze' if frozen else 'thaw'}")
            time.sleep(0.002)

    def _remove(self) -> None:
        for folder, _, _ in os.walk(self.path, topdown=False):
            Path(folder).rmdir()
