"""The end of an environment: what stays is named with its cost, and the next deployment works at once."""

from __future__ import annotations

import pytest

from lab.paths import STACK
from tests.account import held
from tests.cloud import Cloud, config
from twinlock.automation import Automation, EnvironmentSpec, spec

pytestmark = pytest.mark.timeout(900)


def wanted(*, protect: bool) -> EnvironmentSpec:
    objects = config(storage={"protect": protect}, registry={"protect": protect})
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in objects.items()}
    return spec({"environment": "ends", **found})


@pytest.mark.long
def test_a_destroyed_environment_leaves_what_is_protected_and_comes_back_at_once(made: Cloud):
    platform = Automation(STACK, made.folder / "work", made.environment())
    platform.deploy(wanted(protect=True))
    left = platform.destroy(wanted(protect=True)).left
    costs = {one.urn.split("::")[2].rpartition(":")[2]: one.cost for one in left if one.cost != "nothing"}
    assert {one.why for one in left} == {"protected"}
    assert costs.keys() == {"Bucket", "Table", "Key", "Secret"} and costs["Key"] == "$1 a month"
    assert {each.partition(" ")[0] for each in held(made, "ends")} == {"Buckets", "Tables", "Keys", "Secrets"}

    platform.deploy(wanted(protect=True))
    assert platform.drift(wanted(protect=True)).changed == ()
    platform.deploy(wanted(protect=False))
    left = platform.destroy(wanted(protect=False)).left
    assert [(one.name, one.why, one.days, one.cost) for one in left] == [
        ("twinlock-ends-key", "recovery", 7, "nothing")
    ]
    assert not held(made, "ends")

    assert "create" in platform.deploy(wanted(protect=False)).counts()
    platform.destroy(wanted(protect=False))
    assert not held(made, "ends")
