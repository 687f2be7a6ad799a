"""Keys that have grown old: told everywhere, and rotated by the pipeline that holds them, whatever breaks off."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command_cloud import facts, gateways_are_up, run
from tests.registry_samples import ALICE, definition, write_definition
from twinlock.cli.private_key import read_private_key
from twinlock.registry.dynamodb import DynamoTable
from twinlock.registry.ground import Clock
from twinlock.registry.store import Registry

DAY = 86_400


@pytest.fixture
def old(cloud, dynamodb, registry_table):
    """Makes peers of `auto` or `red` whose keys are so many days, and ten minutes, old, of 100 allowed."""
    gateways_are_up(cloud.registry, 1)
    tenants = tuple(replace(one, max_key_age=100 * DAY) for one in definition().tenants)
    write_definition(dynamodb, registry_table, replace(definition(), tenants=tenants))
    Path("keys").mkdir()

    def make(name: str, days: int, tenant: str = "auto", ttl: int | None = None) -> str:
        then = Registry(DynamoTable(registry_table, dynamodb), Clock(now=lambda: time.time() - days * DAY - 600))
        public = facts("peer", "keygen", "--out", f"keys/{name}.key")["public_key"]
        then.enrol(ALICE, tenant, name, public, ttl)
        if tenant == "red":
            cloud.become("approver")
            facts("peer", "approve", name, "-t", "red")
            cloud.become("enroller")
        return public

    return make


def outcomes(tenant: str = "auto") -> tuple[int, dict[str, str]]:
    result = run("--json", "ci", "rotate-due", "--tenant", tenant, "--keys", "keys")
    return result.exit_code, {one["name"]: one["outcome"] for one in json.loads(result.stdout)["peers"]}


def test_status_list_and_config_say_whose_key_is_due(old):
    old("young", 10)
    old("soon", 95)
    old("due", 101)
    old("ends", 101, ttl=102 * DAY)  # its end comes after its key is due
    old("gone", 99, ttl=99 * DAY + 1200)  # its end comes before
    assert facts("status")["keys"]["auto"] == {"due": 2, "soon": 1}
    assert "tenant auto: 2 keys are due for rotation, 1 soon" in run("status").stderr
    listed = {one["name"]: "key_due_at" in one for one in facts("peer", "list")["peers"]}
    assert listed == {"young": False, "soon": True, "due": True, "ends": True, "gone": False}
    assert "due for rotation for 1 d" in run("peer", "list").stdout
    assert "key is due for rotation in 4 d" in run("peer", "config", "soon", "-t", "auto").stderr
    assert run("peer", "config", "young", "-t", "auto").stderr == ""


def test_a_pipeline_rotates_what_it_holds_and_is_told_of_the_rest(cloud, old):
    before, elsewhere = old("held", 101), old("elsewhere", 101)
    Path("keys/elsewhere.key").unlink()
    old("early", 95)
    old("young", 1)
    assert outcomes() == (1, {"held": "rotated", "elsewhere": "due", "early": "rotated"})
    after = read_private_key(Path("keys/held.key")).public()
    served = {peer.public_key: peer.retires_at for peer in cloud.registry.served_peers("auto")}
    assert after != before and served[after] is None and served[before] is not None
    assert elsewhere in served
    assert sorted(path.name for path in Path("keys").iterdir()) == ["early.key", "held.key", "young.key"]
    assert outcomes() == (1, {"elsewhere": "due"})
    facts("peer", "revoke", "elsewhere", "-t", "auto")
    assert outcomes() == (0, {})


def test_where_somebody_has_to_approve_the_old_key_stays_until_then(cloud, old):
    before = old("laptop", 101, tenant="red")
    assert outcomes("red") == (0, {"laptop": "waiting"})
    assert read_private_key(Path("keys/laptop.key")).public() == before
    assert outcomes("red") == (0, {"laptop": "waiting"}), "nothing is asked twice"
    cloud.become("approver")
    facts("peer", "approve", "laptop", "-t", "red")
    assert outcomes("red") == (0, {"laptop": "rotated"})
    [current] = [peer for peer in cloud.registry.served_peers("red") if peer.retires_at is None]
    assert read_private_key(Path("keys/laptop.key")).public() == current.public_key != before


def test_a_run_that_broke_off_after_the_registry_took_the_key_loses_it_not(cloud, old, monkeypatch):
    before = old("held", 101)
    with monkeypatch.context() as broken:
        broken.setattr("twinlock.cli.rotate_due.Files.settle", _interrupted)
        assert run("ci", "rotate-due", "--tenant", "auto", "--keys", "keys").exit_code != 0
    assert read_private_key(Path("keys/held.key")).public() == before
    assert outcomes() == (0, {"held": "rotated"})
    [current] = [peer for peer in cloud.registry.served_peers("auto") if peer.retires_at is None]
    assert read_private_key(Path("keys/held.key")).public() == current.public_key != before


def _interrupted(files) -> None:
    raise KeyboardInterrupt


def test_a_folder_that_is_not_there_and_a_file_that_is_no_key_are_one_line(old):
    missing = run("ci", "rotate-due", "--tenant", "auto", "--keys", "nowhere")
    assert (missing.exit_code, len(missing.stderr.splitlines())) == (3, 1)
    old("held", 101)
    Path("keys/held.key").write_text("nonsense")
    broken = run("ci", "rotate-due", "--tenant", "auto", "--keys", "keys")
    assert (broken.exit_code, len(broken.stderr.splitlines())) == (3, 1)
