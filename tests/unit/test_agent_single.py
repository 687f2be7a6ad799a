"""Clients that hold but one peer: who is told of, and who is called when. No process, no socket, no clock."""

from __future__ import annotations

import pytest

from tests.agent_samples import ANN, BOB, EVE, NOW, peer
from twinlock.agent.channel import Singles, decode, encode
from twinlock.agent.single import CALL_SECONDS, FEW, TRY_SECONDS, SingleBook, ends
from twinlock.agent.wg import TunnelPeer

END = "198.18.0.13:54850"
STRANGER = "CQ" + "A" * 41 + "="
PEERS = {ANN: peer(), BOB: peer("bob", BOB, "10.100.1.2"), EVE: peer("eve", EVE, "10.100.1.3")}


def held(key: str = ANN, handshake: int = NOW, endpoint: str | None = END) -> TunnelPeer:
    return TunnelPeer(
        public_key=key, endpoint=endpoint, allowed_ips=(), handshake=handshake, received=0, sent=0, keepalive=0
    )


@pytest.fixture
def book() -> SingleBook:
    made = SingleBook("a")
    made.hear(Singles(slot="b", singles={ANN: END, BOB: "198.18.0.14:7"}), 0.0)
    return made


def keys(calls) -> set[str]:
    return {call.public_key for call in calls}


def test_who_holds_a_way_or_fell_silent_is_none_of_them():
    service = {ANN: held(), BOB: held(BOB), EVE: held(EVE, NOW - 300)}
    assert ends(service, {ANN: held(handshake=0, endpoint=None), BOB: held(BOB)}, NOW) == {ANN: END}
    assert ends({ANN: held(handshake=0)}, {}, NOW) == {}, "it was called, and has not answered"


def test_the_twins_are_told_what_changed_and_everything_again_in_a_while():
    book = SingleBook("a")
    (said,) = book.news({ANN: held()}, {}, 0.0, NOW)
    assert decode(encode(said), "a") == Singles(slot="a", singles={ANN: END})
    assert decode(encode(said), "b") is None, "in another's name"
    assert book.news({ANN: held()}, {}, 1.0, NOW) == []
    assert len(book.news({ANN: held(endpoint="198.18.0.13:9")}, {}, 2.0, NOW)) == 1
    assert book.news({ANN: held(endpoint="198.18.0.13:9")}, {}, 3.0, NOW) == []
    assert len(book.news({ANN: held(endpoint="198.18.0.13:9")}, {}, 70.0, NOW)) == 1
    book.returned()
    assert len(book.news({ANN: held(endpoint="198.18.0.13:9")}, {}, 71.0, NOW)) == 1


def test_a_twin_that_says_nonsense_is_not_heard():
    for wrong in (b'{"v":1,"slot":"a","singles":{"x":"1.2.3.4:5"}}', b'{"v":1,"slot":"a","singles":[]}'):
        assert decode(wrong, "a") is None


def test_of_whom_a_twin_names_only_those_are_kept_that_are_served(book):
    book.hear(Singles(slot="b", singles={STRANGER: END}), 1.0)
    book.learn(PEERS, 2.0)
    book.begin(PEERS | {STRANGER: peer("late", STRANGER, "10.100.1.4")}, 3.0)
    assert keys(book.due(PEERS, {}, 3.0)) == {ANN, BOB}
    book.begin({ANN: PEERS[ANN]}, 4.0)
    book.begin(PEERS, 5.0)
    assert keys(book.due(PEERS, {}, 5.0)) == {ANN}, "who was revoked meanwhile is forgotten"


def test_whoever_was_heard_of_is_called_again_and_again_until_the_address_is_here(book):
    book.begin(PEERS, 10.0)
    assert keys(book.due(PEERS, {}, 10.0)) == {ANN, BOB}
    assert book.due(PEERS, {ANN: held(handshake=0)}, 10.0 + CALL_SECONDS / 4) == ()
    assert keys(book.due(PEERS, {ANN: held(handshake=0)}, 10.0 + CALL_SECONDS)) == {ANN, BOB}
    assert keys(book.due(PEERS, {ANN: held()}, 13.0)) == {BOB}, "the first answer: the address is here"
    assert book.due(PEERS, {ANN: held(), BOB: held(BOB)}, 13.6) == ()
    assert not book.is_waiting(13.6)


def test_only_a_few_are_called_before_the_address_is_here_and_then_all_at_once():
    book, many = SingleBook("a"), {f"{number:043d}=": END for number in range(100)}
    book.hear(Singles(slot="b", singles=many), 0.0)
    peers = {key: peer(key=key) for key in many}
    book.begin(peers, 1.0)
    first, tries = book.due(peers, {}, 1.0), 1.0
    assert len(first) == FEW
    turns = set(keys(first))
    for _ in range(30):
        tries += CALL_SECONDS
        turns |= keys(book.due(peers, {}, tries))
    assert len(turns) > 30, "the first few may have left before"
    answered = first[0].public_key
    assert len(book.due(peers, {answered: held(answered)}, tries + 0.01)) == 99


def test_who_does_not_answer_is_left_to_wireguard(book):
    book.begin(PEERS, 10.0)
    book.due(PEERS, {}, 10.0)
    assert [keys(book.due(PEERS, {ANN: held()}, 11.0 + after)) for after in (0.0, 0.6, 1.2, 1.8)] == [
        {BOB}, {BOB}, {BOB}, set()
    ]  # fmt: skip
    book.begin(PEERS, 100.0)
    assert book.is_waiting(100.0) and not book.is_waiting(100.0 + TRY_SECONDS)


def test_who_was_revoked_or_heard_of_long_ago_is_not_called(book):
    book.hear(Singles(slot="b", singles={EVE: END}), 300.0)
    book.begin(PEERS, 310.0)
    assert book.due({ANN: PEERS[ANN], BOB: PEERS[BOB]}, {}, 310.0) == ()
