"""The steps of the workflows that do something by themselves, run as they stand there, with a `gh` that writes down."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.paths import ROOT

GH = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  "issue list"*|*--paginate*) printf '%s' "$FOUND" ;;
esac
"""
TWINLOCK = """#!/bin/sh
echo "what was found"
exit "$CODE"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for path, text in (("bin/gh", GH), ("bin/pulumi", GH), (".venv/bin/python", TWINLOCK)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o755)
    return tmp_path


def run(place: Path, workflow: str, job: str, step: str, **environment: str) -> tuple[int, list[str]]:
    """Exit code, and how `gh` was called; as GitHub runs a step, with `bash -e`."""
    steps = yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text())["jobs"][job]["steps"]
    [script] = [one["run"] for one in steps if one.get("id") == step]
    calls = place / "calls"
    calls.unlink(missing_ok=True)
    given = {
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "STACK": "prod", "CALLS": str(calls), "NUMBER": "7",
        "GITHUB_OUTPUT": str(place / "output"), "GITHUB_STEP_SUMMARY": str(place / "summary"),
        "GITHUB_REPOSITORY": "team/twinlock", "FOUND": "", **environment,
    }  # fmt: skip
    done = subprocess.run(["bash", "-e", "-c", script], cwd=place, env=given, check=False)
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(("code", "ends"), [("0", 0), ("1", 0), ("2", 1)])
def test_a_difference_is_handed_on_and_a_mistake_fails(place: Path, code: str, ends: int):
    assert run(place, "drift.yml", "drift", "drift", CODE=code) == (ends, [])
    assert f"code={code}" in (place / "output").read_text()
    assert (place / "drift.md").read_text() == "```\nwhat was found\n```\n"


def test_drift_opens_one_issue_and_says_more_in_it_the_next_night(place: Path):
    code, calls = run(place, "drift.yml", "drift", "issue")
    assert (code, calls[1:]) == (0, ["issue create --title Drift in prod --body-file drift.md"])
    code, calls = run(place, "drift.yml", "drift", "issue", FOUND="12")
    assert (code, calls[1:]) == (0, ["issue comment 12 --body-file drift.md"])


def test_a_deployment_takes_the_levels_that_its_environment_has(place: Path):
    (place / "policies").mkdir()
    (place / "policies" / "dev.json").write_text("{}")
    assert run(place, "deploy.yml", "up", "up") == (0, ["up --yes --stack prod --policy-pack policies"])
    _, [called] = run(place, "deploy.yml", "up", "up", STACK="dev")
    assert called == "up --yes --stack dev --policy-pack policies --policy-pack-config policies/dev.json"


def test_a_pull_request_has_one_comment_for_each_stack(place: Path):
    (place / "comment.md").write_text("<!-- twinlock preview prod -->\n")
    code, calls = run(place, "preview.yml", "preview", "comment")
    assert (code, calls[1:]) == (0, ["pr comment 7 --body-file comment.md"])
    code, calls = run(place, "preview.yml", "preview", "comment", FOUND="99")
    assert (code, calls[1:]) == (0, ["api -X PATCH repos/team/twinlock/issues/comments/99 -F body=@comment.md"])


def test_a_pull_request_waits_for_the_tests_of_make_test_and_the_night_for_all():
    ran = {
        file.name: " ".join(
            step.get("run", "") for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]
        )
        for file in (ROOT / ".github/workflows").glob("*.yml")
    }
    assert "tools/test_tiers.py static unit boot" in ran["check.yml"] and "make test-all" in ran["lab.yml"]
    assert not any("pytest" in text or "--all" in text for text in ran.values())
