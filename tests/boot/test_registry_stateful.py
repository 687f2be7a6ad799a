"""Random lives of peers (tests/peer_lives.py) on each cloud's table; the unit tier has more of them, in memory."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.peer_lives import Peers
from tests.registry_samples import ALICE, definition, public_key
from tests.registry_tables import Conflicting, put_definition
from twinlock.registry.definition import Definition
from twinlock.registry.ground import Clock
from twinlock.registry.store import Registry
from twinlock.registry.table import Table

_SETTINGS = settings(
    max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    print_blob=False,
)  # fmt: skip


# A limit of time that is reached looks to Hypothesis like data that is not the same when drawn again.
@pytest.mark.timeout(300)
def test_no_life_of_peers_breaks_what_the_registry_promises(new_table):
    run_state_machine_as_test(_on(new_table, thorough=False), settings=_SETTINGS)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_long_life_of_peers_does_either(new_table):
    run_state_machine_as_test(
        _on(new_table, thorough=True), settings=settings(_SETTINGS, max_examples=60, stateful_step_count=60)
    )


def _on(new_table, *, thorough: bool) -> type[Peers]:
    def made(what: Definition) -> Table:
        table = new_table()
        put_definition(table, what)
        return table

    return type("OnATable", (Peers,), {"new_table": staticmethod(made), "thorough": thorough})


def test_a_conflict_on_every_second_transaction_loses_nothing(new_table):
    table = new_table()
    put_definition(table, definition())
    conflicting = Conflicting(table, random.Random(7), 0.5)
    registry = Registry(conflicting, Clock(sleep=lambda _: None))
    for number in range(20):
        registry.enrol(ALICE, "auto", f"job-{number}", public_key(number))
    assert conflicting.conflicts > 0
    assert len({peer.address for peer in registry.served_peers("auto")}) == 20
    assert registry.generations() == {"auto": 20}
