"""Who serves when a gateway is not well: the rules, the word between twins, the look. No process, no socket."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.agent.channel import Health, decode, encode
from twinlock.agent.checkup import Checkup, Looks
from twinlock.agent.chrony import Offset, look
from twinlock.agent.errors import CloudUnavailable, CommandFailed
from twinlock.agent.health import CHECKS, Book, Heard, better
from twinlock.agent.transfer import Proof
from twinlock.agent.wellness import Wellness

BOTH = frozenset({"a", "b"})
FAILING = st.frozensets(st.sampled_from(sorted(CHECKS)))
# `chronyc -c tracking`, chrony 4.6.1.
TRACKING = "A9FEA97B,169.254.169.123,4,1764144000.1,{offset},0.0,0.0,-12.3,0.001,0.02,0.0002,0.0004,16.1,{leap}\n"


RIGHT, WRONG = Offset(least=0.0, most=0.001), Offset(least=0.6, most=0.7)
WELL = Looks(
    transfer=lambda: Proof(ahead=0.0), offset=lambda: RIGHT, interfaces=lambda: True, registry_age=lambda: 0.0,
    free_bytes=lambda: 1 << 30,
)  # fmt: skip


def failing(looks: Looks, age: float = 0.0) -> set[str]:
    """What a look finds so many seconds after the agent's start."""
    clock = [0.0]
    checkup = Checkup(looks, lambda _: None, lambda: clock[0])
    clock[0] = age
    return set(checkup.once().failing)


class Pair:
    """Two gateways whose words arrive at once."""

    def __init__(self) -> None:
        self.fails = {"a": frozenset(), "b": frozenset()}
        self.asked: dict[str, dict[str, int]] = {"a": {}, "b": {}}
        self.clock = 1000.0
        self.of = {
            slot: Wellness(slot, lambda who, number, me=slot: self.asked[me].update({who: number}), lambda: self.clock)
            for slot in BOTH
        }

    def look(self, slot: str) -> None:
        looks = replace(
            WELL,
            transfer=lambda: self._transfer(slot),
            offset=lambda: self._offset(slot),
            interfaces=lambda: "interfaces" not in self.fails[slot],
            registry_age=lambda: 90.0 if "registry" in self.fails[slot] else 1.0,
            free_bytes=lambda: 0 if "disk" in self.fails[slot] else 1 << 30,
        )
        age = chain((0.0,), repeat(46.0))  # by now it is known whether chrony follows a source
        checkup = Checkup(looks, self.of[slot].check, lambda: next(age))
        self.clock += 3
        for twin, number in self.asked[slot].items():
            checkup.ask(twin, number)
        checkup.once()
        self.tell()

    def tell(self) -> None:
        for slot, other in (("a", "b"), ("b", "a")):
            if (said := self.of[slot].message()) is not None:
                heard = decode(encode(said), slot)
                assert isinstance(heard, Health)
                self.of[other].hear(heard)

    def successor(self, slot: str) -> str | None:
        return self.of[slot].successor(BOTH - {slot}, True, self.clock)

    def _offset(self, slot: str) -> Offset | None:
        if "clock-source" in self.fails[slot]:
            return None
        return WRONG if "clock" in self.fails[slot] else RIGHT

    def _transfer(self, slot: str) -> Proof:
        if "transfer" in self.fails[slot]:
            raise CloudUnavailable("GET: timed out")
        return Proof(ahead=0.0)


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_a_gateway_that_fails_hands_over_to_a_twin_that_looked_since_and_does_not(check):
    pair = Pair()
    pair.look("a")
    pair.look("b")
    assert pair.successor("a") is None
    pair.fails["a"] = frozenset({check})
    pair.look("a")
    assert pair.successor("a") is None, "its twin's last look is older than the fault"
    pair.look("b")
    assert pair.successor("a") == "b"


def test_a_fault_that_is_beyond_both_moves_nobody():
    pair = Pair()
    pair.look("b")
    pair.fails = {"a": frozenset({"transfer"}), "b": frozenset({"transfer"})}
    pair.look("a")
    pair.look("b")
    assert pair.successor("a") is None
    pair.fails["b"] = frozenset()
    pair.look("b")
    assert pair.successor("a") == "b", "it is beyond the twin no more"


def test_health_moves_who_serves_once_a_minute_at_most():
    pair = Pair()
    pair.fails["a"] = frozenset({"transfer"})
    pair.look("a")
    pair.look("b")
    assert pair.successor("a") == "b"
    pair.clock += 59
    assert pair.successor("a") is None
    pair.clock += 2
    assert pair.successor("a") == "b"


def test_what_costs_clients_does_not_wait_because_a_warning_moved_who_serves():
    pair = Pair()
    pair.fails["a"] = frozenset({"disk"})
    pair.look("a")
    pair.look("b")
    assert pair.successor("a") == "b"
    pair.fails["a"] = frozenset({"disk", "transfer"})
    pair.look("a")
    pair.look("b")
    assert pair.successor("a") == "b"
    assert pair.successor("a") is None, "but that is for a minute"


def test_a_twin_is_asked_anew_when_the_same_check_fails_again():
    pair = Pair()
    pair.fails["a"] = frozenset({"disk"})
    pair.look("a")
    pair.look("b")
    first = pair.of["a"].book.asks
    pair.fails["a"] = frozenset()
    pair.look("a")
    pair.fails["a"] = frozenset({"disk"})
    pair.look("a")
    assert pair.of["a"].book.asks > first
    assert pair.successor("a") is None


@pytest.mark.parametrize("warning", ["clock-source", "registry", "disk"])
def test_a_gateway_that_forwards_nothing_hands_over_to_one_with_a_mere_warning_and_not_the_other_way_round(warning):
    pair = Pair()
    pair.fails = {"a": frozenset({"transfer"}), "b": frozenset({warning})}
    for _ in range(2):
        pair.look("a")
        pair.look("b")
    assert pair.successor("b") is None
    assert pair.successor("a") == "b"


def test_nobody_hands_over_to_a_twin_whose_clock_is_wrong():
    """Ahead, its handshakes would be the last that clients take for as long as it is ahead."""
    pair = Pair()
    pair.fails = {"a": frozenset({"transfer"}), "b": frozenset({"clock"})}
    for slot in "abab":
        pair.look(slot)
    assert pair.successor("a") is None


@given(mine=FAILING, theirs=FAILING, answers=st.sampled_from([6, 7]), serving=st.booleans())
def test_nobody_hands_over_to_one_that_does_not_fail_less_or_has_not_looked(mine, theirs, answers, serving):
    twin = Heard(failing=theirs, answers=answers)
    book = Book(failing=mine, asks=7, asked_for=mine, twins={"b": twin})
    found = better(book, frozenset({"b"}), serving, 0.0)
    warnings = {"clock-source", "registry", "disk"}
    less = theirs < mine or (theirs <= warnings and not mine <= warnings)
    assert (found == "b") == (serving and answers == 7 and less)
    assert better(book, frozenset(), serving, 0.0) is None


@given(mine=FAILING, theirs=FAILING)
def test_of_two_gateways_one_at_most_finds_the_other_better(mine, theirs):
    def finds(own: frozenset[str], its: frozenset[str]) -> bool:
        book = Book(failing=own, asks=7, asked_for=own, twins={"b": Heard(failing=its, answers=7)})
        return better(book, frozenset({"b"}), True, 0.0) is not None

    assert not (finds(mine, theirs) and finds(theirs, mine))


def test_what_fails_once_and_not_again_is_no_failure():
    answers = iter([CloudUnavailable("GET: timed out"), None])

    def transfer() -> Proof | None:
        if (found := next(answers)) is not None:
            raise found
        return None

    assert failing(replace(WELL, transfer=transfer)) == set()


def test_a_time_source_that_lies_is_found_out_by_the_storages_clock():
    assert failing(replace(WELL, transfer=lambda: Proof(ahead=-5.0))) == {"clock"}


def test_a_clock_that_may_be_right_is_judged_once_chrony_had_time_to_measure():
    """On a busy machine the first measurements are seconds off, and a hand-over would end a transfer."""
    vague = replace(WELL, offset=lambda: Offset(least=0.0, most=1.7))
    assert failing(vague) == set()
    assert failing(vague, age=46) == {"clock"}


def test_a_clock_that_is_surely_wrong_fails_at_once():
    assert failing(replace(WELL, offset=lambda: WRONG)) == {"clock"}


def test_a_clock_without_a_source_is_known_after_some_seconds():
    nothing = replace(WELL, offset=lambda: None)
    assert failing(nothing, age=44) == set()
    assert failing(nothing, age=46) == {"clock-source"}


def chronyc(offset: str = "0.0001", leap: str = "Normal", source: str = "*"):
    said = {
        "tracking": TRACKING.format(offset=offset, leap=leap),
        "sources": f"^,{source},169.254.169.123,3,4,377,14,-0.000005639,-0.000011456,0.000089881\n",
    }
    return lambda words, stdin: said[words[-1]]


@pytest.mark.parametrize(
    ("offset", "leap", "found"),
    [
        ("0.0001", "Normal", Offset(least=0.0, most=0.0006)),
        ("-5.01", "Normal", Offset(least=5.0095, most=5.0105)),
        ("0.0", "Not synchronised", None),
    ],
)
def test_how_far_off_a_clock_is_counts_the_way_to_its_source(offset, leap, found):
    said = look(chronyc(offset, leap), lambda: 1764144020.1)
    assert (said and (said.least, said.most)) == (found and pytest.approx((found.least, found.most)))


@pytest.mark.parametrize(
    ("source", "age", "follows"),
    [
        ("*", 70, True),  # it passes over answers that come late
        ("?", 50, True),
        ("?", 70, False),  # it trusts its source no more
        ("x", 70, False),
        ("*", 310, False),
    ],
)
def test_a_source_is_lost_once_it_is_not_trusted_or_long_without_a_good_answer(source, age, follows):
    assert (look(chronyc(source=source), lambda: 1764144000.1 + age) is not None) == follows


def test_another_text_of_chrony_is_no_offset():
    with pytest.raises(CommandFailed, match="another chrony"):
        look(lambda words, stdin: "506 Cannot talk to daemon")


@pytest.mark.parametrize(
    "change",
    [
        {"failing": ["nonsense"]},
        {"failing": [["disk"]]},
        {"failing": "disk"},
        {"asks": -1},
        {"asks": True},
        {"answers": {"a": "1"}},
        {"answers": {str(number): 1 for number in range(9)}},
        {"slot": "c"},
    ],
)
def test_nonsense_about_health_is_not_heard(change):
    sound = json.loads(encode(Health(slot="b", failing=("disk",), asks=5, answers={"a": 4})))
    assert decode(json.dumps(sound).encode(), "b") == Health(slot="b", failing=("disk",), asks=5, answers={"a": 4})
    assert decode(json.dumps({**sound, **change}).encode(), "b") is None
