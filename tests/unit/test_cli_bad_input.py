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

from tests.bad_input import TREE, lay_files, run, tries, wrong_with
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


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
