"""When a client is called."""

from __future__ import annotations

from tests.agent_samples import ANN, NOW, peer
from twinlock.agent.calls import ALIVE_SECONDS, CONTESTED_SECONDS, QUIET_SECONDS, CallBook
from twinlock.agent.wg import TunnelPeer

PEERS = {ANN: peer()}


def _seen(handshake=NOW, endpoint="198.51.100.2:29112", received=0):
    return {
        ANN: TunnelPeer(
            public_key=ANN,
            endpoint=endpoint,
            allowed_ips=(),
            handshake=handshake,
            received=received,
            sent=0,
            keepalive=0,
        )
    }


def test_a_fresh_client_is_called_at_the_address_of_its_way():
    (call,) = CallBook().due(PEERS, _seen(), {}, 100.0, NOW)
    assert (call.public_key, call.endpoint, call.address) == (ANN, "198.51.100.2:29112", "10.100.1.1")


def test_a_way_without_a_completed_handshake_is_no_reason_to_call():
    assert CallBook().due(PEERS, _seen(handshake=0), {}, 100.0, NOW) == ()


def test_a_client_that_is_long_gone_is_not_called():
    assert CallBook().due(PEERS, _seen(NOW - ALIVE_SECONDS - 1), {}, 100.0, NOW) == ()


def test_a_key_that_nobody_approved_is_not_called():
    assert CallBook().due({}, _seen(), {}, 100.0, NOW) == ()


def test_a_client_is_called_at_most_once_a_second():
    book = CallBook()
    assert book.due(PEERS, _seen(), {}, 100.0, NOW)
    assert not book.due(PEERS, _seen(), {}, 100.9, NOW)
    assert book.due(PEERS, _seen(), {}, 101.0, NOW)


def test_a_client_that_talks_is_left_alone():
    book = CallBook()
    book.due(PEERS, _seen(), {}, 100.0, NOW)
    for turn in range(50):
        assert not book.due(PEERS, _seen(), _seen(received=turn), 102.0 + turn / 5, NOW)


def test_a_rekey_of_the_way_does_not_interrupt_a_client_that_talks():
    book = CallBook()
    book.due(PEERS, _seen(), {}, 100.0, NOW)
    book.due(PEERS, _seen(), _seen(received=10), 200.0, NOW + 100)
    for turn in range(50):
        way, service = _seen(NOW + 120), _seen(received=10 + turn)
        assert not book.due(PEERS, way, service, 220.0 + turn / 5, NOW + 120)


def test_a_client_that_restarted_is_called_within_a_second():
    book = CallBook()
    book.due(PEERS, _seen(), {}, 100.0, NOW)
    book.due(PEERS, _seen(), _seen(received=10), 200.0, NOW + 100)
    silent = _seen(received=10)
    assert not book.due(PEERS, _seen(NOW + 101), silent, 201.0, NOW + 101)
    assert book.due(PEERS, _seen(NOW + 101), silent, 201.0 + QUIET_SECONDS, NOW + 101)


def test_after_ownership_came_back_everybody_is_called():
    book = CallBook()
    book.due(PEERS, _seen(), {}, 100.0, NOW)
    book.begin(100.1)
    assert book.due(PEERS, _seen(), {}, 100.1, NOW)


def test_who_does_not_answer_is_called_again_and_again_while_the_old_owner_may_be_alive():
    """Its answer goes to the old owner, if that sent something in between."""
    book = CallBook()
    book.begin(100.0)
    book.due(PEERS, _seen(), {}, 100.0, NOW)
    unanswered = _seen(handshake=0)
    turns = [100.0 + 0.4 * turn for turn in range(1, 20)]
    called = [clock for clock in turns if book.due(PEERS, _seen(), unanswered, clock, NOW)]
    assert [clock for clock in turns if clock < 100 + CONTESTED_SECONDS] == called[:7]
    assert len(called) == 7, "then it is left to WireGuard"


def test_who_says_nothing_after_a_takeover_is_nudged_until_the_old_owner_is_surely_shut():
    book = CallBook()
    book.begin(100.0)
    assert book.nudges(_seen(handshake=0), 100.2) == (), "it was called, and has not answered yet"
    assert book.nudges(_seen(received=92), 100.4) == ()
    assert book.nudges(_seen(received=92), 100.6) == (ANN,)
    assert book.nudges(_seen(received=500), 100.8) == (), "it talks"
    assert book.nudges(_seen(received=500), 100.0 + CONTESTED_SECONDS) == ()
