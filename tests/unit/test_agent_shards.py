"""Who serves which shard, against a plain model: gateways, a registry, lost messages, and clocks that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlock.agent import lease as rules
from twinlock.agent.ownership import HandOver, Ownership, Silent
from twinlock.registry.errors import Unavailable
from twinlock.registry.leasing import claimed
from twinlock.registry.model import ShardLease
from twinlock.registry.shards import balance

STEP = 0.1
SHARDS = 6  # enough: the rules know no number


class Gateway:
    """A gateway as run.py and serving.py drive its ownership."""

    def __init__(self, world: World, me: str, served=frozenset()) -> None:
        self.world, self.me, self.alive = world, me, True
        self.offset, self.wrong = world.clocks[me]
        self.own = Ownership(
            me,
            tuple(slot for slot in world.slots if slot != me),
            self,
            served=served,
            shards=SHARDS,
            clock=lambda: world.at + self.offset,
            now=lambda: world.at + self.wrong,
        )
        self.heard_at: dict[str, float] = {}
        self.asked_at = self.spoke_at = -100.0

    def write_leases(self, claims, shards) -> Mapping[int, ShardLease]:
        if self.me in self.world.without_registry:
            raise Unavailable("no answer")
        assert shards == SHARDS
        self.world.leases = claimed(self.world.leases, claims)
        return dict(self.world.leases)

    def hear(self, word) -> None:
        self.heard_at[word.slot] = self.world.at
        self.own.events.put(word)

    def step(self) -> None:
        world, own = self.world, self.own
        for slot, at in list(self.heard_at.items()):
            if world.at - at >= 0.45:
                del self.heard_at[slot]
                own.events.put(Silent(slot=slot))
        self._turn()
        if own.has_word or world.at - self.asked_at >= (1.0 if own.is_calm else 0.3):
            self.asked_at = world.at
            own.ask()
            self._turn()
        if world.at - self.spoke_at >= 0.15:
            self.spoke_at = world.at
            world.say(self.me, own.word())

    def _turn(self) -> None:
        while not self.own.events.empty():
            self.own.turn(self.own.events.get_nowait())
        self.own.turn(None)

    def gates(self):
        gates = self.own.gates() if self.alive else ("shut",)
        return gates if len(gates) == SHARDS else gates * SHARDS


class World:
    def __init__(self, slots="ab", clocks=((0.0, 0.0),) * 6, loss: float = 0.0, seed: int = 0) -> None:
        self.slots, self.at = slots, 0.0
        self.clocks = dict(zip("abcdef", clocks, strict=False))
        self.loss, self.dice = loss, Random(seed)
        self.leases: dict[int, ShardLease] = {}
        self.without_registry: set[str] = set()
        self.apart = False  # no gateway hears another
        self.together = [0.0] * SHARDS  # so long two gates of a shard have been open by now
        self.worst = 0.0
        self.gateways = {slot: Gateway(self, slot) for slot in slots}

    def say(self, me: str, word) -> None:
        for slot, gateway in self.gateways.items():
            if slot != me and gateway.alive and not self.apart and self.dice.random() >= self.loss:
                gateway.hear(word)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.at += STEP
            for gateway in self.gateways.values():
                if gateway.alive:
                    gateway.step()
            gates = [gateway.gates() for gateway in self.gateways.values()]
            for shard in range(SHARDS):
                two = sum(gate[shard] == "open" for gate in gates) > 1
                self.together[shard] = self.together[shard] + STEP if two else 0.0
                self.worst = max(self.worst, self.together[shard])

    def kill(self, slot: str) -> None:
        self.gateways[slot].alive = False

    def boot(self, slot: str) -> None:
        self.gateways[slot] = Gateway(self, slot)

    def serving(self) -> dict[int, str]:
        """The one that serves each shard; fails where that is not one."""
        found: dict[int, list[str]] = {shard: [] for shard in range(SHARDS)}
        for slot, gateway in self.gateways.items():
            for shard in gateway.own.serving if gateway.alive else ():
                found[shard].append(slot)
        assert all(len(slots) == 1 for slots in found.values()), found
        return {shard: slots[0] for shard, slots in found.items()}

    def balance(self) -> None:
        """As `twinlock gateway balance` does it: one wish for each gateway that is to get some."""
        now = self.serving()
        healthy = [slot for slot, gateway in self.gateways.items() if gateway.alive]
        wanted = balance(range(SHARDS), healthy, now)
        for to in healthy:
            moving = frozenset(shard for shard, slot in wanted.items() if slot == to != now[shard])
            for gateway in self.gateways.values() if moving else ():
                gateway.own.events.put(HandOver(to=to, shards=moving))
        self.run(1.0)


def balanced(slots: str = "ab", **how) -> World:
    world = World(slots, **how)
    world.run(3)
    world.balance()
    counts = Counter(world.serving().values())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts) == set(slots)
    world.run(2)  # who handed a shard over takes it back from nobody for so long
    return world


CLOCKS = st.tuples(*[st.tuples(st.floats(-1e5, 1e5), st.floats(-60, 60))] * 3)
ACTS = st.sampled_from(["apart", "registry a", "registry b", "kill a", "kill b", "boot a", "boot b", "balance", "wait"])
HAPPENS = st.lists(st.tuples(ACTS, st.floats(0.1, 6.0)), max_size=10)


def _happen(world: World, what: str) -> None:
    match what.split():
        case ["apart"]:
            world.apart = not world.apart
        case ["registry", slot]:
            world.without_registry ^= {slot}
        case ["kill", slot]:
            world.kill(slot)
        case ["boot", slot] if not world.gateways[slot].alive:
            world.boot(slot)
        case ["balance"]:
            for gateway in world.gateways.values():
                gateway.own.events.put(HandOver(to="b", shards=frozenset(range(0, SHARDS, 2))))


@settings(max_examples=40, deadline=None)
@given(CLOCKS, HAPPENS, st.sampled_from([0.0, 0.2]), st.integers(0, 99))
def test_whatever_happens_each_shard_is_served_by_one_after_it_is_mended_and_stays_there(clocks, happens, loss, seed):
    world = World(clocks=clocks, loss=loss, seed=seed)
    world.run(2)
    for what, seconds in happens:
        _happen(world, what)
        world.run(seconds)
    assert world.worst <= rules.LEASE_SECONDS + 0.6
    world.apart, world.without_registry, world.loss = False, set(), 0.0
    for slot, gateway in world.gateways.items():
        if not gateway.alive:
            world.boot(slot)
    world.run(10)
    before = world.serving()
    world.run(20)
    assert world.serving() == before


@settings(max_examples=20, deadline=None)
@given(CLOCKS, st.sampled_from(["ab", "abc"]), st.data())
def test_a_crash_moves_the_shards_of_the_dead_gateway_at_once_and_no_other(clocks, slots, data):
    world = balanced(slots, clocks=clocks)
    before, dead = world.serving(), data.draw(st.sampled_from(slots))
    if data.draw(st.booleans()):
        world.without_registry = set(slots)
        world.run(3)
    world.kill(dead)
    for _ in range(8):
        world.run(STEP)
        for slot, gateway in world.gateways.items():
            kept = {shard for shard, owner in before.items() if owner == slot}
            assert not gateway.alive or kept <= gateway.own.serving, "nobody else notices"
    assert dead not in world.serving().values()
    counts = Counter(world.serving().values())
    assert max(counts.values()) - min(counts.values()) <= 1, "what is left is shared among those who are left"


@pytest.mark.parametrize("slots", ["ab", "abc"])
def test_a_gateway_that_is_back_takes_nothing_by_itself_and_balancing_gives_it_its_part_without_touching_more(slots):
    world = balanced(slots)
    world.kill("a")
    world.run(2)
    before = world.serving()
    world.boot("a")
    world.run(10)
    assert world.serving() == before
    world.balance()
    after = world.serving()
    assert Counter(after.values())["a"] == SHARDS // len(slots)
    assert sum(before[shard] != after[shard] for shard in range(SHARDS)) == SHARDS // len(slots)


def test_gateways_that_lost_each_other_change_each_shard_once_at_most():
    world = balanced()
    world.apart = True
    history = {shard: [lease.owner] for shard, lease in world.leases.items()}
    for _ in range(300):
        world.run(STEP)
        for shard, lease in world.leases.items():
            if history[shard][-1] != lease.owner:
                history[shard].append(lease.owner)
    assert all(len(of) <= 2 for of in history.values()), history
    world.apart = False
    world.run(5)
    world.serving()


def test_a_gateway_that_leaves_gives_each_of_its_shards_to_who_has_least():
    world = balanced("abc")
    before = world.serving()
    world.gateways["a"].own.events.put(HandOver())
    world.run(0.5)
    after = world.serving()
    assert Counter(after.values()) == {"b": SHARDS // 2, "c": SHARDS // 2}
    assert all(after[shard] == owner for shard, owner in before.items() if owner != "a")


def test_a_gateway_that_knows_of_one_shard_and_its_twin_that_knows_of_more_do_not_serve_beside_each_other():
    """While another setting is rolled out. Whoever serves goes on, and hands everything to the other when it leaves."""
    for whole, other in (("a", "b"), ("b", "a")):
        world = World()
        one = world.gateways[whole].own = Ownership(
            whole, (other,), _Whole(world), served=frozenset(), shards=1, clock=lambda w=world: w.at,
            now=lambda w=world: w.at,
        )  # fmt: skip
        world.kill(other)
        world.run(2)
        assert one.serving == {0}
        world.boot(other)
        world.run(5)
        assert (one.serving, world.gateways[other].own.serving) == ({0}, frozenset())
        one.events.put(HandOver())
        world.run(1)
        assert (one.serving, world.gateways[other].own.serving) == (frozenset(), frozenset(range(SHARDS)))
        world.run(10)
        assert (one.serving, world.gateways[other].own.serving) == (frozenset(), frozenset(range(SHARDS)))
        world.gateways[other].own.events.put(HandOver())
        world.run(1)
        assert (one.serving, world.gateways[other].own.serving) == ({0}, frozenset())


class _Whole:
    """The registry as a gateway with one shard uses it: one lease is everybody's."""

    def __init__(self, world: World) -> None:
        self._world = world

    def write_leases(self, claims, shards):
        assert shards == 1
        held = {0: self._world.leases[0]} if self._world.leases else {}
        found = claimed(held, claims)
        if found != held:
            whole = found[0]
            self._world.leases = {
                shard: ShardLease(shard=shard, owner=whole.owner, until_ms=whole.until_ms) for shard in range(SHARDS)
            }
        return found
