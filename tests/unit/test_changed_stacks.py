"""Which stacks a change concerns."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

stacks = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "changed_stacks.py"))["stacks"]
EXISTING = ["Pulumi.dev.yaml", "Pulumi.prod.yaml"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["Pulumi.prod.yaml", "README.md"], ["prod"]),
        (["components/plan.py"], ["dev", "prod"]),
        (["Pulumi.yaml"], ["dev", "prod"]),
        (["docs/lab.md", "tests/unit/test_plan.py", "lab/stack/Pulumi.lab.yaml"], []),
        (["Pulumi.gone.yaml"], []),
    ],
)
def test_a_change_concerns_the_stacks_that_it_can_change(changed: list[str], expected: list[str]):
    assert stacks(changed, EXISTING) == expected
