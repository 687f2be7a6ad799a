"""Every command with every kind of bad input: one clear line, exit code 2 or 3, no traceback, nothing changed.

The whole tree of commands is walked: a new command or option is tried without anyone naming it here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.paths import ROOT
from tests.bad_input import TREE, flags, lay_files, run, sound, tries, words_of, wrong_with
from tests.command_cloud import gateways_are_up
from tests.memory_table import MemoryTable
from tests.registry_samples import ALICE, BOB, CAROL, definition, public_key
from tests.registry_samples import tenant as a_tenant
from tests.vault import Vault
from twinlock.cli.private_key import PrivateKey
from twinlock.registry import backup
from twinlock.registry.definition import Definition
from twinlock.registry.model import Actor
from twinlock.registry.preshared import PresharedKey
from twinlock.registry.store import Registry

OWN_KEY = PrivateKey(bytes([8] * 31 + [72]))


@dataclass(frozen=True)
class Cloud:
    registry: Registry
    vault: Vault
    ended: list[str] = field(default_factory=list)  # machines
    name: str = "lab"
    region: str = "eu-west-1"

    def actor(self) -> Actor:
        return ALICE

    def envelope(self) -> Vault:
        return self.vault

    def envelope_of(self, region: str, environment: str, key: str) -> Vault:
        return self.vault

    def terminate(self, slot: str, instance_id: str) -> None:
        self.ended.append(instance_id)


def environment() -> Definition:
    """In which every option of a peer's file may be used: pre-shared keys, the internet, a floating address."""
    locked = replace(a_tenant("locked", "10.64.4.0/24", approval="auto"), preshared_keys=True)
    tenants = [replace(one, internet=one.name == "red") for one in definition().tenants]
    return replace(definition(), tenants=(*tenants, locked), floating_address="198.51.100.20")


def inhabited(vault: Vault) -> MemoryTable:
    """Its registry: two gateways that are well, one peer approved, one waiting, one with a pre-shared key."""
    made = MemoryTable(environment())
    registry = Registry(made)
    gateways_are_up(registry, int(time.time()) + 1000, applied={"red": 9, "locked": 9}, ways=9)
    registry.data_keys.claim(vault.new("locked", 1, 0))
    registry.enrol(BOB, "red", "laptop", OWN_KEY.public())
    registry.approve(CAROL, "red", "laptop")
    registry.enrol(BOB, "red", "waiting", public_key(2))
    sealed = registry.data_keys.current("locked")
    assert sealed is not None
    wrapped = vault.open(sealed).wrap(PresharedKey(b"p" * 32), public_key(3))
    registry.enrol(BOB, "locked", "desk", public_key(3), None, wrapped)
    return made


def lay_sound_files(folder: Path, table: MemoryTable) -> None:
    """A private key, a list of peers, a backup and a stack file, as they should be."""
    (folder / "own.key").write_text(OWN_KEY.reveal())
    (folder / "peers.yaml").write_text(f"tenants: {{red: {{new: {{public_key: {public_key(4)}}}}}}}")
    taken = backup.take(table, environment(), 1_700_000_000)
    (folder / "lab.registry").write_text(backup.to_text(taken))
    (folder / "keys").mkdir()
    shutil.copy(ROOT / "lab/stack/Pulumi.lab.yaml", folder)


@pytest.fixture
def cloud(tmp_path, monkeypatch) -> Cloud:
    """An environment whose registry is in memory; nothing outside answers, no program is installed."""
    vault = Vault("lab")
    made = inhabited(vault)
    cloud = Cloud(Registry(made), vault)
    lay_files(tmp_path)
    lay_sound_files(tmp_path, made)
    monkeypatch.chdir(tmp_path)
    for name in tuple(os.environ):
        if name.startswith(("AWS_", "TWINLOCK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setattr("twinlock.cli.options.open_environment", lambda name: cloud)
    # Whoever waits sees the time pass.
    slept = [time.monotonic()]
    monkeypatch.setattr(time, "sleep", lambda seconds: slept.append(slept.pop() + max(seconds, 0.01)))
    monkeypatch.setattr(time, "monotonic", lambda: slept[0])

    def not_installed(self, argv, *rest, **named):
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    def becomes(path, argv):
        raise SystemExit(0)

    monkeypatch.setattr(subprocess.Popen, "__init__", not_installed)
    monkeypatch.setattr(os, "execv", becomes)
    return cloud


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_bad_input_is_one_line_and_changes_nothing(path, cloud, tmp_path):
    table, told = cloud.registry.table, []
    items, files = dict(table.items), _files(tmp_path)
    for bad, words in tries(path):
        said = run(*words)
        wrong = wrong_with(said)
        if said.code in (2, 3) and (table.items, _files(tmp_path), cloud.ended) != (items, files, []):
            wrong = "changed something and refused"
        if wrong:
            told.append(f"{bad}: {wrong}")
        _put_back(cloud, tmp_path, items, files)
    assert not told, "\n".join(told)


# How far a command gets with sound input where there is no cloud, no gateway and no other program.
_STOPS_AT = {
    ("preview",): "no pulumi on PATH",
    ("drift",): "no pulumi on PATH",
    ("doctor",): "there is no interface fine",
    ("ci", "run"): "no gateway took the new peer",
    ("gateway", "switch"): "gateway b does not serve",
    ("environment", "destroy"): "no pulumi on PATH",
    ("environment", "policy"): "no AWS credentials",
    ("environment", "recover"): "no pulumi on PATH",
    ("environment", "image"): "no AWS region",
}


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_sound_input_gets_as_far_as_there_is_something_to_be_done(path, cloud):
    """Otherwise bad input would be tried on what refuses all input."""
    said = run("--environment=lab", *path, *words_of(path, sound(path)))
    if path in _STOPS_AT:
        assert _STOPS_AT[path] in said.err + said.out
    else:
        assert said.code == 0, said


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
def test_whatever_the_arguments_are_it_is_one_line_and_changes_nothing(path, cloud, tmp_path, data):
    table = cloud.registry.table
    items, files = dict(table.items), _files(tmp_path)
    names = [one.name for one in TREE[path].params if not getattr(one, "is_flag", False)]
    bad = data.draw(st.sets(st.sampled_from(names), max_size=2), "bad") if names else set()
    values = sound(path) | {name: data.draw(_ANY, name) for name in sorted(bad)}
    switches = data.draw(st.lists(st.sampled_from(flags(path)), unique=True), "flags") if flags(path) else []
    try:
        said = run("--environment=lab", *path, *switches, *words_of(path, values))
        assert wrong_with(said) == ""
        if said.code in (2, 3):
            assert (table.items, _files(tmp_path), cloud.ended) == (items, files, []), "changed something and refused"
    finally:
        _put_back(cloud, tmp_path, items, files)


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
def test_whatever_peers_yaml_holds_it_is_taken_or_one_line_and_changes_nothing(command, cloud, tmp_path, document):
    table = cloud.registry.table
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


def _put_back(cloud: Cloud, folder: Path, items: dict, files: dict[str, bytes]) -> None:
    cloud.registry.table.items = dict(items)
    cloud.ended.clear()
    os.chdir(folder)
    now = _files(folder)
    for path in now.keys() - files.keys():
        Path(path).unlink()
    for path, content in files.items():
        if now.get(path) != content:
            Path(path).write_bytes(content)
