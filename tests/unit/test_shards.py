"""Which shard an address is of, and which gateway a shard: pure."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from twinlock.registry.shards import Shards, assign, balance, numbers_text

SLOTS = "abcdef"
COUNTS = st.sampled_from([1, 16])
GATEWAYS = st.frozensets(st.sampled_from(SLOTS))
OWNERS = st.lists(st.sampled_from([*SLOTS, ""]), min_size=16, max_size=16)


@given(st.integers(0, 2**32 - 1), st.integers(8, 24), COUNTS, st.floats(0, 1, exclude_max=True))
def test_each_address_of_the_tunnel_is_in_the_block_of_its_shard_and_in_no_other(base, length, count, place):
    network = IPv4Network((base >> (32 - length) << (32 - length), length))
    shards = Shards(str(network), count)
    address = network[int(place * network.num_addresses)]
    inside = [shard for shard, block in enumerate(shards.blocks) if address in IPv4Network(block)]
    assert inside == [shards.of(str(address))]
    assert len(shards.blocks) == count
    assert {IPv4Network(block).num_addresses for block in shards.blocks} == {network.num_addresses // count}


def test_the_first_and_the_last_address_are_of_the_first_and_the_last_shard():
    shards = Shards("10.90.0.0/16", 16)
    assert (shards.blocks[0], shards.blocks[15]) == ("10.90.0.0/20", "10.90.240.0/20")
    assert [shards.of(one) for one in ("10.90.0.0", "10.90.15.255", "10.90.16.0", "10.90.255.255")] == [0, 0, 1, 15]
    assert Shards("10.90.0.0/16").of(str(IPv4Address("10.90.255.255"))) == 0


def _owned(owners, count: int) -> dict[int, str]:
    return {shard: owner for shard, owner in enumerate(owners[:count]) if owner}


@given(COUNTS, GATEWAYS, OWNERS, GATEWAYS)
def test_who_serves_and_may_go_on_keeps_its_shards_and_every_other_shard_goes_to_one_that_may(
    count, healthy, owners, drained
):
    current = _owned(owners, count)
    found = assign(range(count), healthy, current, drained)
    able = healthy - drained or healthy
    assert set(found) == (set(range(count)) if able else set())
    assert set(found.values()) <= able
    assert all(found[shard] == owner for shard, owner in current.items() if owner in able)


@given(COUNTS, GATEWAYS, OWNERS, GATEWAYS)
def test_shards_without_a_gateway_go_to_who_has_least(count, healthy, owners, drained):
    current = _owned(owners, count)
    found = assign(range(count), healthy, current, drained)
    held = Counter(found.values())
    given_to = {slot for shard, slot in found.items() if current.get(shard) != slot}
    assert all(held[slot] <= held[other] + 1 for slot in given_to for other in healthy - drained or healthy)


@given(COUNTS, GATEWAYS, OWNERS, GATEWAYS)
def test_a_second_look_moves_nothing(count, healthy, owners, drained):
    for choose in (assign, balance):
        found = choose(range(count), healthy, _owned(owners, count), drained)
        assert choose(range(count), healthy, found, drained) == found


@given(COUNTS, GATEWAYS, OWNERS, GATEWAYS)
def test_balanced_gateways_differ_by_one_shard_at_most_and_no_other_way_there_moves_fewer(
    count, healthy, owners, drained
):
    current = _owned(owners, count)
    found = balance(range(count), healthy, current, drained)
    able = sorted(healthy - drained or healthy)
    held = Counter(found.values())
    assert not able or max(held[slot] for slot in able) - min(held[slot] for slot in able) <= 1
    # Whoever has most keeps most: so many stay at best, whatever is moved.
    had = sorted((sum(owner == slot for owner in current.values()) for slot in able), reverse=True)
    most = [count // len(able) + (place < count % len(able)) for place in range(len(able))]
    stay = sum(map(min, had, most))
    assert sum(found.get(shard) == owner for shard, owner in current.items()) == stay


def test_neighbours_which_are_often_of_one_tenant_are_spread():
    found = balance(range(16), "ab", dict.fromkeys(range(16), "a"))
    for first in range(0, 16, 4):
        assert {found[shard] for shard in range(first, first + 4)} == {"a", "b"}
    found = assign(range(16), "ab", {})
    assert [found[shard] for shard in range(4)] == ["a", "b", "a", "b"]


def test_numbers_are_told_in_runs():
    assert [numbers_text(some) for some in ((), (3,), (0, 1, 2, 5), (9, 8))] == ["", "3", "0-2, 5", "8-9"]
