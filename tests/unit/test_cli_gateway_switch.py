"""Which gateway a switch goes to, and which it refuses."""

from __future__ import annotations

import pytest

from tests.gateway_stage import record
from twinlock.cli.gateway_switch import await_ways, lacking_ways, switch_target
from twinlock.registry.errors import Refused
from twinlock.registry.health import GatewayHealth


def pair(serving="a", ways=(None, None), **ages) -> tuple[GatewayHealth, ...]:
    return tuple(
        GatewayHealth(
            slot=slot,
            zone=f"eu-west-1{slot}",
            public_address="203.0.113.10",
            record=record(slot, serving=slot == serving, ways=ways["ab".index(slot)]),
            age=ages.get(slot, 1),
            behind={},
        )
        for slot in ("a", "b")
    )


def test_a_switch_goes_to_the_other_gateway_unless_one_is_named():
    assert switch_target(pair(), None) == "b"
    assert switch_target(pair(serving="b"), None) == "a"
    assert switch_target(pair(), "b") == "b"


def test_what_is_so_already_is_no_switch():
    assert switch_target(pair(), "a") is None
    assert switch_target(pair(), None, away_from="b") is None


@pytest.mark.parametrize(
    ("words", "said"), [({"to": "b"}, "silent for 60 s"), ({"to": None, "away_from": "a"}, "no other gateway is well")]
)
def test_a_switch_to_a_gateway_that_is_not_well_is_refused(words, said):
    with pytest.raises(Refused, match=said):
        switch_target(pair(b=60), **words)


def test_a_slot_that_is_not_there_is_refused_by_name():
    with pytest.raises(Refused, match="no slot c"):
        switch_target(pair(), "c")


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self, *looks) -> None:
        self.at, self.looks, self.told = 0.0, list(looks), []

    def await_ways(self, timeout=40.0) -> None:
        await_ways(self._look, "b", timeout, self.told.append, clock=lambda: self.at, sleep=self._sleep)

    def _look(self):
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def _sleep(self, seconds: float) -> None:
        self.at += seconds


def test_a_switch_waits_until_as_many_clients_have_a_way_to_the_other_gateway():
    time = Clock(pair(ways=(12, 0)), pair(ways=(12, 0)), pair(ways=(12, 9)), pair(ways=(12, 12)))
    time.await_ways()
    assert time.told == [
        "clients with a way to gateway b: 0, to gateway a: 12",
        "clients with a way to gateway b: 9, to gateway a: 12",
    ]


def test_a_switch_that_would_lose_clients_is_refused_with_the_reason_and_the_way_round_it():
    time = Clock(pair(ways=(12, 9)))
    with pytest.raises(Refused, match=r"to gateway b: 9, .* a: 12, for 40 s: nothing was changed; --force"):
        time.await_ways()
    assert time.at == 40


def test_a_gateway_that_cannot_say_how_many_ways_it_has_is_not_waited_for():
    assert lacking_ways(pair(ways=(12, None)), "b") is None
    assert lacking_ways(pair(ways=(None, 3)), "b") is None
    assert lacking_ways(pair(serving="none", ways=(12, 3)), "b") is None
