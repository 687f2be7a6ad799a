"""Counters of the firewall, as they become what is known of a peer."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from twinlock.agent.nft import Counted, Nft
from twinlock.agent.tally import Tally, TrafficMemory
from twinlock.registry.traffic import Traffic, find, piece

ANN, BOB = "10.100.1.1", "10.100.1.2"


def _read(tally: Tally, holders: Mapping[str, str], **sets: dict[str, Counted]) -> None:
    tally.read(lambda name: sets.get(name, {}), holders)


def _of(tally: Tally, address: str, name: str) -> Traffic | None:
    return find(tally.pieces().get(piece(address), ()), address, name)


def test_real_words_of_nft_are_understood():
    words = (
        '{"nftables": [{"metainfo": {"version": "1.1.3", "json_schema_version": 1}}, {"set": {"family": "inet", '
        '"name": "sent", "table": "twinlock", "type": "ipv4_addr", "handle": 2, "size": 131072, "flags": ["timeout", '
        '"dynamic"], "timeout": 86400, "elem": [{"elem": {"val": "10.100.1.1", "expires": 86399, "counter": '
        '{"packets": 2, "bytes": 168}}}]}}]}'
    )
    assert Nft(lambda _words, _stdin: words).counters("sent") == {ANN: (2, 168)}


def test_what_was_counted_adds_up_also_when_the_firewall_was_loaded_anew():
    tally = Tally()
    _read(tally, {ANN: "ann"}, sent={ANN: (10, 1000)}, refused={ANN: (1, 40)})
    _read(tally, {ANN: "ann"}, sent={ANN: (15, 1500)}, refused={ANN: (1, 40)})
    _read(tally, {ANN: "ann"}, sent={ANN: (2, 200)}, received={ANN: (1, 99)})
    assert _of(tally, ANN, "ann") == Traffic(
        sent_packets=17, sent_bytes=1700, received_packets=1, received_bytes=99, refused_packets=1, refused_bytes=40
    )
    assert tally.total == _of(tally, ANN, "ann")


def test_an_address_that_is_given_again_begins_anew_and_its_last_holder_keeps_what_comes_late():
    tally = Tally()
    _read(tally, {ANN: "ann"}, sent={ANN: (10, 1000)})
    _read(tally, {}, sent={ANN: (10, 1000)}, refused={ANN: (3, 120)})
    assert _of(tally, ANN, "ann") == Traffic(sent_packets=10, sent_bytes=1000, refused_packets=3, refused_bytes=120)
    _read(tally, {ANN: "eve"}, sent={ANN: (11, 1100)}, refused={ANN: (3, 120)})
    assert _of(tally, ANN, "eve") == Traffic(sent_packets=1, sent_bytes=100)
    assert _of(tally, ANN, "ann") is None


def test_what_a_peer_moved_by_ipv6_counts_for_it_too():
    tally = Tally()
    six = "fd12:3456:789a::a64:101"  # the same host's
    _read(tally, {ANN: "ann"}, sent={ANN: (10, 1000)}, sent6={six: (5, 500)}, refused6={six: (1, 60)})
    assert _of(tally, ANN, "ann") == Traffic(sent_packets=15, sent_bytes=1500, refused_packets=1, refused_bytes=60)
    _read(tally, {ANN: "ann"}, sent={ANN: (11, 1100)}, sent6={six: (7, 700)}, refused6={six: (1, 60)})
    assert tally.total.sent_packets == 18


def test_the_probe_and_whoever_was_never_a_peer_are_not_counted():
    tally = Tally()
    _read(tally, {ANN: "ann"}, sent={"10.100.0.2": (9, 900)})
    assert (tally.total, tally.pieces()) == (Traffic(), {})


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=20))
def test_a_total_is_the_sum_of_all_that_was_added_whenever_counters_began_anew(steps: list[tuple[int, bool]]):
    tally, stands, added = Tally(), 0, 0
    for more, anew in steps:
        if anew and more < stands:  # a counter that is as high as before can't be told from one that went on
            stands = 0
        stands, added = stands + more, added + more
        _read(tally, {BOB: "bob"}, sent={BOB: (stands, stands)})
        if anew and more == 0:
            continue
    assert tally.total.sent_packets == added


class _Store:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str, tuple[str, ...]]] = []

    def keep_traffic(self, slot: str, piece: str, lines: tuple[str, ...]) -> None:
        self.kept.append((slot, piece, lines))


def test_one_changed_piece_is_written_at_a_time_and_more_slowly_the_larger_it_is():
    store, time = _Store(), [100.0]
    memory = TrafficMemory("a", store, lambda: time[0])
    memory.keep({"01": ("x" * 20480,), "02": ("y",)})
    memory.keep({"01": ("x" * 20480,), "02": ("y",)})
    assert [name for _, name, _ in store.kept] == ["01"]
    time[0] += 9.9
    memory.keep({"01": ("z",), "02": ("y",)})
    assert len(store.kept) == 1
    time[0] += 0.2
    memory.keep({"01": ("z",), "02": ("y",)})
    time[0] += 2.1
    memory.keep({"01": ("z",), "02": ("y",)})
    assert store.kept[1:] == [("a", "02", ("y",)), ("a", "01", ("z",))]
    time[0] += 60
    memory.keep({"01": ("z",), "02": ("y",)})
    assert len(store.kept) == 3, "what is the same is not written"
