"""Which gateway a switch goes to, and which it refuses."""

from __future__ import annotations

import pytest

from tests.unit.test_agent_run import record
from twinlock.cli.gateway_switch import switch_target
from twinlock.cli.health import GatewayHealth
from twinlock.registry.errors import Refused


def pair(serving="a", **ages) -> tuple[GatewayHealth, ...]:
    return tuple(
        GatewayHealth(
            slot=slot,
            zone=f"eu-west-1{slot}",
            public_address="203.0.113.10",
            record=record(slot, serving=slot == serving),
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
