"""One lab for all tests of this tier, booted from the code as it is now."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab import calls, clients, deploy, fail, life
from lab import up as job
from lab.clients import Client
from lab.paths import CONTROL, REPORT
from lab.remote import LabError
from tests.checkouts import BOOTED, assert_own_agent, checkout  # noqa: F401  (fixture)


@dataclass(frozen=True)
class RunningLab:
    report: dict[str, Any]
    deployer: dict[str, str]

    def twinlock(self, *words: str) -> dict[str, Any]:
        return clients.twinlock(self.deployer, *words)

    def machine(self, slot: str) -> str:
        rows = self.twinlock("gateway", "list")["gateways"]
        return next(row["instance_id"] for row in rows if row["slot"] == slot)

    def on_gateway(self, slot: str, *argv: str) -> str:
        """What a command printed inside the slot's gateway; an assertion if it failed."""
        code, printed = calls.run(self.machine(slot), *argv)
        assert code == 0, f"{argv} on {slot}: {printed}"
        return printed

    def report_bucket(self) -> str:
        outputs = json.loads(deploy.pulumi(self.deployer, "stack", "output", "--json", "--stack", "lab"))
        return str(outputs["buckets"][0])

    def definition(self) -> str:
        """The environment's, as JSON, from the stack that was deployed."""
        state = json.loads(deploy.pulumi(self.deployer, "stack", "export", "--stack", "lab"))
        items = [each["inputs"].get("item", "") for each in state["deployment"]["resources"] if each.get("inputs")]
        (found,) = [json.loads(item) for item in items if item and '"environment"' in item]
        return next(value["S"] for value in found.values() if "S" in value and value["S"].startswith("{"))

    def log(self, name: str) -> list[dict[str, Any]]:
        path = CONTROL / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="session")
def lab() -> Iterator[RunningLab]:
    """Up from nothing; a lab that was there before is not used: a stale one could turn a test green."""
    life.down()
    life.start_daemon()
    try:
        job.main_job(Console(quiet=True), move_seconds=0.2, conflicts=0.05)
        assert_own_agent(REPORT)
        yield RunningLab(json.loads(REPORT.read_text()), calls.environment())
    except LabError as failed:
        failed.add_note(_journals())
        raise
    finally:
        life.down()


def _journals() -> str:
    """What the agents said last: the lab is gone by the time that somebody reads of the failure."""
    try:
        machines = [one.machine for one in fail.gateways()]
    except LabError as none:
        return str(none)
    words = ("journalctl", "-u", "twinlock-agent", "-n", "60", "--output=short-precise", "--no-pager")
    return "\n".join(calls.run(machine, *words).printed for machine in machines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the gateways say of it, before the next test goes on with them."""
    report = yield
    if report.when == "call" and report.failed and "lab" in getattr(item, "fixturenames", ()):
        report.sections.append(("what the agents said last", _journals()))
    return report


@pytest.fixture(autouse=True)
def _each_test_says_what_it_booted(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if BOOTED:
        request.node.user_properties.append(("booted", BOOTED[-1]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for booted in dict.fromkeys(BOOTED):
        terminalreporter.write_line(f"the lab booted {booted}")


@pytest.fixture(scope="session")
def ada(lab: RunningLab) -> Client:
    return fail.client_of("ada")


@pytest.fixture(scope="session")
def bob(lab: RunningLab) -> Client:
    return fail.client_of("bob")


@pytest.fixture(scope="session")
def logs(lab: RunningLab) -> Path:
    return CONTROL
