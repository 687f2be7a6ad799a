"""From the last state to the box: what is desired, the difference, what wg and nft are told."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent_samples import ANN, BOB, EVE, NOW, OWN, Machine, dump_line, peer, state
from twinlock.agent.box import Box
from twinlock.agent.calls import Call
from twinlock.agent.changes import Changes, Have, diff
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import desired
from twinlock.agent.errors import CommandFailed
from twinlock.agent.gate import set_gate
from twinlock.agent.nft import Nft, prefix
from twinlock.agent.wg import Wg, parse_dump

PROBE = "10.100.0.2"  # what proofs of transfer come from


def _box(machine: Machine) -> Box:
    return Box(Wg(machine), Nft(machine), Conntrack(machine))


def test_the_text_of_wg_show_dump_is_understood():
    line = dump_line(ANN, "198.51.100.2:29112", "10.100.1.1/32", 1795213289, 1536, 1331, 25)
    found = {peer.public_key: peer for peer in parse_dump(f"{OWN}\n{line}\n{dump_line(BOB)}\n", {}).values()}
    assert found[ANN].endpoint == "198.51.100.2:29112"
    assert found[ANN].allowed_ips == ("10.100.1.1/32",)
    assert (found[ANN].handshake, found[ANN].received, found[ANN].keepalive) == (1795213289, 1536, 25)
    assert (found[BOB].endpoint, found[BOB].allowed_ips, found[BOB].handshake, found[BOB].keepalive) == (None, (), 0, 0)


def test_the_private_key_in_the_dump_goes_nowhere():
    assert OWN.split("\t")[0] not in repr(parse_dump(f"{OWN}\n{dump_line(ANN)}\n", {}))


def test_another_wg_that_prints_other_words_is_an_error():
    with pytest.raises(CommandFailed, match="8 are expected"):
        parse_dump(f"{OWN}\nonly\tthree\twords\n", {})


def test_an_approved_peer_gets_a_way_and_its_address_passes():
    machine = Machine()
    _box(machine).reconcile(desired(state(peer()), NOW, "a"))
    assert machine.peers["wg-way"] == {ANN: {"allowed": "(none)"}}
    assert machine.served == {"10.100.1.1", PROBE}
    assert machine.peers["wg-service"] == {}, "only a call brings it there"


def test_a_second_pass_changes_nothing():
    machine = Machine()
    want = desired(state(peer(), peer("bob", BOB, "10.100.2.1", "ci")), NOW, "a")
    assert _box(machine).reconcile(want)
    again = _box(machine)
    # A fresh agent does not know what the sets of networks hold: it writes them once more, and nothing else.
    assert again.reconcile(want) == Changes(reach=want.reach, narrow_flush=True)
    asked = len(machine.asked)
    assert not again.reconcile(want)
    assert len(machine.asked) == asked


def test_a_new_peer_leaves_the_others_alone():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(peer()), NOW, "a"))
    machine.asked.clear()
    box.reconcile(desired(state(peer(), peer("bob", BOB, "10.100.2.1", "ci")), NOW, "a"))
    assert not [words for words in machine.asked if ANN in words]
    assert machine.transactions[-1] == [
        {"add": {"element": {"family": "inet", "table": "twinlock", "name": "served", "elem": ["10.100.2.1"]}}}
    ]


def test_a_revoked_peer_is_gone_from_both_interfaces_and_its_connections_end():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(peer()), NOW, "a"))
    box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    machine.conntrack.add("10.100.1.1")
    box.reconcile(desired(state(), NOW, "a"))
    assert not any(machine.peers.values())
    assert machine.served == {PROBE}
    assert machine.conntrack == set()


def test_who_comes_back_at_another_address_was_taken_off_the_service_before():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(peer()), NOW, "a"))
    box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    assert box.reconcile(desired(state(), NOW, "a")).service_remove == (ANN,)
    assert box.reconcile(desired(state(peer(address="10.100.1.2")), NOW, "a")).service_remove == ()


def test_hundreds_that_expire_at_once_are_shut_out_by_as_few_commands_as_one():
    addresses = [f"10.100.1.{low}" for low in range(1, 251)]
    keys = [b64encode(number.to_bytes(32)).decode() for number in range(1000, 1250)]
    many = [peer(f"job{n}", key, address) for n, (key, address) in enumerate(zip(keys, addresses, strict=True))]
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(*many), NOW, "a"))
    assert len(machine.served) == 251
    machine.conntrack.update(addresses)
    machine.asked.clear()
    box.reconcile(desired(state(), NOW, "a"))
    assert machine.conntrack == set()
    assert len([words for words in machine.asked if words[0] == "conntrack"]) == 1


def test_the_firewall_closes_before_the_tunnel_goes():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(peer()), NOW, "a"))
    machine.asked.clear()
    box.reconcile(desired(state(), NOW, "a"))
    assert [words[:2] for words in machine.asked] == [("nft", "-j"), ("wg", "set"), ("conntrack", "-R")]


def test_a_peer_expires_by_time_alone():
    short = state(peer(expires_at=NOW + 10))
    assert ANN in desired(short, NOW + 9, "a").peers
    assert ANN not in desired(short, NOW + 10, "a").peers


@pytest.mark.parametrize(
    "bad",
    [
        peer(address="10.100.2.9"),
        peer(address="10.100.0.1"),
        peer(address="10.100.1.1/0"),
        peer(address="10.100.1.1; flush ruleset"),
        peer(key="not base64"),
        peer(key="AAAA"),
        peer(key="A" * 43 + "="),
        peer(name="$(reboot)"),
        peer(state="pending"),
        peer(state="expired"),
    ],
    ids=lambda bad: f"{bad.name} {bad.public_key[:8]} {bad.address} {bad.state}",
)
def test_what_the_registry_should_never_hold_is_not_served_and_said(bad):
    want = desired(state(bad, peer("bob", BOB, "10.100.2.1", "ci")), NOW, "a")
    assert set(want.peers) == {BOB}
    assert len(want.refused) == 1
    assert "is not served" in want.refused[0]


def test_two_peers_never_share_an_address_or_a_key():
    want = desired(state(peer(), peer("twin", BOB), peer("other", ANN, "10.100.2.2", "ci")), NOW, "a")
    assert {key: one.name for key, one in want.peers.items()} == {ANN: "ann"}
    assert len(want.refused) == 2


def test_a_tenants_reach_is_sets_of_networks_without_overlap():
    reach = desired(state(), NOW, "a").reach
    assert reach.storage_tenants == (f"{PROBE}/32", "10.100.1.0/24")
    assert reach.services == (("10.100.1.0/24", "10.50.0.5/32", "tcp", 5432),)
    assert reach.networks == (("10.100.2.0/24", "10.60.0.0/23"),)


def test_nft_gets_one_transaction_of_json_and_no_text_of_its_own():
    machine = Machine()
    _box(machine).reconcile(desired(state(peer()), NOW, "a"))
    assert len(machine.transactions) == 1
    assert [words for words in machine.asked if words[0] == "nft"][-1] == ("nft", "-j", "-f", "-")
    services = [c for c in machine.transactions[0] if c.get("add", {}).get("element", {}).get("name") == "services"]
    assert services[0]["add"]["element"]["elem"] == [
        {
            "concat": [
                {"prefix": {"addr": "10.100.1.0", "len": 24}},
                {"prefix": {"addr": "10.50.0.5", "len": 32}},
                "tcp",
                5432,
            ]
        }
    ]
    json.dumps(machine.transactions)


def test_keeping_the_gate_lists_no_set_in_the_process_that_changes_one():
    """nft would read all elements of all sets for it: of sixty thousand peers five times a second."""
    machine = Machine()
    set_gate(Nft(machine), ["open"])
    assert machine.asked == [("nft", "-j", "list", "set", "inet", "twinlock", "fresh"), ("nft", "-j", "-f", "-")]
    assert not [command for command in machine.transactions[0] if "list" in command]


def test_a_call_takes_the_old_session_away_first():
    machine = Machine()
    box = _box(machine)
    box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    sets = [words for words in machine.asked if words[:2] == ("wg", "set")]
    assert sets[0][3:] == ("peer", ANN, "remove")
    assert machine.asked[-1] == ("wg", "addconf", "wg-service", "/dev/stdin")
    assert machine.peers["wg-service"] == {
        ANN: {"allowed": "10.100.1.1/32", "endpoint": "198.51.100.2:29112", "keepalive": "25"}
    }


def test_letting_go_leaves_the_ways_open():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(peer()), NOW, "a"))
    box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    assert box.let_go() == 1
    assert machine.peers["wg-service"] == {}
    assert ANN in machine.peers["wg-way"]


def test_after_a_failed_command_the_box_is_read_anew():
    machine = Machine()
    box = _box(machine)
    machine.fails = "wg addconf wg-way"
    with pytest.raises(CommandFailed):
        box.reconcile(desired(state(peer()), NOW, "a"))
    machine.fails = ""
    box.reconcile(desired(state(peer()), NOW, "a"))
    assert ANN in machine.peers["wg-way"]


def test_a_peer_whose_address_changed_is_called_anew():
    have = Have(
        way=frozenset({ANN}),
        service={ANN: ("10.100.1.1/32",)},
        served=frozenset({"10.100.1.1", PROBE}),
        reach=None,
        narrow={},
    )
    changes = diff(desired(state(peer(address="10.100.1.2")), NOW, "a"), have)
    assert (changes.service_remove, changes.admit, changes.cut) == ((ANN,), ("10.100.1.2",), ("10.100.1.1",))


@given(st.sets(st.sampled_from([ANN, BOB, EVE])), st.sets(st.sampled_from([ANN, BOB, EVE])))
def test_from_any_box_to_any_registry_in_one_pass(before, after):
    def those(keys):
        return desired(state(*(peer(f"p{at}", key, f"10.100.1.{at + 1}") for at, key in _numbered(keys))), NOW, "a")

    machine = Machine()
    box = _box(machine)
    box.reconcile(those(before))
    box.reconcile(those(after))
    assert set(machine.peers["wg-way"]) == after
    assert machine.served == {PROBE, *(f"10.100.1.{at + 1}" for at, _ in _numbered(after))}


def _numbered(keys):
    return [(at, key) for at, key in enumerate((ANN, BOB, EVE)) if key in keys]


def _of(transactions: list[list[dict]], name: str) -> list[tuple[str, list]]:
    """What was done to a set of the firewall."""
    found = [next(iter(command.items())) for commands in transactions for command in commands]
    return [(verb, what["element"]["elem"]) for verb, what in found if what.get("element", {}).get("name") == name]


def test_a_narrowed_peer_is_narrow_before_its_packets_pass_and_the_others_cost_nothing():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(state(peer(reach=("database",))), NOW, "a"))
    [first] = machine.transactions
    added = [what["element"]["name"] for command in first for verb, what in command.items() if verb == "add"]
    assert added.index("narrow") < added.index("served")
    service = {"concat": [prefix("10.100.1.1/32"), prefix("10.50.0.5/32"), "tcp", 5432]}
    assert _of([first], "narrow_services") == [("add", [service])]
    assert _of([first], "narrow_storage") == [], "its tenant reaches storage, it does not"
    machine.transactions.clear()
    both = state(peer(reach=("database",)), peer("bob", BOB, "10.100.1.2", reach=("storage",)))
    box.reconcile(desired(both, NOW, "a"))
    assert _of(machine.transactions, "narrow") == [("add", ["10.100.1.2"])]
    assert _of(machine.transactions, "narrow_storage") == [("add", ["10.100.1.2"])]
    machine.transactions.clear()
    box.reconcile(desired(state(peer("bob", BOB, "10.100.1.2", reach=("storage",))), NOW, "a"))
    assert _of(machine.transactions, "narrow") == [("delete", ["10.100.1.1"])]
    assert _of(machine.transactions, "narrow_services") == [("delete", [service])]


def test_a_tenant_reaches_the_internet_as_soon_as_the_storage_is_known_which_is_no_part_of_it():
    plain = state()
    tenants = tuple(replace(one, internet=one.range == "10.100.2.0/24") for one in plain.definition.tenants)
    wide = replace(plain, definition=replace(plain.definition, tenants=tenants))
    assert desired(plain, NOW, "a").reach.internet_tenants == ()
    assert desired(wide, NOW, "a").reach.internet_tenants == ("10.100.2.0/24",)
    assert desired(replace(wide, storage_prefixes=()), NOW, "a").reach.internet_tenants == ()


def test_the_storages_private_addresses_are_storage_and_its_public_ones_are_waited_for_all_the_same():
    plain = state()
    tenants = tuple(replace(one, internet=True) for one in plain.definition.tenants)
    private = replace(plain.definition, tenants=tenants, storage_addresses=("10.0.128.7", "10.0.144.7"))
    reach = desired(replace(plain, definition=private), NOW, "a").reach
    assert set(reach.storage) - set(desired(plain, NOW, "a").reach.storage) == {"10.0.128.7/32", "10.0.144.7/32"}
    assert reach.storage_tenants == desired(plain, NOW, "a").reach.storage_tenants
    nowhere = desired(replace(plain, definition=private, storage_prefixes=()), NOW, "a").reach
    assert (nowhere.storage, nowhere.internet_tenants) == (("10.0.128.7/32", "10.0.144.7/32"), ())
