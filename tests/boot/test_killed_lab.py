"""Whole labs in a checkout of their own: killed in the middle of a boot, at once with another, without a network."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.checkouts import Checkout, processes
from tests.within import within

pytestmark = pytest.mark.timeout(400)


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


@pytest.mark.long
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
