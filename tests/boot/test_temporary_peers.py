"""Peers of jobs, one after the other: nothing of them stays where it counts."""

from __future__ import annotations

import pytest

from tests.registry_samples import ALICE, FakeClock, definition, public_key
from tests.registry_tables import put_definition
from twinlock.registry import keys
from twinlock.registry.addresses import QUARANTINE
from twinlock.registry.ground import Clock
from twinlock.registry.store import Registry


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_temporary_peers_in_a_row_leave_no_live_record_and_no_leased_address(new_table, count):
    """A job a minute; each tenth is killed hard, so that only its time ends it."""
    table, clock = new_table(), FakeClock()
    put_definition(table, definition())
    registry = Registry(table, Clock(now=clock.now))
    for number in range(count):
        name = f"ci-{number}"
        registry.enrol(ALICE, "auto", name, public_key(f"{count} {number}"), 1800)
        assert [peer.name for peer in registry.served_peers("auto", [name])] == [name]
        if number % 10:
            registry.revoke(ALICE, "auto", name)
        clock.pass_(60)
    clock.pass_(1800 + QUARANTINE)
    assert registry.served_peers("auto") == ()
    assert registry.room("auto").held == 0
    live = [*table.query(keys.pending("auto")), *table.query(keys.peer("auto"))]
    assert len(live) == count // 10, "those that were killed, until the table deletes them"
    left = [*live, *table.query(keys.revoked("auto")), *table.query(keys.address_lease("auto"))]
    assert all(keys.TTL in item for item in left), "and everything goes by itself"
    assert registry.generations()["auto"] == count + count - count // 10
