"""`test_tiers.py [--all] TIER…` runs tiers of the tests, each in a run of its own (what one loads makes another slow),
all of them even if one fails, and ends with their counts. Without --all, tests marked `long` are left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIERS = ("static", "unit", "boot", "lab")
PASSED = 0  # of pytest's exit codes


def run(tier: str, everything: bool, report: Path) -> int:
    """pytest's exit code."""
    command = [sys.executable, "-m", "pytest", f"tests/{tier}", f"--junit-xml={report}"]
    return subprocess.run([*command, *([] if everything else ["-m", "not long"])], cwd=ROOT, check=False).returncode


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
    tiers = [word for word in words if word != "--all"]
    if not tiers or not set(tiers) <= set(TIERS):
        print(f"usage: test_tiers.py [--all] TIER…, of {', '.join(TIERS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        reports = {tier: Path(folder) / f"{tier}.xml" for tier in tiers}
        codes = [run(tier, "--all" in words, report) for tier, report in reports.items()]
        for tier, report in reports.items():
            print(f"{tier:8}{count(report)}")
    return 0 if set(codes) == {PASSED} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
