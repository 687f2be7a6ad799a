"""Open ways with the kernel's WireGuard, which is what users have, beside wireguard-go's, which the lab has.

The same scenes (tests/ways/scenes.py) with both. The kernel's run in an emulated machine, whose clock goes with what
its processor has done (four nanoseconds an instruction): it is some ten times slower than this one, and its
milliseconds are the same however busy this one is.
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.places import GATEWAYS, GATEWAYS6
from tests.userdata_samples import gateway_boot
from tests.ways.cloud import PREFIX6
from userdata.boot_args import GatewayBoot, Twin
from userdata.render import boot_json, render_firewall

ROOT = Path(__file__).parents[2]
MACHINE = ROOT / ".tools" / "kernel"
SLOTS = tuple(GATEWAYS)
RUN = """#!/bin/sh
PYTHONPATH=/work exec python3 -m tests.ways.scenes /work/stage
"""


def _boot(slot: str) -> GatewayBoot:
    private = {one: f"10.0.{number}.10" for number, one in enumerate(SLOTS, 1)}
    twins = tuple(
        Twin(slot=one, private_address=private[one], private_address6=GATEWAYS6[one]) for one in SLOTS if one != slot
    )
    return gateway_boot(
        environment="ways", slot=slot, zone=f"zone-{slot}", private_address=private[slot], prefix6=PREFIX6,
        public_address=GATEWAYS[slot], twins=twins, private_address6=GATEWAYS6[slot],
    )  # fmt: skip


def _told(folder: Path) -> dict[str, bytes]:
    """What the scenes are given: each gateway's boot arguments and firewall, as the user data renders them."""
    files: dict[str, bytes] = {}
    for slot in SLOTS:
        files[f"{slot}.json"] = boot_json(_boot(slot)).encode()
        files[f"{slot}.nft"] = render_firewall(_boot(slot)).encode()
    return files


def _scenes(printed: str) -> dict[str, Any]:
    found = [json.loads(line) for line in printed.splitlines() if line.startswith('{"scene"')]
    return {one["scene"]: one["found"] for one in found}


def _on_this_machine(folder: Path) -> tuple[dict[str, Any], str]:
    for name, text in _told(folder).items():
        (folder / name).write_bytes(text)
    words = [sys.executable, "-m", "tests.ways.scenes", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return _scenes(done.stdout), done.stdout + done.stderr


def _emulated(folder: Path) -> tuple[dict[str, Any], str]:
    """The machine's disk stays as it is; what it runs is on a second one."""
    work = folder / "work.tar"
    with tarfile.open(work, "w") as tar:
        for part in ("twinlock/__init__.py", "twinlock/agent", "twinlock/registry", "tests/ways", "tests/places.py",
                     "tests/memory_table.py"):  # fmt: skip
            tar.add(ROOT / part, part, filter=lambda one: None if "__pycache__" in one.name else one)
        for name, text in {"run": RUN.encode(), **{f"stage/{at}": it for at, it in _told(folder).items()}}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            tar.addfile(entry, io.BytesIO(text))
    arm = platform.machine() == "aarch64"
    words = [
        f"qemu-system-{platform.machine()}", "-accel", "tcg,thread=single", "-cpu", "max",
        "-icount", "shift=2,sleep=off", "-rtc", "clock=vm", *(["-M", "virt"] if arm else []),
        "-m", "2048", "-nographic", "-no-reboot", "-net", "none",
        "-kernel", str(MACHINE / "vmlinuz"), "-initrd", str(MACHINE / "initrd"), "-append",
        f"root=/dev/vda rw console={'ttyAMA0' if arm else 'ttyS0'} init=/start quiet panic=-1",
        "-drive", f"file={MACHINE / 'disk'},format=raw,if=virtio,snapshot=on",
        "-drive", f"file={work},format=raw,if=virtio,readonly=on",
    ]  # fmt: skip
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        env={**os.environ, "TMPDIR": str(folder)}, timeout=1700,
    )  # fmt: skip
    printed = done.stdout.replace("\r", "") + done.stderr
    return _scenes(printed), printed


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_open_ways_do_the_same_with_the_kernels_wireguard_as_with_wireguard_go(tmp_path: Path) -> None:
    subprocess.run([ROOT / "tools/image/kernel", MACHINE], check=True)
    (tmp_path / "go").mkdir()
    (tmp_path / "kernel").mkdir()
    ours, said = _on_this_machine(tmp_path / "go")
    assert "a revoked peer" in ours, said
    theirs, said = _emulated(tmp_path / "kernel")
    assert "a revoked peer" in theirs, said
    for scene in ours:
        print(f"{scene}: wireguard-go {ours[scene]}, the kernel's {theirs[scene]}")
    assert theirs["what wg tells"] == ours["what wg tells"]
    assert ours["a nudge"] == theirs["a nudge"] == 1
    # Milliseconds. Wide, where much runs at once; WireGuard by itself takes 15 s and more.
    most = {
        "a fresh client": 8000, "a crash": 6000, "a second crash": 6000, "a switch under a download": 2000,
        "a switch back under a download": 2000, "the client roams": 2000, "the client restarts": 8000,
        "a revoked peer": 8000,
    }  # fmt: skip
    for found in (ours, theirs):
        assert {scene: found[scene] for scene in most if found[scene] > most[scene]} == {}
        assert min(found["a crash"], found["a second crash"]) > 300, "its detection is part of it"
        assert found["both agents stand still"] < 1300, "the firewall alone, whatever the agent does"
