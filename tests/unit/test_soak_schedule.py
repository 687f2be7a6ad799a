"""A soak's schedules: the same for a seed, only what may follow, and as short as they still fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.soak.schedule import Step, draw, is_one, play, shorter


class Acts:
    """Remembers."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def __getattr__(self, name: str):
        return lambda *words: self.done.append((name, *words))


@pytest.mark.parametrize("number", range(4))
def test_a_seed_is_one_schedule_and_only_what_may_follow_is_in_it(number):
    steps = draw(number, 14)
    assert 1 <= len(steps) <= 14
    assert steps == draw(number, 14)
    assert is_one(steps)


def test_seeds_are_different_schedules_and_all_faults_come_up():
    drawn = [draw(number, 14) for number in range(40)]
    assert len(set(drawn)) > 35
    kinds = {(step.kind, step.what) for steps in drawn for step in steps if step.kind.endswith("fails")}
    assert len(kinds) == 13, sorted(kinds)


def test_no_fault_comes_on_another_of_its_kind_and_nobody_joins_meanwhile():
    fails, mended, join = (Step(kind=kind) for kind in ("gateway fails", "gateway mended", "join"))
    assert is_one([fails, mended, fails, mended, join])
    for wrong in ([fails, fails], [fails, join], [mended], [Step(kind="revoke")]):
        assert not is_one(wrong)


def test_each_step_is_done_and_then_all_is_checked():
    acts = Acts()
    steps = [
        Step(kind="join", what="none", number=20), Step(kind="gateway fails", what="kill"),
        Step(kind="revoke", number=1), Step(kind="gateway mended", number=6),
    ]  # fmt: skip
    play(steps, acts)
    assert [done for done in acts.done if done != ("check",)] == [
        ("join", "none", 20), ("strike", "kill", "gateway"), ("revoke", 1), ("wait", 6), ("mend", "gateway"),
    ]  # fmt: skip
    assert acts.done.count(("check",)) == 4


@pytest.mark.parametrize("number", range(100, 104))
def test_what_fails_is_made_as_short_as_it_still_fails(number):
    steps = draw(number, 14)
    culprit = steps[-1]
    tried = []

    def fails(some: Sequence[Step]) -> bool:
        tried.append(tuple(some))
        return culprit in some

    found = shorter(steps, fails)
    assert culprit in found and is_one(found)
    assert len(tried) < 80, "each takes a minute or two"
    for at in range(len(found)):
        rest = (*found[:at], *found[at + 1 :])
        assert not rest or culprit not in rest or not is_one(rest), "one less would fail as well"


def test_where_there_is_no_time_the_whole_schedule_is_told():
    steps = draw(1, 14)
    assert shorter(steps, lambda _: False) == steps
