"""Clients that hold but one peer, at the address that follows whoever serves: in a lab of their own.

Bounds are wide: this runs beside other things on few cores. `make bench` measures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.checkouts import Checkout, copied

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

MOVE_SECONDS = 3.0


@pytest.fixture(scope="module")
def floating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = copied(tmp_path_factory.mktemp("floating"))
    try:
        made.done("up", "--floating-ip", "--move-seconds", str(MOVE_SECONDS))
        yield made
    finally:
        made.done("down")


def lost(checkout: Checkout, *words: str) -> dict[str, Any]:
    said = checkout.done("fail", *words, "--json")
    print(said)
    return json.loads(said.splitlines()[-1])


def test_a_crash_costs_a_client_of_one_peer_the_move_and_little_more(floating: Checkout) -> None:
    """Left to WireGuard it would be 15 s and more: it begins anew only then."""
    seen = lost(floating, "kill", "--mode", "floating-ip")
    assert seen["served_by"][0] != seen["served_by"][1], seen
    assert MOVE_SECONDS < seen["outage_seconds"] < MOVE_SECONDS + 3.0, seen
    floating.done("heal")
    by_ways = lost(floating, "switch")
    assert by_ways["outage_seconds"] < 1.0, by_ways


@pytest.mark.parametrize("nat", ["port-restricted", "none"])
def test_a_planned_switch_costs_it_the_move_too_and_it_is_back_again_and_again(floating: Checkout, nat: str) -> None:
    first = lost(floating, "switch", "--mode", "floating-ip", "--nat", nat)
    back = lost(floating, "switch", "--mode", "floating-ip", "--nat", nat, "--during", "upload")
    assert (back["served_by"][0], back["served_by"][1]) == (first["served_by"][1], first["served_by"][0])
    for seen in (first, back):
        assert MOVE_SECONDS - 1 < seen["outage_seconds"] < MOVE_SECONDS + 3.0, seen
    assert back["transfer"]["ok"], back
