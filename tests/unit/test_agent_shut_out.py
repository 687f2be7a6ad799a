"""Peers that were shut out and whose packets still come: who counts as one, where they were, what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.agent_samples import ANN, BOB, EVE, NOW, Machine, peer, state
from twinlock.agent import shut_out as module
from twinlock.agent.box import Box
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import desired
from twinlock.agent.nft import Nft
from twinlock.agent.shut_out import ShutOut, end_from
from twinlock.agent.sides import SidedWg
from twinlock.registry.traffic import still_sending

HOME, OFFICE = ("198.51.100.2", 29112), ("2001:db8::7", 51820)
ann, bob = peer(), peer("bob", BOB, "10.100.2.1", "ci")


def _box(machine: Machine) -> Box:
    return Box(SidedWg(machine), Nft(machine), Conntrack(machine))


def _opens(machine: Machine, key: str, endpoint: str, interface: str = "wg-way") -> None:
    machine.peers[interface].setdefault(key, {}).update(endpoint=endpoint, handshake=str(NOW))


def _names(machine: Machine) -> dict[tuple[str, int], str]:
    return {end: element["comment"] for held in machine.shut_out.values() for end, element in held.items()}


def _served(machine: Machine, *peers) -> Box:
    """A box that serves these and has seen where they are."""
    box = _box(machine)
    box.reconcile(desired(state(*peers), NOW, "a"))
    _opens(machine, ANN, "198.51.100.2:29112")
    _opens(machine, BOB, "[2001:db8::7]:51820")
    box.wg.peers("wg-way")
    return box


def test_real_words_of_nft_are_understood():
    words = (
        '{"nftables": [{"metainfo": {"version": "1.1.3", "json_schema_version": 1}}, {"set": {"family": "inet", '
        '"name": "shut_out", "table": "twinlock", "type": ["ipv4_addr", "inet_service"], "handle": 2, "size": 8192, '
        '"flags": ["timeout"], "timeout": 3600, "elem": [{"elem": {"val": {"concat": ["198.51.100.2", 29112]}, '
        '"expires": 3599, "comment": "ml/ann", "counter": {"packets": 1, "bytes": 58}}}], '
        '"stmt": [{"counter": null}]}}]}'
    )
    assert Nft(lambda _words, _stdin: words).labelled("shut_out") == {HOME: ("ml/ann", (1, 58))}


@pytest.mark.parametrize(("text", "end"), [
    ("198.51.100.2:29112", HOME), ("[2001:db8::7]:51820", OFFICE), ("[fe80::1%4]:9", ("fe80::1", 9)),
])  # fmt: skip
def test_an_endpoint_of_either_family_is_understood(text: str, end: tuple[str, int]):
    assert end_from(text) == end


def test_who_is_revoked_is_watched_where_it_was_last_and_nobody_else():
    machine = Machine()
    box = _served(machine, ann, bob)
    box.reconcile(desired(state(bob), NOW, "a"))
    assert _names(machine) == {HOME: "ml/ann"}
    box.reconcile(desired(state(), NOW, "a"))
    assert _names(machine) == {HOME: "ml/ann", OFFICE: "ci/bob"}


def test_who_expires_is_watched_too():
    machine = Machine()
    box = _served(machine, replace(ann, expires_at=NOW + 5))
    box.reconcile(desired(state(replace(ann, expires_at=NOW + 5)), NOW + 6, "a"))
    assert _names(machine) == {HOME: "ml/ann"}


def test_both_places_of_a_peer_count_where_the_service_saw_another_one_than_the_way():
    machine = Machine()
    box = _served(machine, ann)
    _opens(machine, ANN, "198.51.100.2:4000", "wg-service")
    box.look()
    box.reconcile(desired(state(), NOW, "a"))
    assert _names(machine) == {HOME: "ml/ann", ("198.51.100.2", 4000): "ml/ann"}


def test_a_key_that_was_rotated_away_is_nobodys_who_was_shut_out():
    machine = Machine()
    box = _served(machine, ann)
    box.reconcile(desired(state(replace(ann, public_key=EVE, replaces=ANN)), NOW, "a"))
    assert (ANN in machine.peers["wg-way"], EVE in machine.peers["wg-way"]) == (False, True)
    assert _names(machine) == {}


def test_a_peer_that_somebody_added_by_hand_has_no_name_and_is_not_watched():
    machine = Machine()
    box = _served(machine, ann)
    _opens(machine, EVE, "198.51.100.9:1")
    box.look()
    box.reconcile(desired(state(ann), NOW, "a"))
    assert _names(machine) == {}


def test_an_agent_that_was_restarted_meanwhile_knows_who_left():
    machine = Machine()
    _served(machine, ann, bob)
    box = _box(machine)
    box.know({ANN: ann, BOB: bob})
    box.reconcile(desired(state(bob), NOW, "a"))
    assert _names(machine) == {HOME: "ml/ann"}


def test_a_place_that_is_watched_already_is_the_last_ones_and_begins_anew():
    machine = Machine()
    kept = ShutOut(Nft(machine))
    kept.watch({HOME: "ml/ann"})
    machine.shut_out["shut_out"][HOME]["counter"]["packets"] = 9
    kept.watch({HOME: "ci/bob"})
    assert _names(machine) == {HOME: "ci/bob"}
    assert kept.count(tuple) == {}


def test_there_is_room_for_so_many_and_the_rest_are_not_watched(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    machine = Machine()
    kept = ShutOut(Nft(machine))
    kept.watch({("198.51.100.2", port): "ml/ann" for port in range(2)})
    kept.watch({("198.51.100.2", port): "ml/bob" for port in range(1, 9)} | {OFFICE: "ci/bob"})
    assert [*machine.shut_out["shut_out"]] == [("198.51.100.2", port) for port in (0, 1, 2)]
    assert [*machine.shut_out["shut_out6"]] == [OFFICE], "the families have their own room"


def test_who_sends_is_told_by_name_with_all_of_its_places_and_most_first(monkeypatch):
    monkeypatch.setattr(module, "TOLD", 2)
    machine = Machine()
    kept = ShutOut(Nft(machine))
    ends = {HOME: "ml/ann", OFFICE: "ml/ann", ("198.51.100.3", 1): "ml/b", ("198.51.100.4", 1): "ml/c"}
    kept.watch({**ends, ("198.51.100.5", 1): "ml/silent"})
    for end, packets in zip(ends, (3, 4, 2, 1), strict=True):
        machine.shut_out["shut_out6" if ":" in end[0] else "shut_out"][end]["counter"]["packets"] = packets
    assert list(kept.count(tuple).items()) == [("ml/ann", 7), ("ml/b", 2)]


def test_where_a_peer_is_served_now_nothing_is_counted_any_more():
    machine = Machine()
    kept = ShutOut(Nft(machine))
    kept.watch({HOME: "ml/ann", OFFICE: "ci/bob"})
    for held in machine.shut_out.values():
        for element in held.values():
            element["counter"]["packets"] = 5
    assert kept.count(lambda: [OFFICE, ("198.51.100.77", 1)]) == {"ml/ann": 5}
    assert _names(machine) == {HOME: "ml/ann"}


def test_only_a_session_of_these_minutes_takes_a_place():
    machine = Machine()
    box = _served(machine, ann)
    assert box.ends([ANN], since=NOW) == {HOME: ANN}
    assert box.ends([ANN], since=NOW + 1) == {}


def test_what_all_gateways_counted_adds_up():
    assert still_sending([{"ml/ann": 3}, {"ml/ann": 4, "ci/bob": 1}, {}]) == {"ml/ann": 7, "ci/bob": 1}
