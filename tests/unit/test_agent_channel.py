"""What gateways tell each other, and what a twin's nonsense can't do."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent_samples import ANN, BOB, EVE, NOW
from twinlock.agent.channel import LARGEST_FLOWS, LARGEST_WAYS, Flows, Message, Ways, Word, decode, encode
from twinlock.agent.vrrp import listening, silent_slot
from twinlock.agent.ways import WayBook
from twinlock.agent.wg import TunnelPeer


def way(key=ANN, endpoint: str | None = "198.51.100.2:29112", handshake=NOW) -> dict[str, TunnelPeer]:
    peer = TunnelPeer(
        public_key=key, endpoint=endpoint, allowed_ips=(), handshake=handshake, received=0, sent=0, keepalive=0
    )
    return {key: peer}


@pytest.mark.parametrize(
    "message",
    [
        Word(slot="b", serving=True, term=3, gives="a"),
        Flows(slot="b", flows=("10.100.1.1:40000>192.0.2.1:443",)),
        Ways(slot="b", of="a", ends={ANN: "198.51.100.2:29112", BOB: "[2001:db8::1]:7"}),
    ],
)
def test_a_message_arrives_as_it_was_sent_and_fits_one_packet(message: Message):
    assert decode(encode(message), "b") == message
    assert len(encode(message)) <= 1400


def test_a_full_datagram_of_connections_fits_one_packet():
    flow = "255.255.255.255:65535>255.255.255.255:65535"
    assert len(encode(Flows(slot="b", flows=(flow,) * LARGEST_FLOWS))) <= 1400


def test_a_full_datagram_of_ways_fits_one_packet():
    ends = {ANN[:-3] + f"{number:02}=": f"255.255.255.255:{65535 - number}" for number in range(LARGEST_WAYS)}
    assert len(encode(Ways(slot="b", of="a", ends=ends))) <= 1400


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2},
        {"slot": "c"},
        {"serving": 1},
        {"term": -1},
        {"term": True},
        {"term": 1 << 60},
        {"gives": None},
        {"flows": "10.100.1.1:40000>192.0.2.1:443"},
        {"flows": ["10.100.1.1:40000>192.0.2.1"]},
        {"flows": ["10.100.1.1:40000>300.0.2.1:443"]},
        {"flows": ["10.100.1.1:40000>192.0.2.1:70000"]},
        {"flows": ["10.100.1.1:40000>192.0.2.1:443"] * (LARGEST_FLOWS + 1)},
        {"ends": []},
        {"ends": {ANN: "198.51.100.2"}},
        {"ends": {ANN: "198.51.100.2:0"}},
        {"ends": {ANN: "example.org:7"}},
        {"ends": {"no key": "198.51.100.2:7"}},
        {"ends": {ANN[:-3] + f"{number:02}=": "198.51.100.2:7" for number in range(LARGEST_WAYS + 1)}},
    ],
)
def test_a_message_with_one_wrong_field_is_no_message(fields):
    good = {"v": 1, "slot": "b", "serving": True, "term": 3, "gives": "", "of": "a"}
    assert decode(json.dumps(good).encode(), "b") is not None
    assert decode(json.dumps({**good, **fields}).encode(), "b") is None


@given(st.binary(max_size=1400))
def test_bytes_that_are_no_message_are_none(data):
    assert decode(data, "b") is None


def test_a_twin_that_comes_back_is_told_where_its_ways_were_and_calls_them():
    a, b = WayBook("a"), WayBook("b")
    for ways in b.news(way(), NOW):
        a.hear(ways)
        a.learn({ANN})
    b = WayBook("b")  # a new machine
    a.returned("b")
    for ways in a.news({}, NOW):
        b.hear(ways)
        b.learn({ANN})
    (call,) = b.calls(way(endpoint=None, handshake=0), NOW)
    assert (call.public_key, call.endpoint, call.keepalive) == (ANN, "198.51.100.2:29112", 25)
    assert b.calls(way(endpoint=None, handshake=0), NOW) == [], "once"


def test_what_a_twin_says_before_it_is_known_who_may_come_in_is_not_lost():
    b = WayBook("b")
    b.hear(Ways(slot="a", of="b", ends={ANN: "203.0.113.9:9"}))
    assert b.calls(way(endpoint=None, handshake=0), NOW) == []
    b.learn({ANN})
    (call,) = b.calls(way(endpoint=None, handshake=0), NOW)
    assert call.endpoint == "203.0.113.9:9"


def test_a_way_that_is_open_is_not_called():
    b = WayBook("b")
    b.hear(Ways(slot="a", of="b", ends={ANN: "203.0.113.9:9"}))
    b.learn({ANN})
    assert b.calls(way(), NOW) == []


def test_only_changes_are_told():
    book = WayBook("a")
    assert len(book.news(way(), NOW)) == 1
    assert book.news(way(), NOW) == []
    (again,) = book.news(way(endpoint="198.51.100.2:5"), NOW)
    assert again.ends == {ANN: "198.51.100.2:5"}
    assert book.news(way(EVE, handshake=NOW - 1000), NOW) == []


def test_nothing_is_remembered_of_peers_that_are_not_served_nor_in_anothers_name():
    book = WayBook("a")
    book.hear(Ways(slot="b", of="b", ends={EVE: "198.51.100.2:7"}))
    book.learn({ANN})
    book.hear(Ways(slot="b", of="c", ends={ANN: "198.51.100.2:7"}))
    book.learn({ANN})
    book.returned("b")
    book.returned("c")
    assert book.news({}, NOW) == []


def test_ten_thousand_ways_are_told_in_pieces():
    peers: dict[str, TunnelPeer] = {}
    for number in range(10_000):
        peers |= way(f"{number:043}=", f"198.51.100.2:{1 + number}")
    book, told, rounds = WayBook("a"), 0, 0
    while pieces := book.news(peers, NOW):
        assert len(pieces) <= 40
        told, rounds = told + sum(len(piece.ends) for piece in pieces), rounds + 1
    assert (told, rounds) == (10_000, 21)


@pytest.mark.parametrize(
    ("line", "slot"),
    [
        ('INSTANCE "b" MASTER 254\n', "b"),
        ('INSTANCE "b" BACKUP 254\n', None),
        ('INSTANCE "a" MASTER 255\n', None),
        ('GROUP "b" MASTER 254\n', None),
        ("", None),
    ],
)
def test_being_master_of_a_twins_instance_means_that_it_is_silent(line, slot):
    assert silent_slot(line, "a") == slot


def test_what_keepalived_said_before_anybody_listened_is_forgotten(tmp_path):
    """It outlives the agent, and the pipe keeps its words: "b is silent", of a b that is long back, moves nothing."""
    fifo = tmp_path / "vrrp"
    os.mkfifo(fifo)
    keepalived = os.open(fifo, os.O_RDWR)
    os.write(keepalived, b'INSTANCE "b" MASTER 254\nINSTANCE "b" BACKUP 254\n')
    with listening(fifo) as lines:
        os.write(keepalived, b'INSTANCE "c" MASTER 254\n')
        assert silent_slot(lines.readline(), "a") == "c"
    os.close(keepalived)
