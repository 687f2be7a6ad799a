"""Random lives of peers (tests/peer_lives.py) in memory; the boot tier has fewer of them on each cloud's table."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.memory_table import MemoryTable
from tests.peer_lives import Peers


class InMemory(Peers):
    new_table = MemoryTable
    thorough = False


# A limit of time that is reached looks to Hypothesis like data that is not the same when drawn again.
@pytest.mark.timeout(300)
def test_no_life_of_peers_breaks_what_the_registry_promises():
    run_state_machine_as_test(
        InMemory,
        settings=settings(
            max_examples=120, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck),
            database=None, print_blob=False,
        ),
    )  # fmt: skip
