"""The policy pack, run by the real engine over real stacks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.paths import ROOT
from policies.judge import RULES, STACK_RULES
from tests.cloud import Cloud, config, project, pulumi

PACK = str(ROOT / "policies")
SAFE = {"storage": {"protect": True}, "registry": {"protect": True}}
FINDING = re.compile(r"^\s+- \[(?P<level>\w+)\]\s+(?P<rule>[a-z-]+)", re.MULTILINE)


def stack(made: Cloud, name: str, wanted: dict[str, object], main: Path = ROOT) -> Path:
    folder = project(made.folder / name, name, wanted, main)
    pulumi(made, folder, "stack", "init", name)
    return folder


def found(printed: str) -> set[tuple[str, str]]:
    return {(match["rule"], match["level"]) for match in FINDING.finditer(printed)}


def test_the_program_has_no_finding_in_a_preview(made: Cloud):
    printed = pulumi(made, stack(made, "safe", config(**SAFE)), "preview", "--policy-pack", PACK)
    assert found(printed) == set() and "twinlock@v" in printed


@pytest.mark.long
def test_a_development_environment_is_deployed_with_advice_alone(made: Cloud):
    """An update knows what a preview can't: policies of buckets and roles, and the user data."""
    words = ("up", "--yes", "--skip-preview", "--policy-pack", PACK, "--policy-pack-config", f"{PACK}/dev.json")
    printed = pulumi(made, stack(made, "develop", config()), *words)
    assert found(printed) == {("deletion-protection", "advisory"), ("secret-recovery", "advisory")}


def test_every_rule_stops_a_stack_that_breaks_it(made: Cloud):
    """The rules of the whole stack see only what no rule of a resource has stopped."""
    folder = stack(made, "broken", {"aws:region": "eu-west-1"}, ROOT / "tests" / "boot" / "broken_stack")
    first = pulumi(made, folder, "preview", "--policy-pack", PACK, code=1)
    assert found(first) >= {(rule.name, "mandatory") for rule in RULES}
    assert "IOSFODNN7" not in first.split("Policies:")[1]

    levels = made.folder / "levels.json"
    levels.write_text(json.dumps({rule.name: "advisory" for rule in RULES}))
    words = ("preview", "--policy-pack", PACK, "--policy-pack-config", str(levels))
    advised, stopped = {(r.name, "advisory") for r in RULES}, {(r.name, "mandatory") for r in STACK_RULES}
    assert found(pulumi(made, folder, *words, code=1)) == advised | stopped
