"""What somebody changed on a gateway by hand is found, put right and told."""

from __future__ import annotations

from tests.agent_samples import ANN, BOB, EVE, NOW, Machine, peer, state
from twinlock.agent.box import Box
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import desired
from twinlock.agent.nft import Nft
from twinlock.agent.strays import TOLD_SECONDS, Stray, strays, told
from twinlock.agent.wg import Wg

WANT = desired(state(peer(), peer("bob", BOB, "10.100.2.1", "ci")), NOW, "a")


def made() -> tuple[Machine, Box]:
    machine = Machine()
    box = Box(Wg(machine), Nft(machine), Conntrack(machine))
    box.reconcile(WANT)
    return machine, box


def seen(box: Box) -> list[str]:
    return [stray.text for stray in strays(box.mends(WANT), WANT, NOW)]


def test_a_box_as_it_was_made_has_nothing_astray():
    _, box = made()
    assert seen(box) == []


def test_unknown_missing_and_different_peers_are_told_apart_by_name():
    machine, box = made()
    machine.peers["wg-way"][EVE] = {"allowed": "(none)"}
    machine.peers["wg-service"][EVE] = {"allowed": "10.100.9.9/32"}
    machine.peers["wg-service"][BOB] = {"allowed": "10.100.9.8/32"}
    del machine.peers["wg-way"][ANN]
    machine.served.add("10.100.9.9")
    machine.served.discard("10.100.1.1")
    assert sorted(seen(box)) == sorted(
        [
            f"unknown peer {EVE[:8]}… on the way",
            f"unknown peer {EVE[:8]}… on the service",
            "different addresses of peer bob of tenant ci on the service",
            "missing peer ann of tenant ml on the way",
            "unknown address 10.100.9.9 let through",
            "missing address 10.100.1.1, which is not let through",
        ]
    )


def test_to_look_for_strays_changes_nothing_and_the_next_pass_puts_them_right():
    machine, box = made()
    machine.peers["wg-way"][EVE] = {"allowed": "(none)"}
    asked = len(machine.transactions)
    assert seen(box) and EVE in machine.peers["wg-way"] and len(machine.transactions) == asked
    box.look()
    box.reconcile(WANT)
    assert EVE not in machine.peers["wg-way"] and seen(box) == []


def test_a_stray_is_told_for_a_day_and_the_newest_twenty_at_most():
    old, new = Stray(at=NOW, text="old"), Stray(at=NOW + TOLD_SECONDS - 1, text="new")
    assert told((old,), (new,), NOW + TOLD_SECONDS - 1) == (old, new)
    assert told((old, new), (), NOW + TOLD_SECONDS) == (new,)
    many = tuple(Stray(at=NOW, text=str(number)) for number in range(50))
    assert [stray.text for stray in told((), many, NOW)] == [str(number) for number in range(30, 50)]
    assert str(old).startswith("old, put right 20")
