"""A peer with two keys: both may shake hands, one carries the traffic. No process, no socket."""

from __future__ import annotations

from dataclasses import replace

from tests.agent_samples import ANN, BOB, NOW, peer, state
from twinlock.agent.desired import desired
from twinlock.agent.rotation import carrying
from twinlock.agent.wg import TunnelPeer

OLD = replace(peer(key=ANN), retires_at=NOW + 60)
NEW = replace(peer(key=BOB), replaces=ANN, grace=60)


def way(handshake: int) -> TunnelPeer:
    return TunnelPeer(
        public_key=BOB, endpoint="198.51.100.2:1", allowed_ips=(), handshake=handshake, received=0, sent=0, keepalive=0
    )


def test_both_keys_are_served_with_one_address_until_the_grace_ends():
    want = desired(state(OLD, NEW), NOW, "a")
    assert (set(want.peers), want.refused, want.rotating) == ({ANN, BOB}, (), {ANN: BOB})
    assert want.until == NOW + 60
    assert set(desired(state(OLD, NEW), NOW + 60, "a").peers) == {BOB}


def test_the_old_key_carries_until_the_new_ones_first_handshake_and_never_after_it():
    want = desired(state(OLD, NEW), NOW, "a")
    for ways in ({}, {BOB: way(0)}):
        assert set(carrying(want, ways)) == {ANN, BOB}
    assert set(carrying(want, {BOB: way(NOW - 10_000)})) == {BOB}


def test_a_key_that_was_rotated_away_is_nothing_without_the_one_that_replaces_it():
    for others in ((), (replace(NEW, replaces=None),), (replace(NEW, name="other"),)):
        assert ANN not in desired(state(OLD, *others), NOW, "a").peers


def test_two_current_peers_never_share_an_address():
    want = desired(state(peer(key=ANN), peer("bob", key=BOB)), NOW, "a")
    assert (len(want.peers), len(want.refused)) == (1, 1)
