"""What the lab makes of packets and of machines' words when something failed."""

from __future__ import annotations

from lab.measure import Seen, longest_gap
from lab.redundant import Look, is_redundant, parse_look

SLOTS = frozenset({"a", "b"})


def test_the_longest_gap_is_one_that_ended_after_the_fault() -> None:
    seen = Seen(answers=(1.0, 4.0, 4.1, 4.6, 4.7), ended=4.8)
    assert seen.longest_gap() == (3.0, 1.0)
    length, began = seen.longest_gap(after=4.0)
    assert (round(length, 3), began) == (0.5, 4.1)


def test_silence_to_the_end_is_a_gap_too() -> None:
    assert longest_gap((1.0, 1.1), ended=9.0, after=1.05)[1] == 1.1
    assert longest_gap((), ended=9.0, after=1.0) == (8.0, 1.0)


def test_a_look_takes_the_last_word_about_each_twin_and_no_session_that_is_too_old() -> None:
    ways = "new\t1000\nold\t100\nnever\t0\n"
    journal = "gateway b: silent\ngateway b: heard\ngateway c: heard\ngateway c: its agent is silent\n"
    printed = f"{ways}\n{journal}"
    assert parse_look(printed, now=1010) == Look(ways=frozenset({"new"}), hears=frozenset({"b"}))


def test_a_machine_whose_tunnel_does_not_answer_holds_no_way() -> None:
    assert parse_look("", now=1010) == Look(ways=frozenset(), hears=frozenset())


def test_redundant_is_every_way_of_every_live_client_and_gateways_that_hear_each_other() -> None:
    whole = {
        "a": Look(ways=frozenset({"x", "y"}), hears=frozenset("b")),
        "b": Look(ways=frozenset({"x"}), hears=frozenset("a")),
    }
    live = frozenset({"x"})
    assert is_redundant(whole, SLOTS, live)
    assert not is_redundant(whole, SLOTS, frozenset({"x", "y"})), "one way is missing"
    assert not is_redundant({"a": whole["a"]}, SLOTS, live), "one gateway is missing"
    deaf = {**whole, "b": Look(ways=frozenset({"x"}), hears=frozenset())}
    assert not is_redundant(deaf, SLOTS, live), "one does not hear the other"
