"""The cloud refuses something in the middle of a deployment: it is told with its mend, and the next one converges."""

from __future__ import annotations

import threading

import pytest

from lab.aws.call import Call
from lab.paths import STACK
from tests.account import held
from tests.cloud import Cloud, config
from twinlock.automation import Automation, EnvironmentSpec, Refused, Wishes, spec
from twinlock.change import Event, Failed, Started, report

pytestmark = pytest.mark.timeout(900)
_READS = ("Describe", "Get", "List", "Head")


@pytest.fixture(scope="module")
def platform(made: Cloud) -> Automation:
    return Automation(STACK, made.folder / "work", made.environment())


def wanted(name: str) -> EnvironmentSpec:
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in config().items()}
    return spec({"environment": name, **found})


class EachOnce:
    """Refuses the first call of every operation, those that only read only if asked."""

    def __init__(self, *, reads: bool) -> None:
        self.seen: set[tuple[str, str]] = set()
        self._reads, self._lock = reads, threading.Lock()

    def __call__(self, call: Call) -> bool:
        if call.service == "sts" or (not self._reads and call.action.startswith(_READS)):
            return False
        with self._lock:
            fresh = (call.service, call.action) not in self.seen
            self.seen.add((call.service, call.action))
        return fresh


def _until_it_converges(platform: Automation, one: EnvironmentSpec) -> tuple[list[Refused], list[Event]]:
    """What was refused on the way, and all that the deployments said."""
    refused: list[Refused] = []
    events: list[Event] = []
    while True:
        try:
            platform.deploy(one, Wishes(on_event=events.append))
        except Refused as error:
            refused.append(error)
            assert "is refused for a trial" in error.reason, error.log
        else:
            return refused, events


def _types(urns: set[str]) -> set[str]:
    found = {urn.split("::")[2].split("$")[-1] for urn in urns}
    return {kind for kind in found if kind.startswith("aws:")}


@pytest.mark.long
@pytest.mark.parametrize("reads", [False, True], ids=["writes", "reads-too"])
def test_every_call_may_fail_once_and_the_deployment_converges(made: Cloud, platform: Automation, reads: bool):
    """So each type of resource fails at least once, some in the middle of being made."""
    one = wanted("reads" if reads else "writes")
    made.control.refuse(EachOnce(reads=reads))
    try:
        refused, events = _until_it_converges(platform, one)
    finally:
        made.control.refuse(None)
    for error in refused:
        assert ("::aws:" in error.resource or "$aws:" in error.resource) and error.mend, error.log
    failed = {event.urn for event in events if isinstance(event, Failed)}
    started = {event.change.urn for event in events if isinstance(event, Started)}
    assert _types(failed) == _types(started)
    assert [each for each, times in held(made, one.environment).items() if times > 1] == []
    assert report(events).changed
    assert platform.drift(one).changed == ()
    platform.destroy(one)
    assert not held(made, one.environment)
