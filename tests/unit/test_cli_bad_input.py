"""Every command with every kind of bad input: one clear line, exit code 2 or 3, no traceback, nothing changed.

The whole tree of commands is walked: a new command or option is tried without anyone naming it here.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_input import TREE, lay_files, run, tries, words_of, wrong_with
from tests.memory_table import MemoryTable
from tests.registry_samples import ALICE, definition, public_key
from twinlock.registry.model import Actor
from twinlock.registry.store import Registry

# What these do with a sound value is theirs: they write a file that was named, or become another command.
_WRITES = {("peer", "keygen"), ("registry", "backup"), ("environment", "new"), ("environment", "policy")}


@dataclass(frozen=True)
class Cloud:
    registry: Registry
    name: str = "lab"
    region: str = "eu-west-1"

    def actor(self) -> Actor:
        return ALICE

    def terminate(self, instance_id: str) -> None:
        raise AssertionError("a machine was ended")


@pytest.fixture
def table(tmp_path, monkeypatch) -> MemoryTable:
    """An environment whose registry is in memory; nothing outside answers, no program is installed."""
    made = MemoryTable(definition())
    Registry(made).enrol(ALICE, "red", "laptop", public_key(1), None, None)
    lay_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in tuple(os.environ):
        if name.startswith(("AWS_", "TWINLOCK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setattr("twinlock.cli.options.open_environment", lambda name: Cloud(Registry(made)))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def not_installed(self, argv, *rest, **named):
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    def becomes(path, argv):
        raise SystemExit(0)

    monkeypatch.setattr(subprocess.Popen, "__init__", not_installed)
    monkeypatch.setattr(os, "execv", becomes)
    return made


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_bad_input_is_one_line_and_changes_nothing(path, table, tmp_path):
    items, files = dict(table.items), _files(tmp_path)
    told = []
    for bad, words in tries(path):
        said = run(*words)
        wrong = wrong_with(said)
        if said.code in (2, 3) and (table.items != items or _files(tmp_path) != files):
            wrong = "changed something and refused"
        if wrong:
            told.append(f"{bad}: {wrong}")
        table.items = dict(items)
        for path_ in set(_files(tmp_path)) - set(files):
            Path(path_).unlink()
        os.chdir(tmp_path)
    assert not told, "\n".join(told)


# What an argument could hold: any text, and texts that are nearly what some argument takes.
_NEARLY = st.text("0123456789abcdefhmsdw:./#=-_ ,+eE[]{}'", max_size=30)
_PARTS = st.sampled_from(
    ["red", "laptop", "24h", "1d", "10.80.0.0/16", "tcp", "all", "a", "b", "-", "--", "=", "#", "/"]
)
_ANY = st.text(max_size=40) | _NEARLY | st.lists(_PARTS | st.text(max_size=3), max_size=4).map("".join)
_FUZZ = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("path", TREE, ids=" ".join)
@_FUZZ
@given(data=st.data())
def test_whatever_the_arguments_are_it_is_one_line_and_changes_nothing(path, table, tmp_path, data):
    items, files = dict(table.items), _files(tmp_path)
    parameters = [one for one in TREE[path].params if not getattr(one, "is_flag", False)]
    values = {one.name: data.draw(_ANY, one.name) for one in parameters if one.required or data.draw(st.booleans())}
    try:
        said = run("--environment=lab", *path, *words_of(parameters, values))
        assert wrong_with(said) == ""
        if said.code in (2, 3):
            assert (table.items, _files(tmp_path)) == (items, files), "changed something and refused"
    finally:
        table.items = items
        for made in set(_files(tmp_path)) - set(files):
            Path(made).unlink()
        os.chdir(tmp_path)


_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.datetimes() | st.dates()
_FIELDS = st.sampled_from(["public_key", "expires", "reach", "ttl", "x"])
_KEYS = st.sampled_from([public_key(1), public_key(2), "AAAA", public_key(3)[:-1]])
_PEER = st.dictionaries(_FIELDS, _KEYS | st.lists(_LEAF | st.just("storage"), max_size=3) | _LEAF, max_size=4)
# One field that is odd in a peer that is sound otherwise, so that reading goes as far as that field.
_REACH = st.lists(st.just("storage") | _LEAF, min_size=1, max_size=3)
_NEARLY_SOUND = st.fixed_dictionaries({"public_key": _KEYS}, optional={"reach": _REACH | _LEAF, "expires": _LEAF})
_NAMES = st.sampled_from(["a", "laptop", "B", "-", ""]) | st.text(max_size=5)
_PEERS = st.dictionaries(st.just("a"), _NEARLY_SOUND, min_size=1) | st.dictionaries(_NAMES, _PEER | _LEAF, max_size=3)
_TENANTS = st.dictionaries(st.just("red"), _PEERS, min_size=1) | st.dictionaries(
    st.sampled_from(["red", "auto", "none", "red#x"]), _PEERS | _LEAF, max_size=3
)


@pytest.mark.parametrize(
    "command", [("apply",), ("apply", "--yes"), ("apply", "--yes", "--prune"), ("approve", "--file")], ids=" ".join
)
@settings(_FUZZ, max_examples=60)
@given(document=st.fixed_dictionaries({"tenants": _TENANTS}) | _TENANTS)
def test_whatever_peers_yaml_holds_it_is_taken_or_one_line_and_changes_nothing(command, table, tmp_path, document):
    items = dict(table.items)
    file = tmp_path / "peers.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8", "surrogatepass")
    try:
        said = run("--environment=lab", "peer", *command, str(file))
        assert wrong_with(said) == ""
        if said.code in (2, 3):
            assert table.items == items, "changed something and refused"
    finally:
        table.items = items


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
