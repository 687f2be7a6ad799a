"""A running gateway that serves some of sixteen shards: what happens to one shard leaves the others' clients alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.agent_samples import ANN, BOB, EVE, definition, peer
from tests.gateway_stage import SHARDED, Stage, turn
from twinlock.agent.channel import Flows, Said, Word
from twinlock.registry.errors import Unavailable
from twinlock.registry.model import SwitchWish

ANNS, BOBS = 1, 2  # shards
ENDS = {ANN: "198.51.100.2:29112", BOB: "[2001:db8::7]:4040"}


@pytest.fixture
def stage(tmp_path) -> Stage:
    made = Stage(tmp_path, SHARDED)
    ml, ci = definition().tenants
    made.table.what = definition(tenants=(replace(ml, range="10.100.16.0/20"), replace(ci, range="10.100.32.0/19")))
    made.table.peers = {"ann": peer(address="10.100.16.7"), "bob": peer("bob", BOB, "10.100.32.7", "ci")}
    made.table.peers["eve"] = peer("eve", EVE, "10.100.48.9", "ci")  # of a shard that nothing happens to
    made.table.numbers["ci"] = 1
    return made


def _gateway(stage: Stage, *shards: int):
    """Serves these shards, the twin the others; both clients have a way here."""
    stage.table.owned_by("b", set(range(16)) - set(shards))
    stage.table.owned_by("a", shards)
    gateway = stage.gateway()
    turn(stage, gateway)
    for key, end in ENDS.items():
        stage.machine.peers["wg-way"][key].update(endpoint=end, handshake=str(int(stage.time.now())))
    _hear(gateway, *(set(range(16)) - set(shards)))
    gateway.server.call_once()
    assert gateway.own.serving == set(shards)
    return gateway


def _hear(gateway, *serving: int, term: int = 1, gives=()) -> None:
    said = tuple(Said(serving=shard in serving, term=term, gives="a" if shard in gives else "") for shard in range(16))
    gateway.own.events.put(Word(slot="b", serving=bool(serving), term=term, shards=said))
    gateway.server.turn()


def _answered(stage: Stage, *keys: str) -> None:
    for key in keys:
        stage.machine.peers["wg-service"][key].update(handshake=str(int(stage.time.now())), received="92")


def _called(stage: Stage) -> set[str]:
    return set(stage.machine.peers["wg-service"])


def _elements(stage: Stage, name: str) -> list:
    """All that was ever added to a set or map of the firewall."""
    commands = [command for transaction in stage.machine.transactions for command in transaction]
    return [
        element
        for command in commands
        if "add" in command and command["add"]["element"]["name"] == name
        for element in command["add"]["element"]["elem"]
    ]


def test_a_gateway_calls_the_clients_of_its_own_shards_alone(stage):
    gateway = _gateway(stage, ANNS)
    assert _called(stage) == {ANN}
    assert gateway.serving


def test_a_shard_that_comes_leaves_the_sessions_of_the_others_alone(stage):
    gateway = _gateway(stage, ANNS)
    _answered(stage, ANN)
    stage.time.at += 2
    stage.machine.asked.clear()
    _hear(gateway, *(set(range(16)) - {ANNS, BOBS}), gives={BOBS})
    assert _called(stage) == {ANN, BOB}
    gateway.server.call_once()
    assert not [words for words in stage.machine.asked if words[:3] == ("wg", "set", "wg-service") and ANN in words]


def test_a_shard_that_goes_takes_its_clients_alone(stage):
    gateway = _gateway(stage, ANNS, BOBS)
    assert _called(stage) == {ANN, BOB}
    stage.table.wish = SwitchWish(to="b", asked_ms=1, shards=(BOBS,))
    gateway.follower.follow_once()
    gateway.server.turn()
    assert (_called(stage), gateway.own.serving) == ({ANN}, {ANNS})
    said = stage.said[-1]
    assert (said.serving, said.gives, said.shards[BOBS]) == (True, "", Said(serving=False, term=1, gives="b"))
    assert said.shards[ANNS] == Said(serving=True, term=1)


def test_the_gate_of_each_shard_is_its_own(stage):
    gateway = _gateway(stage, ANNS, BOBS)
    _hear(gateway, *range(16), term=9)  # all are the twin's now
    stage.machine.transactions.clear()
    _hear(gateway, *(set(range(16)) - {BOBS}), term=9, gives={BOBS})
    gateway.server.beat()
    assert _elements(stage, "open")[-1:] == [{"elem": {"val": BOBS, "timeout": 1}}]
    assert {element["elem"]["val"] for element in _elements(stage, "open")} == {BOBS}


def test_the_firewall_learns_where_a_client_is_before_it_is_called_and_when_it_has_roamed(stage):
    gateway = _gateway(stage, ANNS, BOBS)
    assert _elements(stage, "called4") == [[{"concat": ["198.51.100.2", 29112]}, ANNS]]
    assert _elements(stage, "called6") == [[{"concat": ["2001:db8::7", 4040]}, BOBS]]
    _answered(stage, ANN, BOB)
    gateway.server.beat()
    stage.machine.transactions.clear()
    stage.machine.peers["wg-service"][ANN]["endpoint"] = "198.51.100.2:29999"
    stage.time.at += 2
    gateway.server.beat()
    first = next(t for t in stage.machine.transactions if "called4" in str(t))
    assert [next(iter(command)) for command in first] == ["delete", "add"]
    assert _elements(stage, "called4") == [[{"concat": ["198.51.100.2", 29999]}, ANNS]]


def test_an_agent_that_was_restarted_makes_the_firewall_know_no_more_than_it_does(stage):
    _gateway(stage, ANNS)
    stage.machine.transactions.clear()
    gateway = stage.gateway()
    turn(stage, gateway)
    gateway.server.beat()
    first = next(t for t in stage.machine.transactions if "called4" in str(t))
    assert {command["flush"]["map"]["name"] for command in first if "flush" in command} == {"called4", "called6"}


def test_a_restart_without_the_registry_goes_on_with_the_shards_that_it_had(stage):
    gateway = _gateway(stage, ANNS)
    turn(stage, gateway)
    stage.table.gone = True
    again = stage.gateway()
    turn(stage, again)
    assert again.own.serving == {ANNS}
    assert again.own.gates()[ANNS] == "doubt"


def test_the_record_says_which_shards_are_served_and_in_an_environment_of_one_says_nothing(stage, tmp_path):
    gateway = _gateway(stage, ANNS, BOBS)
    turn(stage, gateway)
    assert (stage.table.records[-1].serving, stage.table.records[-1].shards) == (True, (ANNS, BOBS))
    one = Stage(tmp_path / "one")
    (tmp_path / "one").mkdir()
    turn(one, one.gateway())
    assert one.table.records[-1].shards is None


def test_the_connections_of_the_shards_that_come_are_asked_for_and_the_others_stay_known(stage):
    gateway = _gateway(stage, ANNS)
    flows = ("10.100.32.7:38012>52.216.10.10:443", "10.100.48.9:7>52.216.10.10:443")
    gateway.own.events.put(Flows(slot="b", flows=flows))
    _hear(gateway, *(set(range(16)) - {ANNS, BOBS}), gives={BOBS})
    for _ in range(3):
        stage.time.at += 0.2
        gateway.server.beat()
    assert {address for address, _ in stage.packets} == {"10.100.32.7"}
    assert [flow.client for flow in gateway.server._flows._heard["b"]] == ["10.100.48.9"]


def test_sixteen_shards_cost_no_more_questions_than_one(stage):
    gateway = _gateway(stage, ANNS)
    turn(stage, gateway)
    stage.table.reads.clear()
    turn(stage, gateway)
    assert stage.table.reads.count("lease") == 1


def test_a_registry_that_does_not_answer_is_no_answer_for_every_shard(stage):
    gateway = _gateway(stage, ANNS)

    def gone(claims, shards):
        raise Unavailable("no answer")

    stage.table.write_leases = gone
    gateway.ask_once()
    gateway.server.turn()
    assert not any(view.answered for view in gateway.own.views)
    assert gateway.own.serving == {ANNS}


def test_the_twins_are_told_of_connections_of_its_own_shards_alone(stage):
    line = (
        "tcp      6 431999 ESTABLISHED src={0} dst=52.216.10.10 sport=7 dport=443 src=52.216.10.10 "
        "dst=10.0.1.10 sport=443 dport=7 [ASSURED] mark=0 use=1\n"
    )
    stage.machine.flows = line.format("10.100.16.7") + line.format("10.100.32.7")
    gateway = _gateway(stage, ANNS)
    gateway.server.tell_flows()
    assert [said.flows for said in stage.said if isinstance(said, Flows)] == [("10.100.16.7:7>52.216.10.10:443",)]
