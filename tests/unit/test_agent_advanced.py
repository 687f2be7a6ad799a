"""What a gateway does about one change: the same as if it had judged everybody anew, for the price of that change."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent_lives import lives, sound_lives
from tests.agent_samples import ANN, BOB, NOW, Machine, definition, peer, state
from twinlock.agent import desired as module
from twinlock.agent import overlay
from twinlock.agent.box import Box
from twinlock.agent.calls import Call
from twinlock.agent.changes import Changes, Have, diff, step
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import Desired, advanced, desired
from twinlock.agent.nft import Nft
from twinlock.agent.sides import SidedWg
from twinlock.agent.state import LastState
from twinlock.registry.ipv6 import host_networks


@pytest.mark.parametrize("most", [1, 500])
@given(life=lives() | sound_lives())
def test_a_step_at_a_time_ends_where_judging_everybody_anew_does(most, life):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "_MOST", most)
        (was, then), *later = life
        want = desired(was, then, "a")
        for last, now in later:
            want, was = advanced(want, was, last, now, "a"), last
            anew = desired(last, now, "a")
            assert now < want.until <= anew.until
            assert sorted_out(want) == sorted_out(anew)
            assert want.served == anew.served


@given(sound_lives(), st.data())
def test_what_is_to_be_done_about_a_step_is_what_comparing_everything_finds(life, data):
    (was, then), *later = life
    before = desired(was, then, "a")
    for last, now in later:
        want = advanced(before, was, last, now, "a")
        assert want.refused == (), "or it would be judged in full"
        service = {
            key: () if before.waits(key) else host_networks("", before.peers[key].address)
            for key in before.peers
            if data.draw(st.booleans())
        }
        have = Have(
            way=frozenset(before.peers), service=service, served=before.served, reach=before.reach, narrow=before.narrow
        )
        assert step(before, want, service) == diff(want, have)
        before, was = want, last


@given(lives() | sound_lives())
def test_after_any_row_of_changes_the_box_itself_is_what_is_desired(life):
    machine = Machine()
    box, want, was = Box(SidedWg(machine), Nft(machine), Conntrack(machine)), None, None
    for last, now in life:
        want = desired(last, now, "a") if want is None or was is None else advanced(want, was, last, now, "a")
        was = last
        on_service = set(machine.peers["wg-service"])
        assert set(box.reconcile(want).service_remove) <= on_service
        assert box.mends(want) == Changes()
        assert machine.served == desired(last, now, "a").served
        called = [one for one in want.peers.values() if one.name in ("ann", "eve", "p0", "p2")]
        box.call([Call(public_key=p.public_key, endpoint="198.51.100.2:1", address=p.address) for p in called])


def sorted_out(want: Desired) -> Desired:
    return replace(want, until=0, refused=tuple(sorted(want.refused)))


def many(count: int) -> LastState:
    """As many peers of one tenant."""
    tenants = tuple(replace(one, range="10.100.0.0/16") for one in definition().tenants[:1])
    peers = [
        peer(
            f"peer-{n}",
            base64.b64encode(b"peer" + n.to_bytes(28, "big")).decode(),
            f"10.100.{n // 200 + 2}.{n % 200 + 1}",
        )
        for n in range(1, count + 1)
    ]
    return state(*peers, definition=definition(tenants=tenants))


def test_one_peer_among_ten_thousand_is_judged_alone(monkeypatch):
    was = many(10_000)
    want, judged = desired(was, NOW, "a"), []
    fault_of = module.fault_of
    monkeypatch.setattr(module, "fault_of", lambda *given: judged.append(given[2].name) or fault_of(*given))
    come = peer("ann", ANN, "10.100.99.1")
    last = replace(was, peers={**was.peers, "ml": {**was.peers["ml"], ANN: come}})
    assert advanced(want, was, last, NOW, "a").peers[ANN] is come
    assert judged == ["ann"]
    judged.clear()
    taken = replace(last, peers={**last.peers, "ml": {**last.peers["ml"], BOB: replace(come, public_key=BOB)}})
    assert advanced(advanced(want, was, last, NOW, "a"), last, taken, NOW, "a").refused != ()
    assert len(judged) > 10_000, "who takes another's address may be any of them: all are judged"
