"""`twinlock preview` with the real engine, as a pull request's workflow runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.paths import ROOT
from tests.cloud import Cloud, cloud, config, project

pytestmark = pytest.mark.timeout(400)


def preview(made: Cloud, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twinlock.cli.main", "-e", "dev", "preview", *words]
    environment = {**made.environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_a_new_environment_is_a_comment_and_a_finding_fails_it(tmp_path: Path):
    with cloud(tmp_path) as made:
        folder = project(tmp_path / "project", "dev", config())
        levels = ("--policy-pack", str(ROOT / "policies"), "--policy-config", str(ROOT / "policies" / "dev.json"))
        done = preview(made, folder, "--markdown", *levels)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("<!-- twinlock preview dev -->\n### Twinlock `dev`: ")
        assert "to create" in done.stdout and "| create | `twinlock-dev-data` | Bucket |" in done.stdout
        assert "- advisory `deletion-protection`: twinlock-dev-data holds data" in done.stdout
        refused = preview(made, folder, "--markdown", *levels[:2])
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert "the preview failed" in refused.stdout and "- mandatory `deletion-protection`" in refused.stdout
        (folder / "Pulumi.dev.yaml").write_text("config:\n  aws:region: mars\n")
        wrong = preview(made, folder)
        assert wrong.returncode == 2 and "aws:region = mars" in wrong.stderr
