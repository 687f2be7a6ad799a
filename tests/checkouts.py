"""Labs in checkouts of their own: labs are told apart by their checkout's path."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.machines.cgroups import group_name, unified_root
from userdata.agent_archive import build_agent_archive

ROOT = Path(__file__).parents[1]
# What the labs of this run booted, the latest last: each test says it.
BOOTED: list[str] = []


@dataclass(frozen=True)
class Checkout:
    """A copy of this one: labs are told apart by their checkout's path."""

    path: Path

    @property
    def mark(self) -> str:
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:4]

    def lab(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.path / ".venv" / "bin" / "python", "-m", "lab", *words], cwd=self.path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def done(self, *words: str) -> str:
        """What it printed; an assertion if it failed."""
        process = self.lab(*words)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
        if words[0] == "up":
            assert_own_agent(self.path / ".lab" / "report.json")
        return said

    def log(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / ".lab/control" / f"{name}.jsonl").read_text().splitlines()]

    def left(self) -> list[str]:
        """What this checkout's lab left on the machine: namespaces, processes, mounts, groups, sockets, files."""
        spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        group = unified_root() / group_name(self.path / ".lab" / "machines")
        files = [*Path("/etc/netns").glob(f"twl{self.mark}*"), *Path("/var/run/wireguard").glob(f"*-{self.mark}.sock")]
        files += [path for path in (group, self.path / ".lab", self.path / ".lab.lock") if path.exists()]
        return [
            *(name for name in spaces if self.mark in name),
            *(line for line in mounts if str(self.path / ".lab") in line),
            *map(str, files), *processes(str(self.path), f"twl{self.mark}", f"-{self.mark}", group.name),
        ]  # fmt: skip


def assert_own_agent(report: Path) -> None:
    """A lab that booted another agent than this code's could turn a test green."""
    found = json.loads(report.read_text())
    with tempfile.TemporaryDirectory() as folder:
        ours = build_agent_archive(Path(folder) / "agent.pyz").sha256
    assert found["agent_sha256"] == ours, "the lab booted another agent than this code's"
    BOOTED.append(f"commit {found['commit']}, agent {ours[:16]}")


def processes(*words: str) -> list[str]:
    """Those that have one of the words in their command line, folder or control group."""
    found: list[str] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            said = (folder / "cmdline").read_text().replace("\0", " ")
            about = f"{said} {(folder / 'cwd').readlink()} {(folder / 'cgroup').read_text()}"
        except OSError:  # it ended
            continue
        if any(word in about for word in words):
            found.append(f"{folder.name}: {said}")
    return found


def copied(folder: Path) -> Checkout:
    """What git knows of this one, with its tools."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    _environment(folder / ".venv")
    return Checkout(folder)


def _environment(folder: Path) -> None:
    """This checkout's by another path. What is installed keeps its own: Python would else compile all of it anew."""
    (ours,) = (ROOT / ".venv" / "lib").glob("python3.*/site-packages")
    packages = folder / ours.relative_to(ROOT / ".venv")
    packages.mkdir(parents=True)
    (packages / "shared.pth").write_text(f"import site; site.addsitedir({str(ours)!r})\n")
    (folder / "bin").symlink_to(ROOT / ".venv" / "bin")
    (folder / "pyvenv.cfg").symlink_to(ROOT / ".venv" / "pyvenv.cfg")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """For a lab of its own, beside the one of all tests."""
    made = copied(tmp_path)
    yield made
    made.done("down")
