"""The last state on disk: it comes back as it went, whatever happens to the machine while it is written."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from tests.agent_lives import edited, lives, without
from tests.agent_samples import ANN, BOB, NOW, peer, state
from tests.unit.test_agent_advanced import many
from twinlock.agent.errors import BadState
from twinlock.agent.state_file import StateFile


def saved(folder: Path, *states) -> None:
    file = StateFile(folder)
    for one in states:
        file.save(one)


def admitted(was, *peers):
    held = was.peers["ml"]
    for one in peers:
        held = edited(held, one.public_key, one)
    return replace(was, peers={**was.peers, "ml": held})


def revoked(was, *keys: str):
    peers = was.peers
    for key in keys:
        peers = {tenant: without(held, key) for tenant, held in peers.items()}
    return replace(was, peers=peers)


def test_state_comes_back_as_it_went_and_is_for_root_alone(tmp_path):
    first = state(peer(expires_at=NOW + 5), peer("bob", BOB, "10.100.2.1", "ci"), serving=frozenset({0}))
    saved(tmp_path, first, revoked(first, BOB))
    assert StateFile(tmp_path).load() == revoked(first, BOB)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "state.json": 0o600,
        "state.changes": 0o600,
    }


def test_nothing_is_there_before_the_first_one(tmp_path):
    assert StateFile(tmp_path).load() is None


@given(lives())
def test_any_row_of_states_comes_back_as_the_last_one(life):
    with tempfile.TemporaryDirectory() as folder:
        file = StateFile(Path(folder))
        for last, _ in life:
            file.save(last)
            assert StateFile(Path(folder)).load() == last


def test_a_machine_that_dies_at_any_byte_of_a_change_comes_back_before_or_after_it(tmp_path):
    first = state(peer(), peer("bob", BOB, "10.100.1.2"))
    saved(tmp_path, first, revoked(first, ANN), revoked(first, ANN, BOB))
    lines = (tmp_path / "state.changes").read_bytes()
    ends = [at + 1 for at, byte in enumerate(lines) if byte == ord("\n")]
    after = [first, revoked(first, ANN), revoked(first, ANN, BOB)]
    for length in range(len(lines) + 1):
        (tmp_path / "state.changes").write_bytes(lines[:length])
        assert StateFile(tmp_path).load() == after[sum(end <= length for end in ends)]


def test_a_revocation_is_on_disk_wherever_the_line_before_it_was_broken_off(tmp_path):
    first = state(peer(), peer("bob", BOB, "10.100.1.2"))
    saved(tmp_path, first, revoked(first, ANN))
    whole, line = (tmp_path / "state.json").read_bytes(), (tmp_path / "state.changes").read_bytes()
    for length in range(len(line) + 1):
        (tmp_path / "state.json").write_bytes(whole)
        (tmp_path / "state.changes").write_bytes(line[:length])
        file = StateFile(tmp_path)
        found = file.load()
        assert found is not None
        file.save(revoked(found, BOB))
        assert StateFile(tmp_path).load() == revoked(found, BOB)


@given(lives())
def test_an_agent_that_starts_again_before_each_change_goes_on_where_it_was(life):
    with tempfile.TemporaryDirectory() as folder:
        StateFile(Path(folder)).save(life[0][0])
        for last, _ in life[1:]:
            file = StateFile(Path(folder))
            file.load()
            file.save(last)
            assert StateFile(Path(folder)).load() == last


def test_an_agent_that_starts_again_does_not_write_everything_anew(tmp_path):
    saved(tmp_path, many(10_000))
    file = StateFile(tmp_path)
    was = file.load()
    assert was is not None
    born = (tmp_path / "state.json").stat().st_ino
    file.save(admitted(was, peer("ann", ANN, "10.100.99.1")))
    assert (tmp_path / "state.json").stat().st_ino == born
    assert 0 < (tmp_path / "state.changes").stat().st_size < 1_000


def test_changes_that_a_crash_left_beside_a_newer_file_are_not_made_again(tmp_path):
    first = state(peer(), peer("bob", BOB, "10.100.1.2"))
    saved(tmp_path, first, revoked(first, BOB))
    left = (tmp_path / "state.changes").read_bytes()
    saved(tmp_path, first)
    (tmp_path / "state.changes").write_bytes(left)
    assert StateFile(tmp_path).load() == first


def test_one_change_among_ten_thousand_peers_writes_its_own_line_alone(tmp_path):
    was = many(10_000)
    saved(tmp_path, was, admitted(was, peer("ann", ANN, "10.100.99.1")))
    assert (tmp_path / "state.json").stat().st_size > 1_000_000
    assert 0 < (tmp_path / "state.changes").stat().st_size < 1_000


def test_a_change_of_everybody_is_no_line(tmp_path):
    was = many(1_000)
    saved(tmp_path, was, replace(was, peers={**was.peers, "ml": many(500).peers["ml"]}))
    assert not (tmp_path / "state.changes").exists()


def test_changes_do_not_pile_up(tmp_path):
    row = [state(peer()), state(peer(), serving=frozenset({0}))] * 300
    base = state(peer())
    saved(tmp_path, *(replace(base, serving=one.serving) for one in row))
    assert len((tmp_path / "state.changes").read_text().splitlines()) <= 100
    assert StateFile(tmp_path).load() == replace(base, serving=frozenset({0}))


@pytest.mark.parametrize("version", [0, 3, None])
def test_state_of_another_version_is_refused(tmp_path, version):
    (tmp_path / "state.json").write_text(json.dumps({"version": version}))
    with pytest.raises(BadState, match="version"):
        StateFile(tmp_path).load()


def test_a_line_that_is_no_change_stops_the_agent_and_is_not_left_out(tmp_path):
    first = state(peer())
    saved(tmp_path, first, revoked(first, ANN))
    with (tmp_path / "state.changes").open("a") as file:
        file.write("garbage\n")
    with pytest.raises(BadState, match="delete it"):
        StateFile(tmp_path).load()
