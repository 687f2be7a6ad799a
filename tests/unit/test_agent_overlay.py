"""Maps of which a next version costs what changes: they are what a dict would be, and what differs is found."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.agent import overlay
from twinlock.agent.overlay import Edits, Overlay, differences

_ALL = [object() for _ in range(4)]
_steps = st.lists(st.dictionaries(st.integers(0, 9), st.none() | st.sampled_from(_ALL), max_size=4), max_size=10)


def versions(steps: list[dict[int, object | None]]) -> list[tuple[Mapping[int, object], dict[int, object]]]:
    """Each version beside the dict that it should be equal to."""
    found: list[tuple[Mapping[int, object], dict[int, object]]] = [({}, {})]
    for step in steps:
        edits, expected = Edits(found[-1][0]), dict(found[-1][1])
        for key, value in step.items():
            if value is None:
                edits.pop(key, None)
                expected.pop(key, None)
            else:
                edits[key] = expected[key] = value
        assert dict(edits) == expected and len(edits) == len(expected)
        found.append((edits.done(), expected))
    return found


@pytest.mark.parametrize("most", [0, 2, 100])
@given(steps=_steps)
def test_every_version_stays_what_a_dict_would_be(most, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "_MOST", most)
        for version, expected in versions(steps):
            assert dict(version) == expected
            assert len(version) == len(expected)
            assert [key for key in range(10) if key in version] == sorted(expected)
            assert [version.get(key) for key in range(10)] == [expected.get(key) for key in range(10)]


@pytest.mark.parametrize("most", [0, 2, 100])
@given(steps=_steps)
def test_what_differs_between_any_two_versions_is_found_and_nothing_else(most, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "_MOST", most)
        row = versions(steps)
    for old, before in row:
        for new, after in row:
            assert differences(old, new) == {key for key in range(10) if before.get(key) is not after.get(key)}


def test_a_version_that_differs_in_nothing_is_the_one_before():
    first = {1: _ALL[0], 2: _ALL[1]}
    edits = Edits(first)
    edits[1] = _ALL[2]
    second = edits.done()
    for start in (first, second):
        edits = Edits(start)
        edits[3] = _ALL[3]
        del edits[3]
        edits[2] = _ALL[1]
        assert edits.done() is start
    edits = Edits(second)
    edits[1] = _ALL[0]
    assert dict(edits.done()) == first


def test_who_is_not_there_can_not_go():
    edits = Edits({1: _ALL[0]})
    del edits[1]
    for key in (1, 2):
        with pytest.raises(KeyError):
            del edits[key]
        with pytest.raises(KeyError):
            edits.done()[key]


def test_a_small_change_of_a_large_map_looks_at_what_changed_alone():
    class Large(dict[int, object]):
        def __iter__(self):
            raise AssertionError("looked at everything")

        keys = values = items = __iter__

    first = Large.fromkeys(range(100_000), _ALL[0])
    version: Mapping[int, object] = first
    for key in range(99_990, 100_010):
        edits = Edits(version)
        edits[key] = _ALL[1]
        version = edits.done()
    assert isinstance(version, Overlay) and len(version) == 100_010
    assert differences(first, version) == set(range(99_990, 100_010))
