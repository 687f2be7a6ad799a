"""Pre-shared keys as people meet them: in the file of the device that enrolled, and wrapped everywhere else."""

from __future__ import annotations

import json
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command_cloud import enrolled, facts, run
from tests.registry_samples import ALICE, definition, public_key, write_definition
from twinlock.registry.errors import Refused
from twinlock.registry.preshared import data_key_number, make_preshared_key


def opened(cloud, envelope, tenant: str, name: str) -> str:
    """As a gateway does."""
    [peer] = [one for one in cloud.registry.served_peers(tenant) if one.name == name]
    number = data_key_number(peer.preshared)
    [sealed] = [one for one in cloud.registry.data_keys.all(tenant) if one.number == number]
    return envelope.open(sealed).unwrap(peer.preshared, peer.public_key).reveal()


def test_the_enrolling_device_alone_gets_the_key_and_its_file_has_it(cloud, envelope):
    shown = enrolled("laptop", "red", "--preshared-key-file", "laptop.psk")
    key = Path("laptop.psk").read_text().strip()
    assert stat.S_IMODE(Path("laptop.psk").stat().st_mode) == 0o600
    cloud.become("approver")
    facts("peer", "approve", "laptop", "-t", "red")
    assert opened(cloud, envelope, "red", "laptop") == key
    everywhere = json.dumps(shown) + run("peer", "show", "laptop", "-t", "red").stdout + run("peer", "list").stdout
    assert key not in everywhere
    written = ("--private-key-file", "laptop.key", "--preshared-key-file", "laptop.psk", "--out", "tl.conf")
    facts("peer", "config", "laptop", "-t", "red", *written)
    assert Path("tl.conf").read_text().count(f"PresharedKey = {key}\n") == 3, "the service and both ways"
    elsewhere = run("peer", "config", "laptop", "-t", "red").stdout
    assert key not in elsewhere and "# PresharedKey = (the pre-shared key of this peer)" in elsewhere


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("enrol", "pc", "-t", "red", "-k", public_key(5)), "pass --preshared-key-file FILE"),
        (("enrol", "pc", "-t", "tiny", "-k", public_key(5), "--preshared-key-file", "pc.psk"), "leave out pc.psk"),
        (("enrol", "no way", "-t", "red", "-k", public_key(5), "--preshared-key-file", "pc.psk"), "can't be a peer's"),
        (("enrol", "pc", "-t", "red", "-k", public_key(5), "--preshared-key-file", "/nowhere/pc.psk"), "can't write"),
        (("config", "job", "-t", "auto", "--private-key-file", "job.key"), "pass the file that its enrolment wrote"),
        (
            ("config", "job", "-t", "auto", "--private-key-file", "job.key", "--preshared-key-file", "none"),
            "can't read",
        ),
        (
            ("config", "job", "-t", "auto", "--private-key-file", "job.key", "--preshared-key-file", "bad"),
            "base64 of 32",
        ),
    ],
)
def test_what_is_refused_leaves_no_key_and_no_peer(cloud, envelope, words, says):
    enrolled("job", "auto", "--preshared-key-file", "job.psk")
    Path("bad").write_text("c2VjcmV0")
    before = {path.name for path in Path().iterdir()}
    result = run("peer", *words)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (3, "", 1)
    assert says in result.stderr and "c2VjcmV0" not in result.stderr
    assert {path.name for path in Path().iterdir()} == before
    assert cloud.registry.owners([public_key(5)]) == {}


def test_a_file_of_a_key_is_never_overwritten(cloud, envelope):
    enrolled("job", "auto", "--preshared-key-file", "job.psk")
    key = Path("job.psk").read_text()
    again = run("peer", "enrol", "pc", "-t", "auto", "-k", public_key(5), "--preshared-key-file", "job.psk")
    assert (again.exit_code, Path("job.psk").read_text()) == (3, key)


def test_a_rotated_key_has_a_new_one_and_the_old_key_keeps_its_own(cloud, envelope):
    first = enrolled("job", "auto", "--preshared-key-file", "old.psk")
    new = facts("peer", "keygen", "--out", "new.key")["public_key"]
    facts("peer", "rotate", "job", "-t", "auto", "-k", new, "--grace", "1h", "--preshared-key-file", "new.psk")
    served = {one.public_key: one.preshared for one in cloud.registry.served_peers("auto")}
    data_key = envelope.open(cloud.registry.data_keys.current("auto"))
    for public, file in ((first["public_key"], "old.psk"), (new, "new.psk")):
        assert data_key.unwrap(served[public], public).reveal() == Path(file).read_text().strip()


def test_a_list_of_peers_leaves_a_file_for_each(cloud, envelope):
    Path("peers.yaml").write_text(
        "tenants:\n  auto:\n" + "".join(f'    p{n}: {{public_key: "{public_key(n)}"}}\n' for n in range(20))
    )
    assert "pass --preshared-keys FOLDER" in run("peer", "apply", "peers.yaml", "--yes").stderr
    assert cloud.registry.served_peers("auto") == ()
    Path("keys").mkdir()
    assert facts("peer", "apply", "peers.yaml", "--yes", "--preshared-keys", "keys")["applied"] == 20
    for number in range(20):
        key = Path(f"keys/auto.p{number}.psk").read_text().strip()
        assert opened(cloud, envelope, "auto", f"p{number}") == key


def test_a_data_key_is_rotated_and_every_pre_shared_key_stays_what_it_was(cloud, envelope):
    Path("keys").mkdir()
    listed = "".join(f'    p{n}: {{public_key: "{public_key(n)}"}}\n' for n in range(20))
    Path("peers.yaml").write_text("tenants:\n  auto:\n" + listed)
    facts("peer", "apply", "peers.yaml", "--yes", "--preshared-keys", "keys")
    facts("peer", "rotate", "p0", "-t", "auto", "-k", public_key("new"), "--preshared-key-file", "p0.psk")
    facts("peer", "revoke", "p1", "-t", "auto")
    generation = cloud.registry.generations()
    done = facts("registry", "rotate-data-key", "--tenant", "auto")
    assert done == {"tenant": "auto", "number": 2, "wrapped": 20}  # p0 twice, p1 not
    assert [one.number for one in cloud.registry.data_keys.all("auto")] == [2]
    assert cloud.registry.generations() == generation, "gateways need not hear of it"
    for number in range(2, 20):
        assert opened(cloud, envelope, "auto", f"p{number}") == Path(f"keys/auto.p{number}.psk").read_text().strip()
    assert len(cloud.registry.served_peers("auto")) == 20, "what people said of each still stands"
    assert facts("registry", "rotate-data-key", "--tenant", "auto")["number"] == 3


def test_a_rotation_that_broke_off_goes_on(cloud, envelope):
    enrolled("job", "auto", "--preshared-key-file", "job.psk")
    [old] = cloud.registry.data_keys.all("auto")
    cloud.registry.data_keys.replace(old, envelope.new("auto", 2, 2))
    assert facts("registry", "rotate-data-key", "--tenant", "auto") == {"tenant": "auto", "number": 2, "wrapped": 1}
    assert opened(cloud, envelope, "auto", "job") == Path("job.psk").read_text().strip()


def test_nothing_is_wrapped_with_a_data_key_that_is_being_replaced(cloud, envelope):
    """Enrolments run beside a rotation: each is refused or served, and none is left that nobody can open."""
    results, made = [], threading.Event()

    def enrol_many() -> None:
        data_key = envelope.open(cloud.registry.data_keys.current("auto"))
        for number in range(30):
            public = public_key(f"race {number}")
            try:
                cloud.registry.enrol(
                    ALICE, "auto", f"r{number}", public, preshared=data_key.wrap(make_preshared_key(), public)
                )
                results.append("in")
            except Refused as exc:
                assert "rotated meanwhile" in str(exc)
                results.append("refused")
            made.set()

    thread = threading.Thread(target=enrol_many)
    thread.start()
    made.wait(30)
    facts("registry", "rotate-data-key", "--tenant", "auto")
    thread.join()
    assert {"in", "refused"} == set(results)
    [current] = cloud.registry.data_keys.all("auto")
    data_key = envelope.open(current)
    for peer in cloud.registry.served_peers("auto"):
        data_key.unwrap(peer.preshared, peer.public_key)


def test_before_a_gateway_has_made_the_data_key_it_is_said(cloud, envelope, dynamodb, registry_table):
    tenants = tuple(replace(one, preshared_keys=True) for one in definition().tenants)
    write_definition(dynamodb, registry_table, replace(definition(), tenants=tenants, key=envelope.key))
    early = run("peer", "enrol", "pc", "-t", "tiny", "-k", public_key(5), "--preshared-key-file", "pc.psk")
    assert (early.exit_code, "try again in a minute" in early.stderr, Path("pc.psk").exists()) == (3, True, False)
    nothing = run("registry", "rotate-data-key", "--tenant", "strict")
    assert (nothing.exit_code, "has no data key" in nothing.stderr) == (3, True)
