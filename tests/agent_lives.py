"""Last states of a gateway, one after the other, as the registry's changes make them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies

from tests.agent_samples import NOW, peer, state
from twinlock.agent.state import LastState
from twinlock.registry.model import Peer
from twinlock.registry.preshared import make_preshared_key

KEYS = [f"{letter * 43}=" for letter in "AEIMQUY"]
_NAMES, _TENANTS = ("ann", "bob", "eve"), {"ml": "10.100.1.", "ci": "10.100.2."}

# A peer as a registry could hold it, sound or not: names, keys and addresses meet often.
_peers = strategies.builds(
    lambda name, key, tenant, last, ends, retires, replaces, sealed, reach: replace(
        peer(name, key, f"{_TENANTS[tenant]}{last}", tenant),
        expires_at=None if ends is None else NOW + ends,
        retires_at=None if retires is None else NOW + retires,
        replaces=replaces,
        preshared="1:x" if sealed else None,
        reach=reach,
    ),
    strategies.sampled_from(_NAMES),
    strategies.sampled_from(KEYS),
    strategies.sampled_from(sorted(_TENANTS)),
    strategies.integers(1, 4),
    strategies.sampled_from([None, None, 5, 50]),
    strategies.sampled_from([None, None, None, 20]),
    strategies.sampled_from([None, None, *KEYS]),
    strategies.sampled_from([False, False, False, True]),
    strategies.sampled_from([None, None, ("storage",), ("database",), ("10.60.0.0/24", "storage")]),
)
_steps = strategies.one_of(
    _peers,
    strategies.tuples(strategies.just("rotate"), strategies.sampled_from(KEYS), strategies.sampled_from(KEYS)),
    strategies.tuples(strategies.just("gone"), strategies.sampled_from(KEYS)),
    strategies.tuples(strategies.just("opened"), strategies.sampled_from(KEYS)),
    strategies.tuples(strategies.just("serving"), strategies.booleans()),
    strategies.tuples(strategies.just("prefixes"), strategies.sampled_from(["3.5.64.0/21", "52.218.0.0/17"])),
    strategies.tuples(strategies.just("time"), strategies.integers(1, 30)),
)


@strategies.composite
def lives(draw) -> list[tuple[LastState, float]]:
    """States with the time at which each was read; what did not change is the same object in the next one."""
    now, found = float(NOW), [(state(), float(NOW))]
    for step in draw(strategies.lists(_steps, max_size=12)):
        last = found[-1][0]
        match step:
            case Peer():
                last = _with(last, step)
            case ("rotate", old, new):
                last = _rotated(last, old, new)
            case ("gone", key):
                kept = {tenant: {k: p for k, p in peers.items() if k != key} for tenant, peers in last.peers.items()}
                last = replace(last, peers=kept)
            case ("opened", key):
                last = replace(last, preshared={**last.preshared, key: make_preshared_key()})
            case ("serving", serving):
                last = replace(last, serving=serving)
            case ("prefixes", prefix):
                last = replace(last, storage_prefixes=(prefix,))
            case ("time", seconds):
                now += seconds
        found.append((last, now))
    return found


def _with(last: LastState, one: Peer) -> LastState:
    changed = {**last.peers, one.tenant: {**last.peers[one.tenant], one.public_key: one}}
    number = last.generations[one.tenant] + 1
    return replace(last, peers=changed, generations={**last.generations, one.tenant: number})


def _rotated(last: LastState, old: str, new: str) -> LastState:
    """As the registry does it: the new key takes the name and the address, and the old one retires."""
    for peers in last.peers.values():
        if old != new and (held := peers.get(old)) is not None and held.retires_at is None:
            last = _with(last, replace(held, public_key=new, replaces=old, preshared=None))
            return _with(last, replace(held, retires_at=NOW + 20))
    return last
