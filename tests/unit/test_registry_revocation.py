"""What a revocation ends that began while it ran."""

from __future__ import annotations

import pytest

from tests.memory_table import MemoryTable
from tests.registry_samples import ALICE, BOB, CAROL, FakeClock, definition, public_key
from tests.registry_tables import Around
from twinlock.registry.errors import Refused
from twinlock.registry.ground import Clock
from twinlock.registry.store import Registry


class Meanwhile(Around):
    """Somebody else does something just before the first transaction."""

    first = None

    def transact(self, writes) -> None:
        act, self.first = self.first, None
        if act is not None:
            act()
        self._table.transact(writes)


def test_a_rotation_that_is_asked_for_meanwhile_ends_with_the_peer():
    table = MemoryTable(definition())
    clock = Clock(now=FakeClock().now, sleep=lambda _: None)
    others, watched = Registry(table, clock), Meanwhile(table)
    others.enrol(ALICE, "red", "laptop", public_key(1))
    others.approve(BOB, "red", "laptop")
    watched.first = lambda: others.rotate(ALICE, "red", "laptop", public_key(2), 60)
    Registry(watched, clock).revoke(CAROL, "red", "laptop")
    assert {peer.public_key: peer.state for peer in others.peers("red")} == {
        public_key(1): "revoked",
        public_key(2): "revoked",
    }
    with pytest.raises(Refused):
        others.approve(BOB, "red", "laptop")
    assert others.enrol(ALICE, "red", "laptop", public_key(3)).state == "pending"
