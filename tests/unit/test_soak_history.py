"""What a soak checks of what it saw: each broken history is caught, by its own check, and a sound one by none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from lab.soak import history as checks
from lab.soak.bounds import BOUNDS
from lab.soak.history import History, Strike, outcome
from lab.soak.schedule import CLOUD, GATEWAY

A, B = "203.0.113.10", "203.0.113.20"
ALL: Sequence[Callable[[History], tuple[str, ...]]] = (
    checks.two_owners, checks.taken_back, checks.to_and_fro, checks.not_shut, checks.outages, checks.lost,
    checks.different,
)  # fmt: skip


def steady(start: float, end: float, by: str) -> list[tuple[float, str]]:
    return [(start + number * 0.02, by) for number in range(round((end - start) / 0.02))]


def times(start: float, end: float) -> list[float]:
    return [at for at, _ in steady(start, end, A)]


# Ada and bob for a minute; at 20 the gateway that serves is killed, and the other one takes over.
SOUND = History(
    began=0.0,
    ended=60.0,
    strikes=(Strike(what="kill", at=20.0, mended=30.0),),
    out={name: [*steady(0, 20, A), *steady(20.5, 60, B)] for name in ("ada", "bob")},
    answers={name: [*times(0, 20), *times(20.5, 60)] for name in ("ada", "bob")},
    stays={"ada": [(0.0, 60.0)], "bob": [(0.0, 60.0)]},
    written={"soak/1": "aa"},
    read={"soak/1": "aa", "soak/2": "bb"},
    asked={"eve": "revoked"},
    held={"eve": "revoked"},
    members=frozenset({"ADA", "BOB"}),
    on_gateways={"a": frozenset({"ADA", "BOB"}), "b": frozenset({"ADA", "BOB"})},
)


def test_a_sound_history_has_nothing_against_it():
    assert outcome(SOUND) == ()


def caught(broken: History, by: Callable[[History], tuple[str, ...]]) -> str:
    """The words of the one check that has to catch it; the others may, too."""
    found = by(broken)
    assert found, f"{by.__name__} saw nothing"
    assert set(found) <= set(outcome(broken))
    return "; ".join(found)


def test_packets_by_the_old_gateway_for_longer_than_its_gate_takes_are_two_owners():
    broken = replace(SOUND, out={**SOUND.out, "bob": [*steady(0, 22.5, A), *steady(22.5, 60, B)]})
    assert "two gateways served for 2.0 s" in caught(broken, checks.two_owners)
    assert checks.taken_back(broken) == (), "each client went but once"


def test_packets_by_the_old_gateway_for_a_moment_are_none():
    late = replace(SOUND, out={**SOUND.out, "bob": [*steady(0, 21.6, A), *steady(21.6, 60, B)]})
    assert checks.two_owners(late) == checks.to_and_fro(late) == ()


def test_a_client_that_left_before_a_change_is_none_of_its_owners():
    left = replace(
        SOUND,
        out={"eve": steady(0, 10, A), **SOUND.out},
        strikes=(
            *SOUND.strikes,
            Strike(what="api-down", at=40.0, mended=45.0),
        ),
    )
    assert outcome(left) == ()


def test_a_client_that_comes_by_the_gateway_that_lost_it_was_taken_back():
    went = [*steady(0, 20, A), *steady(20.5, 40, B), *steady(40, 41, A), *steady(41, 60, B)]
    assert "ada went" in caught(replace(SOUND, out={**SOUND.out, "ada": went}), checks.taken_back)


def test_gateways_that_serve_in_turns_after_one_cause_steal_from_each_other():
    went = [*steady(0, 20, A), *steady(20.5, 30, B), *steady(30, 40, A)]
    broken = replace(SOUND, out={"ada": went, "bob": went})
    assert f"{A} → {B} → {A}" in caught(broken, checks.to_and_fro)


def test_nobody_else_serves_without_a_cause():
    broken = replace(SOUND, strikes=())
    assert "after nothing" in caught(broken, checks.to_and_fro)


def test_what_only_the_control_plane_misses_moves_nobody():
    broken = replace(SOUND, strikes=(Strike(what="api-down", at=20.0, mended=30.0),))
    assert "after api-down" in caught(broken, checks.to_and_fro)


def test_a_packet_of_a_revoked_peer_after_two_seconds_is_caught():
    sound = replace(SOUND, shut={"eve": 40.0}, out={**SOUND.out, "eve": steady(31, 41.9, B)})
    assert outcome(sound) == ()
    broken = replace(sound, out={**sound.out, "eve": [*steady(31, 41.9, B), (42.3, B)]})
    assert "eve: 1 packets got through, the last 2.3 s after" in caught(broken, checks.not_shut)


def test_a_revocation_waits_for_a_gateway_that_does_not_reach_the_registry_and_no_longer():
    deaf = replace(
        SOUND, strikes=(*SOUND.strikes, Strike(what="partition-registry", at=39.0, mended=50.0)), shut={"eve": 40.0}
    )
    assert checks.not_shut(replace(deaf, out={"eve": steady(31, 51.9, B)})) == ()
    assert checks.not_shut(replace(deaf, out={"eve": steady(31, 52.5, B)})) != ()


@pytest.mark.parametrize("what", sorted(BOUNDS))
def test_an_outage_that_is_longer_than_its_fault_explains_is_caught(what):
    bound = BOUNDS[what].outage + 1.0

    def lasting(seconds: float) -> History:
        strikes = (Strike(what=what, at=20.0, mended=40.0),)
        return replace(
            SOUND, strikes=strikes, answers={**SOUND.answers, "ada": [*times(0, 20), *times(20 + seconds, 60)]}
        )

    assert checks.outages(lasting(bound - 0.1)) == ()
    assert what in caught(lasting(bound + 0.1), checks.outages)


def test_an_outage_without_a_fault_is_caught_and_so_is_silence_to_the_end():
    broken = replace(SOUND, answers={**SOUND.answers, "ada": [*times(0, 20), *times(20.5, 45), *times(47, 60)]})
    assert "nothing explains" in caught(broken, checks.outages)
    assert caught(replace(SOUND, answers={**SOUND.answers, "ada": times(0, 20)}), checks.outages)
    assert caught(replace(SOUND, answers={"bob": SOUND.answers["bob"]}), checks.outages), "never an answer"


def test_what_a_starved_machine_takes_longer_for_is_allowed_for():
    slow = replace(SOUND, answers={**SOUND.answers, "ada": [*times(0, 20), *times(20.5, 45), *times(47, 60)]})
    assert checks.outages(slow) != ()
    free = [(at / 4, 0.1 * at / 4) for at in range(240)]
    assert checks.outages(replace(slow, waited=free)) != ()
    starved = [(at / 4, 0.5 * at / 4) for at in range(240)]
    assert checks.outages(replace(slow, waited=starved)) == ()
    late = replace(SOUND, shut={"eve": 40.0}, out={**SOUND.out, "eve": [*steady(31, 43, B)]})
    assert checks.not_shut(replace(late, waited=free)) != () == checks.not_shut(replace(late, waited=starved))


def test_a_client_that_left_owes_no_answers():
    left = replace(SOUND, stays={**SOUND.stays, "eve": [(31.0, 35.0), (37.0, 40.0)]})
    there = {**SOUND.answers, "eve": [*times(31, 35), *times(37, 40)]}
    assert checks.outages(replace(left, answers=there)) == ()
    assert checks.outages(replace(left, answers={**there, "eve": times(31, 35)})) != ()


def test_an_acknowledged_object_that_is_gone_or_another_is_lost():
    assert "soak/1: acknowledged, and gone" in caught(replace(SOUND, read={}), checks.lost)
    assert "other bytes" in caught(replace(SOUND, read={"soak/1": "zz"}), checks.lost)


def test_an_acknowledged_transition_that_the_registry_does_not_tell_is_lost():
    assert "the registry says approved" in caught(replace(SOUND, held={"eve": "approved"}), checks.lost)
    assert "the registry says nothing" in caught(replace(SOUND, held={}), checks.lost)


def test_a_gateway_that_serves_others_than_the_registry_names_is_different():
    lacking = replace(SOUND, on_gateways={**SOUND.on_gateways, "b": frozenset({"ADA"})})
    assert caught(lacking, checks.different) == "gateway b lacks BOB…"
    more = replace(SOUND, on_gateways={**SOUND.on_gateways, "a": frozenset({"ADA", "BOB", "EVE"})})
    assert caught(more, checks.different) == "gateway a still has EVE…"


def test_every_fault_of_a_schedule_has_a_bound():
    assert set(BOUNDS) == {*CLOUD, *GATEWAY, "switch"}
