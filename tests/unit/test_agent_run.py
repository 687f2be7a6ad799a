"""The running gateway: following, serving, letting go, and going on without the registry. No process, no socket."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from tests.agent_samples import ANN, BOB, NOW, Machine, definition, peer
from tests.gateway_stage import BOOT, Table, Vault, record, turn
from tests.userdata_samples import gateway_boot
from twinlock.agent import serving
from twinlock.agent.atomic_file import write_private
from twinlock.agent.boot import BOOT_FILE, boot_from, load_boot
from twinlock.agent.bootstrap import Surroundings, bootstrap
from twinlock.agent.channel import Flows, Word
from twinlock.agent.checkup import Checked
from twinlock.agent.console import failed_line, ready_line, say
from twinlock.agent.errors import AgentError, BadBoot, BadState, CloudUnavailable, CommandFailed
from twinlock.agent.follow import Names, follow, read_in_full
from twinlock.agent.interfaces import NAMES, PAIR, pair_address
from twinlock.agent.nft import Nft
from twinlock.agent.ownership import Silent
from twinlock.agent.pair import join, pair_peers
from twinlock.agent.record import load_record
from twinlock.agent.wg import SetPeer, Wg
from twinlock.registry.errors import Corrupt
from twinlock.registry.model import SwitchWish
from userdata.render import boot_json


def test_what_the_firewall_counted_is_kept_and_the_sum_is_in_the_record(stage):
    gateway = stage.gateway()
    gateway.count_once()  # nothing is known yet, and nothing is counted
    turn(stage, gateway)
    stage.machine.counted = {"sent": {"10.100.1.1": (3, 300)}, "refused": {"10.100.1.1": (1, 40)}}
    gateway.count_once()
    turn(stage, gateway, 6)
    assert stage.table.records[-1].traffic is not None
    assert (stage.table.records[-1].traffic["sent_bytes"], stage.table.records[-1].traffic["refused_packets"]) == (
        300,
        1,
    )
    assert stage.table.counted == {"01": ("10.100.1.1 ann 3 300 0 0 1 40",)}


def test_who_still_sends_after_a_revocation_is_in_the_record_until_another_peer_is_there(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.beat()
    del stage.table.peers["ann"]
    stage.table.change("ann")
    turn(stage, gateway)
    end = ("198.51.100.2", 29112)
    stage.machine.shut_out["shut_out"][end]["counter"]["packets"] = 8
    gateway.count_once()
    turn(stage, gateway, 6)
    assert stage.table.records[-1].shut_out == {"ml/ann": 8}
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.2")
    stage.table.change("bob")
    turn(stage, gateway)
    way = stage.machine.peers["wg-way"][BOB]
    way.update(endpoint="198.51.100.2:29112", handshake=str(int(stage.time.now())))
    turn(stage, gateway)
    gateway.server.beat()
    gateway.count_once()
    turn(stage, gateway, 6)
    assert (stage.table.records[-1].shut_out, stage.machine.shut_out["shut_out"]) == ({}, {})


def test_the_first_turns_make_the_box_equal_and_says_so(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    turn(stage, gateway)
    assert ANN in stage.machine.peers["wg-way"]
    said = stage.table.records[-1]
    assert (said.applied, said.serving, said.storage_prefixes) == ({"ml": 1, "ci": 0}, True, ("3.5.64.0/21",))


def test_a_gateway_says_with_its_heartbeat_how_many_clients_hold_a_way_to_it(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    assert stage.table.records[-1].ways == 0, "none, and not unknown: a switch to it has to wait"
    stage.opens_a_way()
    gateway.server.beat()
    turn(stage, gateway, 6.0)
    assert stage.table.records[-1].ways == 1


def test_a_gateway_says_at_once_how_full_it_is_and_whom_it_leaves_out(stage, monkeypatch):
    monkeypatch.setattr("twinlock.agent.desired.HOLDS", 1)
    gateway = stage.gateway()
    turn(stage, gateway)
    assert (stage.table.records[-1].peers, stage.table.records[-1].left_out) == (1, 0)
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.8")
    stage.table.change("bob")
    turn(stage, gateway)
    assert (stage.table.records[-1].peers, stage.table.records[-1].left_out) == (1, 1)


def test_an_idle_turn_costs_one_small_read_and_a_lease(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    turn(stage, gateway)
    stage.table.reads.clear()
    turn(stage, gateway)
    # The twin was never heard here: its key is looked for.
    assert stage.table.reads == ["generations", "switch", "gateways", "lease"]


def test_a_change_is_fetched_by_name_applied_and_reported_in_oneturn(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.2")
    stage.table.change("bob")
    stage.table.reads.clear()
    turn(stage, gateway)
    assert "some ['bob']" in stage.table.reads
    assert "full" not in stage.table.reads
    assert BOB in stage.machine.peers["wg-way"]
    assert stage.table.records[-1].applied["ml"] == 2


def test_a_gap_in_the_changes_is_a_full_read():
    table = Table(peer())
    last = read_in_full(table, None)
    table.numbers["ml"] = 9
    table.peers = {"bob": peer("bob", BOB, "10.100.1.2")}
    assert set(follow(table, last, Names()).peers["ml"]) == {BOB}
    assert "full" in table.reads[-1]


def test_a_generation_that_went_back_is_a_full_read():
    table = Table(peer())
    table.numbers["ml"] = 9
    last = read_in_full(table, None)
    table.numbers["ml"] = 3
    table.peers = {}
    assert follow(table, last, Names()).peers["ml"] == {}


def test_everything_is_read_again_every_five_minutes(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.table.peers = {}  # without a generation: a restored table, or somebody's mistake
    turn(stage, gateway, 299)
    assert ANN in stage.machine.peers["wg-way"]
    turn(stage, gateway, 2)
    assert stage.machine.peers["wg-way"] == {}


def test_who_is_to_be_served_is_judged_anew_in_full_every_five_minutes(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    shared = gateway.follower._shared
    shared.want = dataclasses.replace(shared.want, peers={})  # a mistake of judging changes alone, if there ever is one
    turn(stage, gateway, 200)
    assert shared.want.peers == {}
    turn(stage, gateway, 101)
    assert set(shared.want.peers) == set(stage.machine.peers["wg-way"]) == {ANN}


def test_a_new_definition_is_seen_within_seconds(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    tenants = tuple(dataclasses.replace(tenant, storage=False) for tenant in stage.table.what.tenants)
    stage.table.what = definition(tenants=tenants)
    turn(stage, gateway, 15)
    flushed = [c["flush"].get("set", {}).get("name") for c in stage.machine.transactions[-1] if "flush" in c]
    added = {
        c["add"]["element"]["name"]: c["add"]["element"]["elem"] for c in stage.machine.transactions[-1] if "add" in c
    }
    assert "storage_tenants" in flushed
    assert len(added["storage_tenants"]) == 1, "what proofs of transfer come from, and no tenant"


def test_a_client_is_called_only_by_whoever_serves(stage):
    stage.table.owned_by("b")
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    assert gateway.server.call_once() == 0
    stage.table.owned_by("a")
    turn(stage, gateway)
    assert stage.machine.peers["wg-service"][ANN]["endpoint"] == "198.51.100.2:29112"


def _looks(stage, gateway, seconds: float) -> int:
    """How often the ways are read meanwhile."""
    before = stage.machine.asked.count(("wg", "show", "wg-way", "dump"))
    for _ in range(round(seconds / 0.2)):
        stage.time.at += 0.2
        gateway.server.beat()
    return stage.machine.asked.count(("wg", "show", "wg-way", "dump")) - before


def test_tens_of_thousands_are_read_rarely_where_nothing_happens_and_at_once_where_something_does(stage, monkeypatch):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    _looks(stage, gateway, 5)  # it has begun to serve, and calls
    assert 8 <= _looks(stage, gateway, 10) <= 10
    monkeypatch.setattr(serving, "_IDLE_PEERS", 0.1)  # as if there were as many as take ten seconds and more
    _looks(stage, gateway, 2)
    assert 2 <= _looks(stage, gateway, 20) <= 3
    _looks(stage, gateway, 1)
    monkeypatch.setattr(serving, "set_gate", lambda nft, gates: True)  # a way was answered
    assert _looks(stage, gateway, 0.4) >= 1
    monkeypatch.setattr(serving, "set_gate", lambda nft, gates: False)
    _looks(stage, gateway, 15)
    stage.machine.peers["wg-way"][ANN]["endpoint"] = "198.51.100.2:29113"
    while not _looks(stage, gateway, 0.2):
        pass
    assert _looks(stage, gateway, 1.4) == 1, "what a look had to tell may not have been all of it"
    assert _looks(stage, gateway, 5) == 0


def test_when_no_gateway_is_left_the_next_one_calls_the_ways_that_its_slot_had(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.beat()
    turn(stage, gateway, 5)
    stage.machine.peers = {name: {} for name in stage.machine.peers}  # a new machine
    stage.machine.served = set()
    gateway = stage.gateway()
    turn(stage, gateway)
    gateway.server.beat()
    assert stage.machine.peers["wg-way"][ANN] == {
        "allowed": "(none)",
        "endpoint": "198.51.100.2:29112",
        "keepalive": "25",
    }
    turn(stage, gateway, 30)
    assert stage.table.kept["r"], "not forgotten before the client would have knocked by itself"


def test_a_remembered_way_does_not_bring_back_a_peer_that_is_revoked_meanwhile(stage, monkeypatch):
    gateway = stage.gateway()
    turn(stage, gateway)

    def revoked_meanwhile(way, now):
        stage.table.peers.clear()
        stage.table.change("ann")
        gateway.follower.follow_once()
        return [SetPeer(public_key=ANN, endpoint="198.51.100.2:29112", keepalive=25)]

    monkeypatch.setattr(gateway.server._ways, "calls", revoked_meanwhile)
    gateway.server.beat()
    assert ANN not in stage.machine.peers["wg-way"]


def test_whoever_lost_the_lease_lets_go_of_every_client(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.call_once()
    stage.table.owned_by("b")
    turn(stage, gateway)
    assert stage.machine.peers["wg-service"] == {}
    assert gateway.server.call_once() == 0
    turn(stage, gateway)
    assert stage.table.records[-1].serving is False


def test_clients_that_a_crashed_agent_had_called_are_let_go_when_another_serves(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.call_once()
    stage.table.owned_by("b")
    turn(stage, stage.gateway())
    assert stage.machine.peers["wg-service"] == {}


def _hear(gateway, **changes):
    gateway.own.events.put(Word(**{"slot": "b", "serving": False, "term": 0, **changes}))
    gateway.server.turn()


def test_who_takes_over_asks_clients_for_the_connections_that_ended_with_the_old_owner(stage):
    stage.table.owned_by("b")
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gone = "10.100.9.9:7>52.216.10.10:443"  # of somebody who may not come in any more
    gateway.own.events.put(Flows(slot="b", flows=("10.100.1.1:38012>52.216.10.10:443", gone)))
    _hear(gateway, serving=True, term=4)
    _hear(gateway, term=4, gives="a")
    assert stage.packets == [], "it was called just now"
    for _ in range(20):
        stage.time.at += 0.2
        gateway.server.beat()
    (packet,) = {packet for _, packet in stage.packets}
    assert [address for address, _ in stage.packets] == ["10.100.1.1"] * 4
    assert packet[12:24].hex() == "34d80a0a" + "0a640101" + "01bb" + f"{38012:04x}"


def test_the_twins_are_told_of_connections_by_whoever_serves(stage):
    stage.machine.flows = (
        "tcp      6 431999 ESTABLISHED src=10.100.1.1 dst=52.216.10.10 sport=38012 dport=443 src=52.216.10.10 "
        "dst=10.0.1.10 sport=443 dport=38012 [ASSURED] mark=0 use=1\n"
        "tcp      6 431999 ESTABLISHED src=10.0.1.10 dst=52.94.0.10 sport=1 dport=443 src=52.94.0.10 "
        "dst=10.0.1.10 sport=443 dport=1 [ASSURED] mark=0 use=1\n"
    )
    gateway = stage.gateway()
    gateway.server.tell_flows()
    assert not stage.said
    turn(stage, gateway)
    gateway.server.tell_flows()
    gateway.server.tell_flows()
    told = [said for said in stage.said if isinstance(said, Flows)]
    assert told == [Flows(slot="a", flows=("10.100.1.1:38012>52.216.10.10:443",))], "once, and not the gateway's own"


def test_a_switch_lets_go_first_says_who_is_next_and_does_not_take_it_back(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.call_once()
    _hear(gateway)
    stage.table.wish = SwitchWish(to="b", asked_ms=1)
    turn(stage, gateway, 0.5)
    _hear(gateway)
    assert not gateway.serving
    assert stage.machine.peers["wg-service"] == {}
    assert stage.said[-1] == Word(slot="a", serving=False, term=1, gives="b")
    turn(stage, gateway, 0.5)
    assert not gateway.serving


def test_a_wish_from_before_the_start_moves_nobody(stage):
    stage.table.wish = SwitchWish(to="b", asked_ms=1)
    gateway = stage.gateway()
    for _ in range(3):
        turn(stage, gateway, 0.3)
        _hear(gateway)
    assert gateway.serving


def test_nothing_is_handed_to_a_twin_that_is_not_heard(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.table.wish = SwitchWish(to="b", asked_ms=1)
    turn(stage, gateway)
    turn(stage, gateway)
    assert gateway.serving


def test_a_twin_that_falls_silent_and_speaks_again_within_one_turn_is_said_to_be_heard(stage, caplog):
    """On a busy machine both events wait in the queue; what is said last has to be true."""
    gateway = stage.gateway()
    turn(stage, gateway)
    with caplog.at_level("INFO", "twinlock.agent"):
        _hear(gateway)
        gateway.own.events.put(Silent(slot="b"))
        _hear(gateway)
    said = [line for line in caplog.messages if line.startswith("gateway b:")]
    assert said == ["gateway b: heard", "gateway b: silent", "gateway b: heard"]


def test_a_gateway_that_was_late_itself_takes_no_twin_for_silent(stage, caplog):
    """Its main thread stood still for two seconds: the registry's answer and the twin's words wait in the queue."""
    stage.table.owned_by("b")
    gateway = stage.gateway()
    turn(stage, gateway)
    _hear(gateway, serving=True, term=4)
    stage.time.at += 2.0
    with caplog.at_level("INFO", "twinlock.agent"):
        gateway.ask_once()
        _hear(gateway, serving=True, term=4)
    assert [line for line in caplog.messages if "silent" in line] == []


def test_a_twin_whose_agent_says_nothing_for_a_second_is_silent(stage, caplog):
    gateway = stage.gateway()
    turn(stage, gateway)
    _hear(gateway)
    with caplog.at_level("INFO", "twinlock.agent"):
        turn(stage, gateway, 0.9)
        assert caplog.messages == []
        turn(stage, gateway, 0.2)
    assert caplog.messages[0] == "gateway b: its agent is silent"


def test_an_owner_that_loses_its_twin_asks_at_once_whether_it_still_serves(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    _hear(gateway)
    gateway._wake.clear()
    gateway.own.events.put(Silent(slot="b"))
    gateway.server.turn()
    assert gateway._wake.is_set()


def test_a_client_that_says_nothing_after_a_takeover_is_nudged_in_the_session_that_it_has(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.call_once()
    stage.machine.peers["wg-service"][ANN].update(handshake=str(NOW), received="92")
    gateway.server.call_once()
    stage.machine.asked.clear()
    assert gateway.server.call_once() == 0
    said = ("peer", ANN, "persistent-keepalive", "0", "peer", ANN, "persistent-keepalive", "25")
    assert ("wg", "set", "wg-service", *said) in stage.machine.asked


def test_who_is_given_the_shard_calls_at_once(stage):
    stage.table.owned_by("b")
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    _hear(gateway, serving=True, term=4)
    _hear(gateway, term=4, gives="a")
    assert gateway.serving
    assert ANN in stage.machine.peers["wg-service"]
    (gate,) = [c["add"]["element"] for c in stage.machine.transactions[-1] if "add" in c]
    assert (gate["name"], gate["elem"]) == ("open", [{"elem": {"val": 0, "timeout": 1}}])


def test_a_gateway_that_lost_its_interface_hands_over_and_takes_nothing(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    _hear(gateway)
    stage.machine.fails = "wg show wg-service"
    gateway.server.careful(gateway.server.beat)
    gateway.server.careful(gateway.server.turn)
    assert not gateway.serving
    gateway.own.events.put(Word(slot="b", serving=False, term=9, gives="a"))
    gateway.server.careful(gateway.server.turn)
    assert not gateway.serving


def test_letting_go_is_tried_again_until_it_is_done(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    gateway.server.call_once()
    stage.table.owned_by("b")
    stage.machine.fails = "wg set wg-service"
    with pytest.raises(CommandFailed):
        turn(stage, gateway)
    assert gateway.server.call_once() == 0
    stage.machine.fails = ""
    turn(stage, gateway)
    assert stage.machine.peers["wg-service"] == {}


def test_who_expires_is_shut_out_while_the_registry_hangs(stage):
    """Nothing but the clock is asked: a look at the registry may take seconds."""
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.2", expires_at=NOW + 5)
    gateway = stage.gateway()
    gateway.follower.follow_once()
    asked = len(stage.table.reads)
    stage.time.at += 4.9
    assert gateway.server.expire_once() == 0
    stage.time.at += 0.1
    assert gateway.server.expire_once() == 1
    assert set(stage.machine.peers["wg-way"]) == {ANN}
    assert gateway.server.expire_once() == 0
    assert len(stage.table.reads) == asked


def test_without_the_registry_the_gateway_goes_on_and_peers_still_expire(stage):
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.2", expires_at=NOW + 100)
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.opens_a_way()
    stage.table.gone = True
    turn(stage, gateway, 3600)
    assert set(stage.machine.peers["wg-way"]) == {ANN}
    assert gateway.serving
    stage.opens_a_way()
    assert gateway.server.call_once() == 0, "no twin either: the other one may have called them"
    _hear(gateway)
    assert gateway.server.call_once() == 1


def test_a_restarted_agent_without_the_registry_starts_from_disk(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    turn(stage, gateway)
    stage.table.gone, stage.machine.peers["wg-way"], stage.machine.served = True, {}, set()
    gateway = stage.gateway()
    turn(stage, gateway)
    assert ANN in stage.machine.peers["wg-way"]
    assert gateway.serving


def test_a_gateway_that_comes_back_steals_no_client_from_the_one_that_took_over(stage):
    turn(stage, stage.gateway())
    stage.table.owned_by("b")
    gateway = stage.gateway()
    stage.opens_a_way()
    assert gateway.server.call_once() == 0
    calls: list[int] = []
    ask = stage.table._ask
    stage.table._ask = lambda what: (ask(what), calls.append(gateway.server.call_once()))
    turn(stage, gateway)
    assert set(calls) == {0}, "at no moment of its first turn"
    assert not gateway.serving


def test_when_the_registry_is_back_its_word_counts(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.table.gone = True
    turn(stage, gateway)
    stage.table.gone, stage.table.peers = False, {}
    stage.table.owned_by("b")
    stage.table.change("ann")
    turn(stage, gateway)
    assert stage.machine.peers["wg-way"] == {}
    assert not gateway.serving


def test_what_was_not_applied_is_not_reported_as_applied(stage):
    gateway = stage.gateway()
    turn(stage, gateway)
    stage.table.peers["bob"] = peer("bob", BOB, "10.100.1.2")
    stage.table.change("bob")
    stage.machine.fails = "wg addconf wg-way"
    turn(stage, gateway, 6)
    assert stage.table.records[-1].applied["ml"] == 1
    stage.machine.fails = ""
    turn(stage, gateway)
    assert stage.table.records[-1].applied["ml"] == 2


def test_unreadable_state_stops_the_agent_and_is_never_read_as_empty(stage, tmp_path):
    (tmp_path / "state.json").write_text('{"version": 1, "peers"')
    with pytest.raises(BadState, match="delete it"):
        stage.gateway()


def test_an_item_that_this_version_did_not_write_stops_nothing_that_runs(stage):
    gateway = stage.gateway()
    turn(stage, gateway)

    def corrupt():
        raise Corrupt("meta/ml: generation is no number")

    stage.table.generations = corrupt
    turn(stage, gateway)
    assert ANN in stage.machine.peers["wg-way"]


def test_something_unforeseen_ends_the_process_rather_than_one_thread(stage, monkeypatch):
    monkeypatch.setattr(serving, "_BEAT_SECONDS", 0.01)
    gateway = stage.gateway()

    def broken():
        raise ZeroDivisionError

    stage.table.generations = broken
    with pytest.raises(ZeroDivisionError):
        gateway.run()
    left = [each for each in threading.enumerate() if each.daemon and each.name in ("channel", "follower", "lease")]
    for each in left:
        each.join(5)
    assert not [each.name for each in left if each.is_alive()]


def test_a_write_that_died_half_way_is_no_obstacle(tmp_path):
    (tmp_path / ".state.json.part").write_text("half")
    write_private(tmp_path / "state.json", "whole")
    assert (tmp_path / "state.json").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_only_twins_that_the_user_data_names_join_the_pair_channel():
    records = (record("b", private_address="10.66.6.6"), record("z"), record("a"), record("b", pair_public_key="no"))
    (twin,) = pair_peers(BOOT, records)
    assert twin.endpoint == "10.0.2.10:51823", "where the user data says, whatever the record says"
    assert twin.allowed_ips == (f"{pair_address(('a', 'b'), 'b')}/128",)


def test_a_replaced_twin_takes_the_place_of_the_old_one():
    machine = Machine()
    join(Wg(machine), pair_peers(BOOT, (record("b"),)))
    join(Wg(machine), pair_peers(BOOT, (record("b", pair_public_key=ANN),)))
    assert set(machine.peers[PAIR]) == {ANN}


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "51820"), ("port", True), ("twins", "b"), ("private_address", "10.0.1"), ("gateway_address", "10.0.0.1")],
)
def test_boot_arguments_of_another_kind_are_refused_by_name(name, value):
    document = {**json.loads(boot_json(gateway_boot())), name: value}
    with pytest.raises(BadBoot, match=name if name != "private_address" else "10.0.1"):
        boot_from(document, "boot.json")


def test_boot_arguments_of_another_version_are_refused(tmp_path):
    document = json.loads(boot_json(gateway_boot()))
    del document["mtu"]
    with pytest.raises(BadBoot, match="mtu"):
        boot_from(document, "boot.json")
    with pytest.raises(BadBoot, match="user data"):
        load_boot(tmp_path / BOOT_FILE.name)


@pytest.fixture
def around(tmp_path):
    machine = Machine()
    machine.peers = {}

    def runner(words, stdin):
        match tuple(words):
            case ("wg-quick", "up", name):
                assert name not in machine.peers
                machine.peers[name] = {}
            case ("wg-quick", "down", name):
                del machine.peers[name]
            case _:
                return machine(words, stdin)
        return ""

    waits: list[float] = []
    found = Surroundings(
        registry=Table(),
        secrets=Vault(),
        instance_id=lambda: "i-1",
        wg=Wg(runner),
        nft=Nft(runner),
        state_folder=tmp_path,
        wireguard_folder=tmp_path / "wireguard",
        now=lambda: NOW,
        sleep=waits.append,
    )
    return found, machine, waits


def test_bootstrap_raises_every_tunnel_and_registers_last(around):
    outside, machine, _ = around
    said = bootstrap(BOOT, outside)
    assert set(machine.peers) == set(NAMES)
    assert outside.registry.reads[-1] == "put"
    assert outside.registry.records == [said]
    assert load_record(outside.state_folder) == said
    text = (outside.wireguard_folder / "wg-service.conf").read_text()
    assert "ListenPort = 51821" in text
    assert "Address = 10.100.0.1/16" in text
    assert "Table = off" in text
    assert (outside.wireguard_folder / "wg-service.conf").stat().st_mode & 0o777 == 0o600


def test_no_private_key_is_ever_an_argument_or_a_message(around, caplog):
    outside, machine, _ = around
    bootstrap(BOOT, outside)
    secrets = [key.text() for key in outside.secrets.kept.values()]
    secrets.append((outside.state_folder / "pair.key").read_text().strip())
    assert len(secrets) == 3
    for secret in secrets:
        assert not [words for words in machine.asked if secret in " ".join(words)]
        assert secret not in caplog.text


def test_bootstrap_again_leaves_tunnels_and_keys_as_they_are(around):
    outside, machine, _ = around
    first = bootstrap(BOOT, outside)
    assert bootstrap(BOOT, outside) == first
    assert not [words for words in machine.asked if "down" in words]


def test_bootstrap_tries_again_with_longer_and_longer_waits(around):
    outside, _, waits = around
    outside.secrets.gone = 6  # each attempt asks for two identities
    bootstrap(BOOT, outside)
    assert waits == [1.0, 2.0, 4.0]


def test_a_bootstrap_that_fails_registers_nothing(around):
    outside, _, waits = around
    outside.secrets.gone = 10**6
    with pytest.raises(CloudUnavailable, match="no answer"):
        bootstrap(BOOT, outside)
    assert outside.registry.records == []
    assert len(waits) == 8


def test_a_gateway_that_reboots_without_the_cloud_starts_from_its_own_disk(around):
    outside, machine, waits = around
    first = bootstrap(BOOT, outside)
    machine.peers.clear()
    outside.registry.gone = True
    assert bootstrap(BOOT, outside) == first
    assert set(machine.peers) == set(NAMES)
    assert waits == []


@pytest.mark.parametrize("after", range(1, 5))
def test_a_bootstrap_that_was_killed_at_any_read_ends_well_the_next_time(around, after):
    outside, _, _ = around

    class Killed(BaseException):
        pass

    asked, ask = [], outside.registry._ask

    def dying(what):
        asked.append(what)
        if len(asked) == after:
            raise Killed
        ask(what)

    outside.registry._ask = dying
    with pytest.raises(Killed):
        bootstrap(BOOT, outside)
    outside.registry._ask = ask
    said = bootstrap(BOOT, outside)
    assert outside.registry.identities["service"].public_key == said.service_public_key
    assert outside.registry.identities["way#a"].public_key == said.way_public_key


def test_the_console_line_is_one_line(tmp_path):
    console = tmp_path / "console"
    console.touch()
    say(failed_line("a", "secret x:\n  no answer"), console)
    assert console.read_text() == "twinlock: gateway a bootstrap failed: secret x: no answer\n"
    assert ready_line("a", "S=", "W=") == "twinlock: gateway a ready service=S= way=W="


def test_a_machine_without_a_console_is_no_error(tmp_path):
    say("twinlock: gateway a ready", tmp_path / "no" / "console")


def test_each_error_of_the_agent_is_of_one_tree():
    assert all(issubclass(kind, AgentError) for kind in (BadBoot, BadState, CloudUnavailable, CommandFailed))


def _watch(stage, gateway, turns: int, failing: dict[str, str] | None = None) -> None:
    for _ in range(turns):
        gateway.own.events.put(Checked(failing=failing or {}, answers={}))
        turn(stage, gateway, 5.0)


def test_a_gateway_that_serves_has_the_machine_of_a_twin_that_hangs_replaced_once(stage, caplog):
    gateway = stage.gateway()
    stage.table.twins = (record("b"),)
    _watch(stage, gateway, 12)
    assert not stage.reported, "a reboot is over within a minute"
    with caplog.at_level("INFO"):
        _watch(stage, gateway, 40)
    assert stage.reported == ["i-b"], "and not again for ten minutes"
    assert "gateway b: nothing heard for 6" in caplog.text
    assert "instance i-b is reported as unhealthy" in caplog.text


def test_a_gateway_that_is_not_well_itself_has_nobody_replaced(stage):
    gateway = stage.gateway()
    stage.table.twins = (record("b"),)
    _watch(stage, gateway, 40, {"transfer": "GET: timed out"})
    assert not stage.reported


def test_a_gateway_that_lost_the_registry_for_a_while_has_nobody_replaced_at_once(stage):
    gateway = stage.gateway()
    stage.table.twins = (record("b"),)
    _watch(stage, gateway, 10)
    stage.table.gone = True
    _watch(stage, gateway, 10)
    stage.table.gone = False
    _watch(stage, gateway, 8)
    assert not stage.reported


def _fields(caplog) -> dict[str, dict[str, str]]:
    return {one.fields["TWINLOCK_EVENT"]: one.fields for one in caplog.records if hasattr(one, "fields")}


def _standby(stage):
    """Stands by: the twin serves, and was heard just now."""
    gateway = stage.gateway()
    stage.table.owned_by("b")
    turn(stage, gateway)
    stage.opens_a_way()
    _hear(gateway, serving=True, term=4)
    gateway.server.turn()
    assert not gateway.serving
    return gateway


def test_each_phase_of_a_takeover_goes_to_the_journal_and_into_the_record(stage, caplog):
    gateway = _standby(stage)
    with caplog.at_level("INFO", "twinlock.agent"):
        stage.time.at += 0.3
        gateway.own.events.put(Silent(slot="b"))
        gateway.server.turn()
        stage.time.at += 0.05
        gateway.ask_once()
        gateway.server.turn()
        assert gateway.serving
        stage.machine.peers["wg-service"][ANN].update(handshake=str(int(stage.time.now())))
        stage.time.at += 0.12
        gateway.server.beat()
    found = _fields(caplog)
    assert found["takeover"]["TWINLOCK_DETECTION_MS"] == "300"
    assert found["takeover"]["TWINLOCK_LEASE_MS"] == "50"
    assert (found["takeover"]["TWINLOCK_CALLS_MS"], found["takeover"]["TWINLOCK_CALLED"]) == ("0", "1")
    assert found["answer"]["TWINLOCK_ANSWERS_MS"] == "120"
    turn(stage, gateway)
    said = dict(stage.table.records[-1].phases)
    assert said.pop("taken_at") - NOW in (0, 1, 2)
    assert said == {
        "switch": 0, "called": 1, "detection_ms": 300, "lease_ms": 50, "calls_ms": 0, "answers_ms": 120,
    }  # fmt: skip


def test_a_switch_has_no_detection_and_who_let_go_says_how_long_that_took(stage, caplog):
    gateway = _standby(stage)
    with caplog.at_level("INFO", "twinlock.agent"):
        gateway.own.events.put(Word(slot="b", serving=False, term=4, gives="a"))
        gateway.server.turn()
        assert gateway.serving
        stage.time.at += 5
        _hear(gateway, serving=True, term=9)
        gateway.server.turn()
    found = _fields(caplog)
    assert "TWINLOCK_DETECTION_MS" not in found["switch"]
    assert found["switch"]["TWINLOCK_SWITCH"] == "1"
    assert found["let-go"]["TWINLOCK_LET_GO_MS"] == "0"
    turn(stage, gateway)
    assert {"taken_at", "let_go_at", "let_go_ms"} <= stage.table.records[-1].phases.keys()


def test_a_twin_that_speaks_again_was_no_cause(stage):
    gateway = _standby(stage)
    gateway.own.events.put(Silent(slot="b"))
    gateway.own.turn(gateway.own.events.get())
    assert gateway.own.cause is not None
    _hear(gateway, serving=True, term=4)
    assert gateway.own.cause is None
