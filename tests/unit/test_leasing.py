"""The leases of shards in their one item: whoever writes, nobody's claim is lost and no shard has two owners."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.registry import keys
from twinlock.registry.errors import Corrupt
from twinlock.registry.leasing import claimed, leases_from, leases_item, write_leases
from twinlock.registry.model import LeaseClaim, ShardLease
from twinlock.registry.table import LostRace


class Items:
    """The one item. `meanwhile` is done just before it is written."""

    def __init__(self) -> None:
        self.item, self.meanwhile, self.writes = None, [], 0

    def get(self, key):
        return self.item

    def put(self, item, condition=None):
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if not any(self._holds(*clause) for clause in condition.clauses):
            return self.item
        self.writes += 1
        self.item = item
        return None

    def _holds(self, kind, attribute, value) -> bool:
        if kind == "absent":
            return self.item is None
        return self.item is not None and self.item.get(attribute) == value


SLOTS = st.sampled_from("abc")
CLAIMS = st.lists(
    st.builds(
        lambda shard, owner, until, over, seen: LeaseClaim(
            lease=ShardLease(shard=shard, owner=owner, until_ms=until), over=over, seen=seen
        ),
        st.integers(0, 15), SLOTS, st.integers(1, 5), st.none() | SLOTS, st.none() | st.integers(1, 5),
    ),
    max_size=8, unique_by=lambda claim: claim.lease.shard,
)  # fmt: skip


@given(st.lists(CLAIMS, min_size=1, max_size=6))
def test_what_is_written_is_what_the_claims_come_to_one_after_the_other(rounds):
    table, held = Items(), {}
    for claims in rounds:
        held = claimed(held, claims)
        assert write_leases(table, claims, 16) == held
    assert table.item is None or leases_from(table.item, 16) == held


@given(CLAIMS, CLAIMS, CLAIMS)
def test_a_claim_that_another_gateway_was_faster_than_is_judged_by_what_that_one_wrote(before, mine, others):
    table = Items()
    write_leases(table, before, 16)
    table.meanwhile = [lambda: write_leases(table, others, 16)]
    found = write_leases(table, mine, 16)
    # The other one may have been too late as well: where nothing had to be written.
    first = claimed(claimed({}, before), others)
    assert found in (claimed(first, mine), claimed(claimed({}, before), mine))
    if table.item is not None and not table.meanwhile:
        assert leases_from(table.item, 16) == found


def test_a_gateway_that_is_always_too_late_gives_up():
    table = Items()
    claims = [LeaseClaim(lease=ShardLease(shard=0, owner="a", until_ms=at)) for at in range(1, 30)]
    write_leases(table, claims[:1], 16)

    def renewed(claim):
        return lambda: write_leases(table, [claim], 16)

    renewals = [renewed(claim) for claim in claims[1:]]
    table.meanwhile = [lambda: _between(table, renewals) for _ in range(20)]
    with pytest.raises(LostRace):
        write_leases(table, [LeaseClaim(lease=ShardLease(shard=1, owner="b", until_ms=9))], 16)


def _between(table, renewals) -> None:
    meanwhile, table.meanwhile = table.meanwhile, []
    renewals.pop(0)()
    table.meanwhile = meanwhile


def test_who_can_claim_nothing_writes_nothing():
    table = Items()
    mine = [LeaseClaim(lease=ShardLease(shard=one, owner="a", until_ms=1)) for one in range(16)]
    write_leases(table, mine, 16)
    others = [replace(claim, lease=replace(claim.lease, owner="b")) for claim in mine]
    assert {lease.owner for lease in write_leases(table, others, 16).values()} == {"a"}
    assert table.writes == 1


def test_leases_that_make_no_sense_are_never_read_as_none():
    lease = ShardLease(shard=3, owner="a", until_ms=1)
    item = {**leases_item({3: lease}, 1), keys.SORT: "lease"}
    assert leases_from(item, 16) == {3: lease}
    for odd in (("x=a",), ("4=a",), ("²=a",)):
        with pytest.raises(Corrupt):
            leases_from({**item, "owners": odd}, 16)
