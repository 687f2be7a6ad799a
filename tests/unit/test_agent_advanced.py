"""What a gateway does about one change: the same as if it had judged everybody anew, for the price of that change."""

from __future__ import annotations

import base64
from dataclasses import replace

from hypothesis import given

from tests.agent_lives import lives
from tests.agent_samples import ANN, BOB, NOW, definition, peer, state
from twinlock.agent import desired as module
from twinlock.agent.desired import Desired, advanced, desired
from twinlock.agent.state import LastState


@given(lives())
def test_a_step_at_a_time_ends_where_judging_everybody_anew_does(life):
    (was, then), *later = life
    want = desired(was, then, "a")
    for last, now in later:
        want, was = advanced(want, was, last, now, "a"), last
        anew = desired(last, now, "a")
        assert now < want.until <= anew.until
        assert sorted_out(want) == sorted_out(anew)
        assert want.served == anew.served


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
