"""Two sides of the service and the way while an identity rotates. No process, no socket."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest

from tests.agent_samples import ANN, BOB, NOW, Machine, peer
from tests.gateway_stage import Table, Vault
from tests.userdata_samples import gateway_boot
from twinlock.agent.boot import boot_from
from twinlock.agent.identities import Identities
from twinlock.agent.identity import take_identity
from twinlock.agent.interfaces import SERVICE, WAY
from twinlock.agent.nft import Nft
from twinlock.agent.sides import SidedWg, merged, unanswered
from twinlock.agent.wg import SetPeer, TunnelPeer
from twinlock.registry.model import Rotation, served_numbers
from userdata.render import boot_json

BOOT = boot_from(json.loads(boot_json(gateway_boot())), "boot.json")
PEERS = {ANN: peer(), BOB: peer("bob", BOB, "10.100.1.2")}


def seen(handshake: int) -> TunnelPeer:
    return TunnelPeer(
        public_key=ANN, endpoint="192.0.2.1:7", allowed_ips=(), handshake=handshake, received=0, sent=0, keepalive=0
    )


def rotation(number: int, until: int = NOW + 60, name: str = "service") -> Rotation:
    return Rotation(name=name, number=number, asked_at=NOW - 60, until=until)


@pytest.fixture
def stage(tmp_path):
    class Stage:
        machine, table, vault, at = Machine(), Table(), Vault(), float(NOW)

    stage = Stage()
    for name, container in (("service", BOOT.service_secret), (f"way#{BOOT.slot}", BOOT.way_secret)):
        take_identity(name, container, stage.table, stage.vault, NOW)
    stage.wg = SidedWg(stage.machine)
    stage.identities = Identities(
        BOOT, stage.table, stage.vault, stage.wg, Nft(stage.machine), tmp_path, lambda: stage.at
    )
    stage.folder = tmp_path
    return stage


def _round(stage, seconds: float = 20.0) -> bool:
    stage.at += seconds
    stage.identities.read()
    return stage.identities.apply(PEERS, nullcontext())


def test_the_old_identity_is_served_until_the_window_ends_and_never_without_the_new_one():
    assert served_numbers(None, NOW) == (0,)
    assert served_numbers(rotation(1), NOW) == (0, 1)
    assert served_numbers(rotation(1), NOW + 60) == (1,)
    assert served_numbers(rotation(2), NOW) == (1, 2)


def test_a_peer_is_where_it_talked_last_and_is_taken_from_where_it_does_not_answer():
    first, second = {ANN: seen(5), BOB: seen(9)}, {ANN: seen(7), BOB: seen(0)}
    assert merged(first, second) == {ANN: seen(7), BOB: seen(9)}
    assert unanswered((first, second)) == ((ANN,), (BOB,))
    assert unanswered(({ANN: seen(0)}, {ANN: seen(0)})) == ((), ())
    knocking = {ANN: replace(seen(0), endpoint=None)}
    assert unanswered((knocking, {ANN: seen(7)})) == ((), ()), "it was not called there, and may still knock"


def test_a_rotation_puts_the_new_identity_beside_the_old_one_and_calls_go_out_from_both(stage):
    _round(stage)
    assert stage.machine.keyed == {"wg-service", "wg-way", "wg-pair"}
    stage.table.rotated["service"] = rotation(1, NOW + 3600)
    assert _round(stage)
    assert stage.machine.keyed == {"wg-service", "wg-service2", "wg-way", "wg-pair"}
    assert "PrivateKey" in (stage.folder / "wg-service2.conf").read_text(), "a reboot without the cloud finds it"
    stage.wg.renew_peers(SERVICE, [SetPeer(public_key=ANN)])
    assert ANN in stage.machine.peers["wg-service"]
    assert ANN in stage.machine.peers["wg-service2"]


def test_a_peer_that_answers_the_new_identity_is_written_down_and_the_last_one_ends_the_rotation(stage):
    stage.table.rotated["service"] = rotation(1, NOW + 3600)
    _round(stage)
    for key in PEERS:
        stage.wg.renew_peers(SERVICE, [SetPeer(public_key=key, endpoint="192.0.2.1:7")])
        stage.machine.peers["wg-service2"][key]["handshake"] = str(NOW)
        stage.wg.peers(SERVICE)
        stage.identities.settle(PEERS)
        assert key not in stage.machine.peers["wg-service"]
        _round(stage)
        assert key in stage.table.marks
        assert ("end" in stage.table.reads) == (key == BOB)


def test_a_look_from_before_the_end_of_a_rotation_sends_nobody_to_the_side_that_is_gone(stage):
    stage.table.rotated["service"] = rotation(1, NOW + 100)
    _round(stage)
    stage.wg.renew_peers(SERVICE, [SetPeer(public_key=ANN)])
    stage.machine.peers["wg-service2"][ANN]["handshake"] = str(NOW)
    stage.wg.peers(SERVICE)
    stage.at = NOW + 101.0
    ended = stage.identities.apply(PEERS, nullcontext())
    assert ended, "the follower ends it between a look and what follows from that look"
    stage.machine.transactions.clear()
    stage.identities.settle(PEERS)
    assert not [command for commands in stage.machine.transactions for command in commands]


def test_sides_change_while_nobody_else_changes_the_box_and_keys_are_asked_for_before(stage):
    sides: list[set[str]] = []

    @contextmanager
    def alone():
        sides.append(set(stage.machine.keyed))
        asked = len(stage.table.reads)
        yield
        assert len(stage.table.reads) == asked, "whoever calls clients waits for no registry"
        sides.append(set(stage.machine.keyed))

    _round(stage)
    stage.table.rotated["service"] = rotation(1, NOW + 3600)
    stage.at += 20
    stage.identities.read()
    assert stage.identities.apply(PEERS, alone())
    before, after = sides
    assert after - before == {"wg-service2"}


def test_the_window_ends_the_old_identity_for_who_did_not_move(stage):
    stage.table.rotated["service"] = rotation(1, NOW + 100)
    _round(stage)
    stage.wg.renew_peers(SERVICE, [SetPeer(public_key=ANN)])
    stage.machine.peers["wg-service"][ANN]["handshake"] = str(NOW)
    assert not _round(stage)
    stage.table.gone = True
    stage.at = NOW + 101.0
    assert stage.identities.apply(PEERS, nullcontext()), "also while the registry does not answer"
    assert stage.machine.peers["wg-service"] == {}
    assert "wg-service" not in stage.machine.keyed


def test_everybody_on_a_way_is_let_in_by_its_next_identity_too(stage):
    stage.wg.set_peers(WAY, [SetPeer(public_key=ANN)])
    stage.table.rotated[f"way#{BOOT.slot}"] = rotation(1, NOW + 3600, f"way#{BOOT.slot}")
    _round(stage)
    assert ANN in stage.machine.peers["wg-way2"]
    assert [command for commands in stage.machine.transactions for command in commands if "add" in command] == [
        {"add": {"element": {"family": "inet", "table": "twinlock", "name": "both_ways", "elem": [0]}}}
    ]


def test_an_agent_that_restarts_in_between_knows_both_sides_from_the_box(stage):
    stage.table.rotated["service"] = rotation(1, NOW + 3600)
    _round(stage)
    assert SidedWg(stage.machine).live(SERVICE) == ("wg-service", "wg-service2")


def test_no_key_of_an_identity_is_ever_an_argument(stage):
    stage.table.rotated["service"] = rotation(1, NOW + 3600)
    _round(stage)
    for key in stage.vault.kept.values():
        assert not [words for words in stage.machine.asked if key.text() in " ".join(words)]
