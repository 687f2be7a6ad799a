"""`test_tiers.py [--all] TIER…` runs tiers of the tests, each in a run of its own (what one loads makes another slow),
all of them even if one fails, and ends with their counts. Without --all, tests marked `long` are left out.

The lab tier runs beside the others, for which it mostly waits anyway; what it printed is shown when both have ended. It
takes longest, one test after the other. Linux shares the processor out among sessions, so each lane has its own, and
that of the others gives way.
The boot tier waits for machines and engines as much as it works: its files, and those of the unit tier, are shared out
among several workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import BinaryIO

ROOT = Path(__file__).resolve().parent.parent
# Those of a lane run one after the other, the lanes side by side.
LANES = (("static", "unit", "boot"), ("lab",))
NICER = "3"  # the first lane's session, from -20 to 19; https://man7.org/linux/man-pages/man7/sched.7.html (autogroup)
TIERS = tuple(tier for lane in LANES for tier in lane)
WORKERS = min((os.cpu_count() or 1) + 1, 8)
OPTIONS = {
    "unit": ("--numprocesses=2", "--dist=loadfile"),
    "boot": (f"--numprocesses={WORKERS}", "--dist=loadfile", "--no-loadscope-reorder"),
}
PASSED = 0  # of pytest's exit codes
INTERRUPTED = 130


@dataclass(frozen=True)
class Run:
    """Some tiers, with their reports and what a lane printed that was not shown at once in `folder`."""

    tiers: tuple[str, ...]
    everything: bool
    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    interrupted: Event = field(default_factory=Event)

    def lane(self, number: int) -> bool:
        """Whether all its tiers passed. The first prints at once."""
        tiers = (tier for tier in LANES[number] if tier in self.tiers)
        codes = [self._tier(tier, shown=number == 0) for tier in tiers if not self.interrupted.is_set()]
        return set(codes) <= {PASSED}

    def _tier(self, tier: str, *, shown: bool) -> int:
        command = [
            sys.executable,
            "-m",
            "pytest",
            f"tests/{tier}",
            f"--junit-xml={self.report(tier)}",
            *OPTIONS.get(tier, ()),
        ]
        command += [] if self.everything else ["-m", "not long"]
        if shown or len(self.tiers) == 1:
            return self._go(command, None, nicer=len(self.tiers) > 1)
        with self.printed(tier).open("wb") as file:
            return self._go(command, file, nicer=False)

    def _go(self, command: list[str], output: BinaryIO | None, *, nicer: bool) -> int:
        started = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        self.running.append(started)
        group = Path(f"/proc/{started.pid}/autogroup")
        if nicer and group.exists():
            group.write_text(NICER)
        return started.wait()

    def interrupt(self) -> None:
        """The terminal tells none but its own session."""
        self.interrupted.set()
        for started in self.running:
            started.send_signal(signal.SIGINT)

    def report(self, tier: str) -> Path:
        return self.folder / f"{tier}.xml"

    def printed(self, tier: str) -> Path:
        return self.folder / f"{tier}.txt"


def count(report: Path) -> str:
    """One line of how many passed, failed and were left out, and the seconds."""
    if not report.exists():
        return "ended before it could report"
    suite = next(ET.parse(report).iter("testsuite"))  # noqa: S314 - pytest has just written it
    tests, wrong, skipped = (
        sum(int(suite.attrib[name]) for name in names) for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return f"{tests - wrong - skipped} passed, {wrong} failed, {skipped} skipped, {float(suite.attrib['time']):.0f} s"


def main(words: list[str]) -> int:
    tiers = tuple(tier for tier in TIERS if tier in words)
    if not tiers or not set(words) <= {*TIERS, "--all"}:
        print(f"usage: test_tiers.py [--all] TIER…, of {', '.join(TIERS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        run = Run(tiers, "--all" in words, Path(folder))
        with ThreadPoolExecutor(len(LANES)) as lanes:
            try:
                passed = list(lanes.map(run.lane, range(len(LANES))))
            except KeyboardInterrupt:
                run.interrupt()
                return INTERRUPTED
        for tier in tiers:
            if run.printed(tier).exists():
                print(run.printed(tier).read_text(errors="replace"))
        for tier in tiers:
            print(f"{tier:8}{count(run.report(tier))}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
