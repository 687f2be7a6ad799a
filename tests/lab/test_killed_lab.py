"""Whole labs in a checkout of their own: killed in the middle of a boot, at once with another, without a network."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.machines.cgroups import group_name, unified_root
from tests.lab.test_peers_live import within

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Checkout:
    """A copy of this one: labs are told apart by their checkout's path."""

    path: Path

    @property
    def mark(self) -> str:
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:4]

    def lab(self, verb: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.path / ".venv" / "bin" / "python", "-m", "lab", verb], cwd=self.path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def done(self, verb: str) -> str:
        process = self.lab(verb)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
        return said

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


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, listed):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name, follow_symlinks=False)
    for shared in (".venv", ".tools"):
        (tmp_path / shared).symlink_to(ROOT / shared)
    made = Checkout(tmp_path)
    yield made
    made.done("down")


def killed_in_the_middle_of_a_boot(checkout: Checkout) -> None:
    """SIGKILL for the daemon while machines boot; the command that waited for it ends by itself."""
    up = checkout.lab("up")
    consoles = checkout.path / ".lab" / "machines"
    try:
        within(120, lambda: any(file.stat().st_size for file in consoles.glob("*/console")), "a machine boots")
        assert checkout.left(), "the control: a running lab is seen"
        os.kill(int((checkout.path / ".lab" / "daemon.pid").read_text().split()[0]), signal.SIGKILL)
        said, _ = up.communicate(timeout=90)
    finally:
        up.kill()
        up.wait()
    assert up.returncode == 1, said
    assert "Traceback" not in said


def test_down_after_the_daemon_was_killed_in_the_middle_of_a_boot_leaves_nothing(checkout: Checkout) -> None:
    killed_in_the_middle_of_a_boot(checkout)
    checkout.done("down")
    within(10, lambda: checkout.left() == [], f"nothing is left; {checkout.left()}")


@pytest.mark.long
def test_down_after_the_engine_was_killed_in_the_middle_of_a_deployment_leaves_nothing(checkout: Checkout) -> None:
    up = checkout.lab("up")
    try:
        within(90, lambda: "lab.provider aws" in str(processes(str(checkout.path))), "a deployment is under way")
        engines = [int(one.split(":")[0]) for one in processes(str(checkout.path)) if "bin/pulumi up" in one]
        assert engines, "the control: the engine is seen"
    finally:
        up.kill()
        up.wait()
    for engine in engines:
        os.kill(engine, signal.SIGKILL)
    checkout.done("down")
    within(10, lambda: checkout.left() == [], f"nothing is left; {checkout.left()}")


@pytest.mark.long
def test_the_next_lab_cleans_up_after_a_killed_one(checkout: Checkout) -> None:
    killed_in_the_middle_of_a_boot(checkout)
    checkout.done("up")
    gateways = [said for said in processes("systemd-nspawn", str(checkout.path)) if str(checkout.path) in said]
    assert len([said for said in gateways if "systemd-nspawn" in said]) == 2, "its own two, none of the killed one"
    checkout.done("down")
    within(10, lambda: checkout.left() == [], f"nothing is left; {checkout.left()}")


def test_a_second_lab_in_the_same_checkout_says_so_and_changes_nothing(checkout: Checkout) -> None:
    first = checkout.lab("up")
    try:
        within(60, (checkout.path / ".lab" / "daemon.pid").exists, "the first is under way")
        daemon = (checkout.path / ".lab" / "daemon.pid").read_text()
        second = checkout.lab("up")
        said, _ = second.communicate(timeout=60)
        assert (second.returncode, len(said.strip().splitlines())) == (3, 1), said
        assert (checkout.path / ".lab" / "daemon.pid").read_text() == daemon
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()


def test_a_preview_needs_no_java(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nor root: nothing is started that would need it (`make preview` for people who just look)."""
    commands = tmp_path_factory.mktemp("commands")
    for name in ("bash", "dirname", "env", "git", "id", "ps", "python3", "readlink", "realpath", "sh", "uname"):
        (commands / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [checkout.path / ".venv" / "bin" / "python", "-m", "lab", "preview"], cwd=checkout.path,
        env={"PATH": str(commands), "HOME": str(tmp_path_factory.mktemp("home"))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert re.search(r"\+ \d+ to create", done.stdout)
    assert checkout.left() == []


@pytest.mark.long
def test_a_lab_whose_set_up_is_done_needs_no_network(checkout: Checkout) -> None:
    """`make lab` where there is nothing but a loopback."""
    alone = f"offline-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", alone], check=True)
    try:
        inside = ["nsenter", f"--net=/run/netns/{alone}"]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        done = subprocess.run([*inside, "make", "lab"], cwd=checkout.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "making" not in done.stdout, "each step of the set-up is skipped"
        subprocess.run([*inside, "make", "lab-down"], cwd=checkout.path, capture_output=True, check=True)
        assert checkout.left() == []
    finally:
        subprocess.run(["ip", "netns", "del", alone], check=True)
