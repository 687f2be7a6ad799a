"""Many environments in one account, deployed by several workers at once: none meets another."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.paths import STACK
from tests.account import held
from tests.cloud import Cloud, cloud, config
from twinlock.automation import Automation, EnvironmentSpec, spec
from twinlock.change import Report

pytestmark = pytest.mark.timeout(3000)
COUNT = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("cloud"), addresses=2 * COUNT, networks=COUNT + 1) as running:
        yield running


def wanted(number: int) -> EnvironmentSpec:
    objects = config(network={"cidr": f"10.{20 + number}.0.0/16"})
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in objects.items()}
    return spec({"environment": f"team-{number}", **found})


def _together(made: Cloud, count: int, workers: int) -> None:
    platform = Automation(STACK, made.folder / "work", made.environment())
    environments = [wanted(number) for number in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        deployed: list[Report] = list(pool.map(platform.deploy, environments))
        assert {frozenset(report.counts().items()) for report in deployed} == {frozenset(deployed[0].counts().items())}
        for one in environments:
            found = held(made, one.environment)
            assert max(found.values()) == 1 and found.keys() >= {f"Tables twinlock-{one.environment}"}
        tables = {told.table for one in environments if (told := platform.outputs(one)) is not None}
        assert len(tables) == count
        # Every second one goes; the others stay as they are.
        list(pool.map(platform.destroy, environments[::2]))
        assert all(not held(made, one.environment) for one in environments[::2])
        assert all(report.changed == () for report in pool.map(platform.drift, environments[1::2]))
        list(pool.map(platform.destroy, environments[1::2]))
    assert all(not held(made, one.environment) for one in environments)


@pytest.mark.long
def test_twenty_environments_by_four_workers_do_not_meet(made: Cloud):
    _together(made, COUNT, 4)


@pytest.mark.long
def test_two_environments_at_once_are_previewed_apart(made: Cloud):
    """Two engines, one account, each with its own names."""
    platform = Automation(STACK, made.folder / "work", made.environment())
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(platform.preview, [wanted(COUNT), wanted(COUNT + 1)])
    assert first.counts() == second.counts()
    names = [{one.name for one in report.changed} for report in (first, second)]
    assert not names[0] & names[1]
