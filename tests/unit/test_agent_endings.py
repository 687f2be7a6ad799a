"""Who expires next, among thousands: the same as if all were looked at each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent_samples import peer
from twinlock.agent import endings as module
from twinlock.agent.endings import endings

_lasts = st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8, 30])
_leaves = st.sampled_from([False, False, False, True])
_steps = st.lists(st.tuples(st.integers(0, 9), _lasts, st.integers(0, 5), _leaves), min_size=5, max_size=30)


@pytest.mark.parametrize("least", [1, 2, 500])
@given(steps=_steps)
def test_everybody_is_told_of_at_their_end_and_nobody_before(least, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LEAST", least)
        now, peers, ends = 0, {}, endings(())
        for key, lasts, seconds, leaves in steps:
            now += seconds
            over = {one.public_key for one in ends.ended(peers, now)} if now >= ends.first else set()
            assert over == {name for name, one in peers.items() if one.ends_at is not None and one.ends_at <= now}
            come = peer(key=str(key), expires_at=None if lasts is None else now + lasts)
            peers = {name: one for name, one in peers.items() if name not in over}
            if leaves:
                peers.pop(str(key), None)
            else:
                peers[str(key)] = come
            ends = ends.after(peers, [] if leaves else [come], now)
            assert now < ends.first
            assert all(one.ends_at is None or one.ends_at >= ends.first for one in peers.values())


def test_of_thousands_only_the_next_are_kept():
    many = [replace(peer(key=str(number)), expires_at=number) for number in range(1, 10_001)]
    ends = endings(many)
    assert len(ends.soon) == 500
    assert endings(many[:900]).complete_to == float("inf")
    later = [replace(peer(key=f"late{number}"), expires_at=5_000 + number) for number in range(600)]
    assert ends.after({}, later, 0) == ends
