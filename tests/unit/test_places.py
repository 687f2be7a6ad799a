"""A full gateway: nobody is let in before WireGuard itself would refuse, and what is beyond is left out and told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from tests.agent_lives import lives
from tests.agent_samples import ANN, BOB, EVE, NOW, peer, state
from tests.registry_samples import gateway_record
from twinlock.agent import desired as module
from twinlock.agent.desired import advanced, desired
from twinlock.registry.errors import Refused
from twinlock.registry.places import HOLDS, OPEN, check_places

OLD = replace(peer("zoe", ANN, "10.100.1.7"), enrolled_at=NOW - 30)
NEW = replace(peer("bob", BOB, "10.100.1.8"), enrolled_at=NOW - 20)


def gateways(*peers: int | None):
    return [gateway_record(slot, peers=count) for slot, count in zip("ab", peers, strict=False)]


def test_the_last_place_is_given_and_none_after_it():
    assert OPEN < HOLDS
    check_places(gateways(OPEN - 1), 1)
    with pytest.raises(Refused, match=r"are full: they hold 65,000 peers, 1 more would be beyond 65,000: revoke"):
        check_places(gateways(OPEN), 1)
    with pytest.raises(Refused, match="14 more"):
        check_places(gateways(OPEN - 13), 14)


def test_the_fuller_gateway_counts():
    with pytest.raises(Refused):
        check_places(gateways(3, OPEN), 1)


def test_it_is_said_from_nine_tenths_on():
    assert check_places(gateways(58_498), 1) == ""
    assert "58,499 of 65,000" in check_places(gateways(58_499), 1)


def test_a_full_gateway_is_no_reason_against_what_adds_nobody():
    assert check_places(gateways(OPEN + 3), 0) == check_places(gateways(OPEN + 3), -5) == ""


def test_gateways_that_never_said_it_refuse_nobody():
    assert check_places(gateways(None, None), 1) == check_places([], 1) == ""


def test_who_was_enrolled_last_is_left_out_and_it_is_said(monkeypatch):
    monkeypatch.setattr(module, "HOLDS", 1)
    want = desired(state(OLD, NEW), NOW, "a")
    assert (set(want.peers), set(want.addresses)) == ({ANN}, {OLD.address})
    assert want.refused == ("peer bob of tenant ml is not served: the gateway is full, it holds 1 peers",)
    assert NEW.address not in want.served


def test_who_comes_into_a_full_gateway_disturbs_nobody(monkeypatch):
    monkeypatch.setattr(module, "HOLDS", 1)
    was = state(OLD)
    before, full = desired(was, NOW, "a"), state(OLD, NEW)
    assert advanced(before, was, full, NOW, "a").peers == before.peers
    gone = state(NEW)
    assert set(advanced(desired(full, NOW, "a"), full, gone, NOW, "a").peers) == {BOB}, "a place came free"


def test_a_rotated_peer_keeps_both_keys_or_none(monkeypatch):
    monkeypatch.setattr(module, "HOLDS", 2)
    new = replace(OLD, public_key=EVE, replaces=ANN, enrolled_at=NOW)
    rotated = state(replace(OLD, retires_at=NOW + 60), new, NEW)
    want = desired(rotated, NOW, "a")
    assert (set(want.peers), want.rotating) == ({ANN, EVE}, {ANN: EVE})
    monkeypatch.setattr(module, "HOLDS", 1)
    want = desired(rotated, NOW, "a")
    assert (want.peers, want.rotating, want.addresses) == ({}, {}, {})
    assert len(want.refused) == 3


@given(lives())
def test_in_a_small_gateway_too_a_step_at_a_time_ends_where_judging_everybody_anew_does(life):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HOLDS", 2)
        (was, then), *later = life
        want = desired(was, then, "a")
        for last, now in later:
            want, was = advanced(want, was, last, now, "a"), last
            anew = desired(last, now, "a")
            assert (want.peers, want.rotating, want.addresses) == (anew.peers, anew.rotating, anew.addresses)
            assert sorted(want.refused) == sorted(anew.refused)
            assert len(want.peers) <= 2
