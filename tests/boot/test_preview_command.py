"""`twinlock preview` with the real engine, as a pull request's workflow runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.paths import ROOT
from lab.project import stack_file
from lab.remote import LabError
from tests.cloud import Cloud, cloud, config, project, pulumi
from twinlock.cli.main import app

pytestmark = pytest.mark.timeout(400)


def preview(made: Cloud, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twinlock.cli.main", "-e", "dev", "preview", *words]
    environment = {**made.environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def previewed(tmp_path: Path, file: Path) -> bool:
    """What `make preview FILE=…` does, beside any lab that is up."""
    with cloud(tmp_path) as made:
        name, wanted = stack_file(file)
        folder = project(tmp_path / name, name, dict(wanted))
        pulumi(made, folder, "stack", "init", name)
        return f"twinlock-{name}-registry" in pulumi(made, folder, "preview", "--stack", name)


def test_a_file_that_was_just_written_can_be_previewed_in_the_lab(tmp_path: Path):
    fresh = tmp_path / "Pulumi.fresh.yaml"
    asked = ("environment", "new", "fresh", "--region", "eu-west-1", "--image", "ami-0d13a640000000001")
    assert CliRunner().invoke(app, [*asked, "--file", str(fresh)]).exit_code == 0
    assert previewed(tmp_path, fresh)


@pytest.mark.long
def test_the_production_example_can_be_previewed_in_the_lab(tmp_path: Path):
    assert previewed(tmp_path, ROOT / "Pulumi.prod.yaml")


@pytest.mark.parametrize(
    ("name", "says"),
    [("stack.yaml", "is not named"), ("Pulumi.a.yaml", "can't read"), ("Pulumi.b.yaml", "no `config:`")],
)
def test_what_is_no_stack_file_is_told_before_anything_starts(tmp_path: Path, name: str, says: str):
    (tmp_path / "Pulumi.b.yaml").write_text("a: 1\n")
    with pytest.raises(LabError, match=says) as caught:
        stack_file(tmp_path / name)
    assert caught.value.code == 2


@pytest.mark.long
def test_a_new_environment_is_a_comment_and_a_finding_fails_it(tmp_path: Path):
    with cloud(tmp_path) as made:
        folder = project(tmp_path / "project", "dev", config())
        pack = ("--policy-pack", str(ROOT / "policies"))  # with the levels that its folder has for dev
        (tmp_path / "strict.json").write_text("{}")
        done = preview(made, folder, "--markdown", *pack)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("<!-- twinlock preview dev -->\n### Twinlock `dev`: ")
        assert "to create" in done.stdout and "| create | `twinlock-dev-data` | Bucket |" in done.stdout
        assert "- advisory `deletion-protection`: twinlock-dev-data holds data" in done.stdout
        refused = preview(made, folder, "--markdown", *pack, "--policy-config", str(tmp_path / "strict.json"))
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert "the preview failed" in refused.stdout and "- mandatory `deletion-protection`" in refused.stdout
        (folder / "Pulumi.dev.yaml").write_text("config:\n  aws:region: mars\n")
        wrong = preview(made, folder)
        assert wrong.returncode == 2 and "aws:region = mars" in wrong.stderr
