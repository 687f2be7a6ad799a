"""How many clients a gateway says hold a way to it."""

from __future__ import annotations

from tests.agent_samples import ANN, BOB, NOW
from twinlock.agent.fresh import FreshWays
from twinlock.agent.wg import TunnelPeer


def way(key=ANN, received=148, shaken=NOW) -> dict[str, TunnelPeer]:
    peer = TunnelPeer(
        public_key=key, endpoint="198.51.100.2:29112", allowed_ips=(), handshake=shaken, received=received, sent=92,
        keepalive=25,
    )  # fmt: skip
    return {key: peer}


def test_a_client_counts_from_its_first_handshake_and_not_before():
    fresh = FreshWays()
    assert fresh.count(way(shaken=0, received=0), 0.0, NOW) == 0
    assert fresh.count(way() | way(BOB, shaken=0, received=0), 1.0, NOW + 1) == 1


def test_a_client_that_sends_its_keepalives_goes_on_counting():
    fresh = FreshWays()
    for second in range(0, 180, 5):
        assert fresh.count(way(received=148 + 32 * (second // 25)), float(second), NOW + second) == 1


def test_a_client_that_left_counts_no_more_after_a_minute_though_its_session_lasts():
    fresh = FreshWays()
    assert fresh.count(way(), 0.0, NOW) == 1
    assert fresh.count(way(), 59.0, NOW + 59) == 1
    assert fresh.count(way(), 61.0, NOW + 61) == 0
    assert fresh.count(way(received=180), 62.0, NOW + 62) == 1


def test_who_is_not_a_peer_any_more_is_forgotten():
    fresh = FreshWays()
    fresh.count(way(), 0.0, NOW)
    assert fresh.count({}, 1.0, NOW + 1) == 0
    assert fresh.count(way(), 100.0, NOW + 100) == 1, "let in anew, it was just heard"
