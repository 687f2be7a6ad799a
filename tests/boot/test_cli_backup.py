"""A registry into a file and back, in another environment: everybody is served as before, and nothing by halves."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.command_cloud import REGION, enrolled, facts
from tests.dynamodb import make_table
from tests.registry_samples import ALICE, BOB, definition, public_key, write_definition
from tests.registry_tables import Around
from twinlock.cli.main import app
from twinlock.registry import backup as backups
from twinlock.registry import keys
from twinlock.registry.dynamodb import DynamoTable
from twinlock.registry.errors import Refused, Unavailable
from twinlock.registry.kms import KmsEnvelope
from twinlock.registry.store import Registry
from twinlock.registry.table import Put


@pytest.fixture
def other(cloud, envelope, dynamodb) -> Registry:
    """An empty environment with a key of its own."""
    table = make_table(dynamodb)
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    tenants = tuple(replace(one, preshared_keys=one.name in ("red", "auto")) for one in definition().tenants)
    write_definition(dynamodb, table, replace(definition(), environment="other", tenants=tenants, key=key))
    record = {"version": 1, "environment": "other", "region": REGION, "table": table}
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name="/twinlock/other/discovery", Value=json.dumps(record), Type="String", Overwrite=True)
    yield Registry(DynamoTable(table, dynamodb))
    dynamodb.delete_table(TableName=table)


def to_other(*words: str):
    return CliRunner().invoke(app, ["--environment", "other", "--json", *words])


def fill(cloud) -> None:
    registry = cloud.registry
    enrolled("job", "auto", "--preshared-key-file", "job.psk")
    for name in ("kept", "gone", "turned"):
        registry.enrol(ALICE, "tiny", name, public_key(name))
        registry.approve(BOB, "tiny", name)
    registry.revoke(BOB, "tiny", "gone")
    registry.rotate(ALICE, "tiny", "turned", public_key("turned anew"), 3600)
    registry.approve(BOB, "tiny", "turned")
    registry.enrol(ALICE, "strict", "waits", public_key("waits"))


def test_a_restored_registry_serves_the_same_peers_and_remembers_the_revoked(cloud, envelope, other):
    fill(cloud)
    facts("registry", "backup", "lab.registry")
    assert stat.S_IMODE(Path("lab.registry").stat().st_mode) == 0o600
    assert Path("job.psk").read_text().strip() not in Path("lab.registry").read_text()
    mine = KmsEnvelope(cloud.client("kms"), "other", other.definition().key)
    for number in (1, 7):  # as gateways do that have booted there
        other.data_keys.claim(mine.new("auto", number, 1))
    done = to_other("registry", "restore", "lab.registry")
    assert done.exit_code == 0, done.stderr
    for tenant in ("auto", "tiny", "strict", "red"):
        assert other.served_peers(tenant) == cloud.registry.served_peers(tenant)
        assert other.peers(tenant) == cloud.registry.peers(tenant)
    assert other.generations() == cloud.registry.generations()
    with pytest.raises(Refused, match="is or was that of"):
        other.enrol(ALICE, "tiny", "again", public_key("gone"))
    [sealed] = other.data_keys.all("auto")
    [job] = other.served_peers("auto")
    assert mine.open(sealed).unwrap(job.preshared, job.public_key).reveal() == Path("job.psk").read_text().strip()
    other.approve(BOB, "strict", "waits")
    again = to_other("registry", "restore", "lab.registry")
    assert (again.exit_code, "holds peers already" in again.stderr) == (3, True)


def test_a_restoration_that_was_broken_off_goes_on_with_the_same_command(cloud, envelope, other, monkeypatch):
    fill(cloud)
    facts("registry", "backup", "lab.registry")
    monkeypatch.setattr(backups, "_BATCH", 4)
    whole = len(Path("lab.registry").read_text().splitlines()) - 2
    written, transact = [], DynamoTable.transact

    def breaks_off(table, writes):
        if len(written) >= 8:
            raise Unavailable("no answer")
        transact(table, writes)
        written.extend(write for write in writes if isinstance(write, Put))

    with monkeypatch.context() as broken:
        broken.setattr(DynamoTable, "transact", breaks_off)
        assert to_other("registry", "restore", "lab.registry").exit_code == 1
    assert 0 < len(written) < whole and other.generations() == {}
    done = to_other("registry", "restore", "lab.registry")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["items"] <= whole - len(written) + 2  # data keys are written again
    for tenant in ("auto", "tiny", "strict", "red"):
        assert other.served_peers(tenant) == cloud.registry.served_peers(tenant)
    assert other.generations() == cloud.registry.generations()


def test_a_restoration_goes_on_in_no_registry_where_somebody_was_meanwhile(cloud, envelope, other):
    fill(cloud)
    facts("registry", "backup", "lab.registry")
    other.enrol(ALICE, "strict", "waits", public_key("somebody else"))
    refused = to_other("registry", "restore", "lab.registry")
    assert (refused.exit_code, "holds peers already" in refused.stderr) == (3, True)
    assert other.peers("tiny") == ()


def test_an_enrolment_while_the_registry_is_read_is_in_the_backup_whole_or_not_at_all(cloud, envelope):
    fill(cloud)
    registry = cloud.registry

    class Meanwhile(Around):
        """Somebody enrols after the addresses of the tenant were read, and before its peers."""

        def query(self, partition, *between):
            yield from self._table.query(partition, *between)
            if partition == keys.address_lease("strict") and "late" not in {p.name for p in registry.peers("strict")}:
                registry.enrol(ALICE, "strict", "late", public_key("late"))

    taken = backups.take(Meanwhile(registry.table), registry.definition(), 1)
    partitions = {(item["pk"], item["sk"]): item for item in taken.items}
    waiting = [item for (part, _), item in partitions.items() if part == keys.pending("strict")]
    assert {item["sk"] for item in waiting} == {"waits", "late"}
    assert all((keys.address_lease("strict"), item["address"]) in partitions for item in waiting)


def test_where_the_old_key_is_out_of_reach_its_peers_are_left_out_and_named(cloud, envelope, other, monkeypatch):
    fill(cloud)
    facts("registry", "backup", "lab.registry")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    refused = to_other("registry", "restore", "lab.registry")
    assert refused.exit_code in (1, 3) and len(refused.stderr.splitlines()) == 1
    assert other.owners([public_key("kept")]) == {}, "nothing by halves"
    done = json.loads(to_other("registry", "restore", "lab.registry", "--without-preshared-keys").stdout)
    assert done["left_out"] == ["auto/job"]
    assert other.served_peers("tiny") == cloud.registry.served_peers("tiny")
    assert other.peers("auto") == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('"twinlock_registry": 1', '"twinlock_registry": 2'), "a newer program"),
        (lambda text: text.replace("10.64.0.", "10.64.9."), "not whole, or was changed"),
        (lambda text: "\n".join(text.splitlines()[:-3]) + "\n", "no backup of a registry"),
        (lambda text: "", "no backup of a registry"),
        (lambda text: "[]\n[]\n[]", "no backup of a registry"),
    ],
)
def test_what_is_no_whole_backup_is_one_line_and_changes_nothing(cloud, envelope, other, change, says):
    fill(cloud)
    facts("registry", "backup", "lab.registry")
    Path("bad").write_text(change(Path("lab.registry").read_text()))
    result = to_other("registry", "restore", "bad")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (3, "", 1)
    assert says in result.stderr
    assert other.generations() == {}
