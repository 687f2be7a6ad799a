"""The workflows, as actionlint sees them (built from its module, pinned in tools/actionlint)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.paths import ROOT

COMMAND = [str(ROOT / ".venv/bin/go"), "run", "github.com/rhysd/actionlint/cmd/actionlint", "-no-color"]


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    return subprocess.run(
        [*COMMAND, *map(str, files)],
        cwd=ROOT / "tools" / "actionlint", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(300)  # the first run builds it
def test_the_workflows_are_sound_and_a_mistake_would_be_found(tmp_path: Path):
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert len(files) >= 4
    done = actionlint(*files)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.yml"
    broken.write_text((ROOT / ".github/workflows/preview.yml").read_text().replace("matrix.stack", "matrix.stock"))
    assert "stock" in actionlint(broken).stdout
