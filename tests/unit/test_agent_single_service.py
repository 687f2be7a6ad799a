"""A gateway that serves clients of one peer, from takeover to letting go. No process, no socket."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.agent_samples import ANN, BOB, NOW, peer
from tests.gateway_stage import turn
from tests.userdata_samples import gateway_boot
from twinlock.agent.boot import boot_from
from twinlock.agent.channel import Singles, Word
from twinlock.agent.interfaces import SERVICE, tunnels, wg_quick_text
from twinlock.agent.ownership import Silent
from twinlock.agent.private_key import new_private_key
from twinlock.agent.run import Gateway
from userdata.boot_args import Floating
from userdata.render import boot_json

FLOATING = Floating(
    public_address="203.0.113.12", private_address="10.0.1.11", allocation="eipalloc-1", interface="eni-1"
)
BOOT = boot_from(json.loads(boot_json(gateway_boot(floating=FLOATING))), "boot.json")
END = "198.18.0.13:54850"


class Address:
    """Of the cloud, which says nothing of where it leads."""

    def __init__(self) -> None:
        self.here = False

    def is_here(self) -> bool:
        return self.here

    def take(self) -> None:
        self.here = True


@pytest.fixture
def gateway(stage) -> Gateway:
    made = stage.gateway()
    return Gateway(BOOT, made.follower._reporter._record, replace(made.server._out, floating=Address()))


def _knocks(stage, key=ANN) -> None:
    stage.machine.peers["wg-service"][key].update(endpoint=END, handshake=str(int(stage.time.now())))


def test_everybody_may_knock_on_whoever_serves_and_on_nobody_else(stage, gateway):
    stage.table.owned_by("b")
    turn(stage, gateway)
    gateway.server.beat()
    assert stage.machine.peers["wg-service"] == {}
    stage.table.leases = {}
    turn(stage, gateway)
    gateway.server.beat()
    assert stage.machine.peers["wg-service"] == {ANN: {"allowed": "10.100.1.1/32"}}
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.2")
    stage.table.change("bob")
    turn(stage, gateway, 2.0)
    gateway.server.beat()
    assert BOB in stage.machine.peers["wg-service"]
    del stage.table.peers["bob"]
    stage.table.change("bob")
    turn(stage, gateway, 2.0)
    assert BOB not in stage.machine.peers["wg-service"], "who is revoked does not knock any more"


def test_the_twin_is_told_where_they_are(stage, gateway):
    turn(stage, gateway)
    gateway.server.beat()
    _knocks(stage)
    stage.time.at += 2.0
    gateway.server.beat()
    assert Singles(slot="a", singles={ANN: END}) in stage.said


def test_a_takeover_calls_them_from_the_floating_address_until_they_answer(stage, gateway):
    stage.table.owned_by("b")
    turn(stage, gateway)
    gateway.own.events.put(Word(slot="b", serving=True, term=1))
    gateway.own.events.put(Singles(slot="b", singles={ANN: END}))
    gateway.own.events.put(Silent(slot="b"))
    gateway.server.turn()
    turn(stage, gateway)
    assert gateway.serving
    gateway.server.round()
    called = stage.machine.peers["wg-service"][ANN]
    assert (called["endpoint"], called["keepalive"]) == (END, "25")
    said = [command for commands in stage.machine.transactions for command in commands]
    assert {"add": {"element": {"family": "inet", "table": "twinlock", "name": "single",
            "elem": [{"concat": ["198.18.0.13", 54850]}]}}} in said  # fmt: skip
    before = len(stage.machine.told)
    stage.time.at += 0.11
    gateway.server.round()
    assert len(stage.machine.told) > before, "once more: the address may not be here yet"
    _knocks(stage)
    stage.time.at += 0.11
    gateway.server.round()
    after = len(stage.machine.told)
    stage.time.at += 0.11
    gateway.server.round()
    assert len(stage.machine.told) == after


def test_a_rotated_key_keeps_its_address_only_once_it_knocks(stage, gateway):
    old = replace(peer(), retires_at=NOW + 3600)
    stage.table.peers = {"ann": replace(peer(key=BOB), replaces=ANN), "old": old}
    turn(stage, gateway)
    gateway.server.beat()
    held = stage.machine.peers["wg-service"]
    assert (held[ANN]["allowed"], held[BOB]["allowed"]) == ("10.100.1.1/32", "(none)")
    turn(stage, gateway, 31.0)
    assert BOB in held, "it waits for its first handshake and is no stray"
    _knocks(stage, BOB)
    gateway.server.beat()
    assert held[BOB]["allowed"] == "10.100.1.1/32"
    assert ANN not in held


def test_in_doubt_the_address_is_not_taken(stage, gateway, monkeypatch):
    turn(stage, gateway)
    assert gateway.serving and gateway.floating is not None
    monkeypatch.setattr(gateway.own, "gates", lambda: ("doubt",))
    gateway.floating.step()
    assert not gateway.floating.held
    monkeypatch.undo()
    gateway.floating.step()
    turn(stage, gateway, 6.0)
    assert stage.table.records[-1].floating is True


def test_the_box_takes_what_comes_to_the_floating_address():
    key = new_private_key()
    (service,) = [one for one in tunnels(BOOT, (key, None), (key, None), key) if one.name == SERVICE]
    assert "PostUp = ip address replace 10.0.1.11/32 dev lo\n" in wg_quick_text(service)
