"""Last states of a gateway, one after the other, as the registry's changes make them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import TypeVar

from hypothesis import strategies

from tests.agent_samples import NOW, peer, state
from twinlock.agent.overlay import Edits
from twinlock.agent.state import LastState
from twinlock.registry.model import Peer
from twinlock.registry.preshared import make_preshared_key

T = TypeVar("T")
KEYS = [f"{letter * 43}=" for letter in "AEIMQUY"]
_NAMES, _TENANTS = ("ann", "bob", "eve"), {"ml": "10.100.1.", "ci": "10.100.2."}

_reaches = strategies.sampled_from([None, None, ("storage",), ("database",), ("10.60.0.0/24", "storage")])
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
    _reaches,
)
_steps = strategies.one_of(
    _peers,
    strategies.tuples(strategies.just("rotate"), strategies.sampled_from(KEYS), strategies.sampled_from(KEYS)),
    strategies.tuples(strategies.just("gone"), strategies.sampled_from(KEYS)),
    strategies.tuples(strategies.just("opened"), strategies.sampled_from(KEYS)),
    strategies.tuples(strategies.just("serving"), strategies.frozensets(strategies.integers(0, 15))),
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
                last = replace(last, peers={tenant: without(peers, key) for tenant, peers in last.peers.items()})
            case ("opened", key):
                last = replace(last, preshared=edited(last.preshared, key, make_preshared_key()))
            case ("serving", serving):
                last = replace(last, serving=serving)
            case ("prefixes", prefix):
                last = replace(last, storage_prefixes=(prefix,))
            case ("time", seconds):
                now += seconds
        found.append((last, now))
    return found


@strategies.composite
def sound_lives(draw) -> list[tuple[LastState, float]]:
    """The same of a registry that holds nothing unsound: nobody is refused, and so no step is judged in full."""
    now, found, fresh = float(NOW), [(state(), float(NOW))], count(1)
    what = strategies.sampled_from(["join", "join", "leave", "rotate", "rotate", "time", "moved"])
    for step, which in draw(strategies.lists(strategies.tuples(what, strategies.integers(0, 3)), min_size=4)):
        last = found[-1][0]
        name, tenant = f"p{which}", "ml" if which < 2 else "ci"
        held = [one for one in last.peers[tenant].values() if one.name == name]
        match step, [one for one in held if one.retires_at is None]:
            case "time", _:
                now += draw(strategies.sampled_from([1, 7, 21]))
            case ("join", []) | ("moved", [*_]):
                for one in held:
                    last = _left(last, one.public_key)
                key, far = b64encode(next(fresh).to_bytes(32)).decode(), 4 if step == "moved" else 0
                ends, sealed = draw(strategies.sampled_from([None, 5, 50])), draw(strategies.booleans())
                come = peer(name, key, f"{_TENANTS[tenant]}{which + 1 + far}", tenant, reach=draw(_reaches))
                come = replace(come, expires_at=ends and int(now) + ends, preshared="1:x" if sealed else None)
                last = _with(last, come)
                if sealed:
                    last = replace(last, preshared=edited(last.preshared, key, make_preshared_key()))
            case "leave", [*_]:
                for one in held:
                    last = _left(last, one.public_key)
            case "rotate", [one] if len(held) == 1:
                key = b64encode(next(fresh).to_bytes(32)).decode()
                last = _with(last, replace(one, public_key=key, replaces=one.public_key, preshared=None))
                last = _with(last, replace(one, retires_at=int(now) + 20))
        found.append((last, now))
    return found


def _left(last: LastState, key: str) -> LastState:
    peers = {tenant: without(held, key) for tenant, held in last.peers.items()}
    return replace(last, peers=peers, preshared=without(last.preshared, key))


def edited(some: Mapping[str, T], key: str, value: T) -> Mapping[str, T]:
    """The next version of a map, as the follower makes it."""
    edits = Edits(some)
    edits[key] = value
    return edits.done()


def without(some: Mapping[str, T], key: str) -> Mapping[str, T]:
    edits = Edits(some)
    edits.pop(key, None)
    return edits.done()


def _with(last: LastState, one: Peer) -> LastState:
    changed = {**last.peers, one.tenant: edited(last.peers[one.tenant], one.public_key, one)}
    number = last.generations[one.tenant] + 1
    return replace(last, peers=changed, generations={**last.generations, one.tenant: number})


def _rotated(last: LastState, old: str, new: str) -> LastState:
    """As the registry does it: the new key takes the name and the address, and the old one retires."""
    for peers in last.peers.values():
        if old != new and (held := peers.get(old)) is not None and held.retires_at is None:
            last = _with(last, replace(held, public_key=new, replaces=old, preshared=None))
            return _with(last, replace(held, retires_at=NOW + 20))
    return last
