"""Who may serve, against a plain model: two gateways, a registry, lost messages, and clocks that differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent_samples import ANN, NOW, peer
from twinlock.agent import lease as rules
from twinlock.agent.calls import CallBook
from twinlock.agent.lease import Claim, Gate, Twin, View
from twinlock.agent.wg import TunnelPeer
from twinlock.registry.model import ShardLease

STEP = 0.1


@dataclass
class Registry:
    held: ShardLease | None = None
    owners: list[str] = field(default_factory=list)

    def write(self, lease: ShardLease, claim: Claim) -> ShardLease:
        held = self.held
        if held is None or held.owner in (lease.owner, claim.over) or held.until_ms == claim.seen:
            self.held = lease
            if not self.owners or self.owners[-1] != lease.owner:
                self.owners.append(lease.owner)
        return self.held or lease


@dataclass
class Gateway:
    """A gateway as ownership.py drives it, one step every 0.1 s."""

    view: View
    offset: float  # its monotonic clock against the world's
    wrong: int  # its wall clock's error, ms
    heard_at: float = -100.0
    asked_at: float = -100.0
    alive: bool = True
    served: bool = False  # what its agent kept on disk when it restarted
    vouched_at: float = -100.0  # when the twin or the registry was last heard; monotonic seconds of the world
    book: CallBook = field(default_factory=CallBook)
    called: bool = False  # since it serves
    handshake: int = 0
    received: int = 0
    heard_client_at: float = -100.0

    def gate(self, at: float) -> Gate:
        return rules.gate(self.view, at + self.offset) if self.alive else "shut"

    def service(self) -> dict[str, TunnelPeer]:
        return {ANN: _tunnel(self.handshake, self.received)} if self.called else {}

    def step(self, world: World, at: float) -> None:
        clock = at + self.offset
        other = world.other(self)
        if world.pair and other.alive:
            said = other.view
            self.heard_at = self.vouched_at = at
            self.view = rules.heard(self.view, said.me, said.serving, said.term)
        elif self.view.twins[other.view.me].heard and at - self.heard_at >= 0.35:
            self.view = rules.fell_silent(self.view, other.view.me, clock)
        wait = 1.0 if rules.is_calm(self.view) else 0.3
        if self.view.word or at - self.asked_at >= wait:
            self.asked_at = at
            self.ask(world, at, clock)
        if rules.due(self.view, clock):
            self.view = rules.take(self.view, clock, rules.ALONE_SECONDS)

    def ask(self, world: World, at: float, clock: float) -> None:
        claim = rules.claim(self.view, clock)
        if claim is None:
            return
        if self.view.me in world.without_registry:
            self.view = rules.unanswered(self.view, self.served)
            return
        until = int((at + rules.LEASE_SECONDS) * 1000) + self.wrong
        self.vouched_at = at
        lease = world.registry.write(ShardLease(shard=0, owner=self.view.me, until_ms=until), claim)
        self.view = rules.answered(self.view, lease, clock, clock)


@dataclass
class World:
    offsets: tuple[float, float]
    wrongs: tuple[int, int]
    pair: bool = True
    without_registry: set[str] = field(default_factory=set)
    registry: Registry = field(default_factory=Registry)
    at: float = 0.0
    open_together: float = 0.0
    worst: float = 0.0
    unvouched: float = 0.0  # the longest time that a gate stood open without twin and registry

    def __post_init__(self) -> None:
        self.gateways = [self.fresh(number) for number in (0, 1)]

    def fresh(self, number: int) -> Gateway:
        me, other = "ab"[number], "ba"[number]
        return Gateway(View(me=me, twins={other: Twin()}), self.offsets[number], self.wrongs[number])

    def other(self, one: Gateway) -> Gateway:
        return self.gateways[1] if one is self.gateways[0] else self.gateways[0]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.at += STEP
            for one in self.gateways:
                if one.alive:
                    one.step(self, self.at)
            gates = [one.alive and rules.gate(one.view, self.at + one.offset) == "open" for one in self.gateways]
            for one, is_open in zip(self.gateways, gates, strict=True):
                self.unvouched = max(self.unvouched, self.at - one.vouched_at if is_open else 0.0)
            self.open_together = self.open_together + STEP if all(gates) else 0.0
            self.worst = max(self.worst, self.open_together)

    def serving(self) -> list[str]:
        return [one.view.me for one in self.gateways if one.alive and one.view.serving]

    def kill(self, number: int) -> None:
        self.gateways[number].alive = False

    def boot(self, number: int) -> None:
        self.gateways[number] = self.fresh(number)

    def restart(self, number: int) -> None:
        """The agent alone: it forgets all but whether it served."""
        served = self.gateways[number].view.serving
        self.gateways[number] = self.fresh(number)
        self.gateways[number].served = served


def _tunnel(handshake: int, received: int) -> TunnelPeer:
    return TunnelPeer(
        public_key=ANN,
        endpoint="198.51.100.2:29112",
        allowed_ips=(),
        handshake=handshake,
        received=received,
        sent=0,
        keepalive=25,
    )


@dataclass
class Client:
    """As WireGuard has it, for one that downloads: whatever decrypts moves it, and it speaks in its newest session."""

    turns_to: Gateway | None = None
    newest: Gateway | None = None
    sessions: list[Gateway] = field(default_factory=list)
    answered_at: float = 0.0
    outage: float = 0.0
    astray: list[bool] = field(default_factory=list)  # calls whose answer goes to the old owner, which sent in between

    def step(self, world: World) -> None:
        for one in world.gateways:
            self._beat(one, world.at)
        for one in world.gateways:  # the download that came through the old owner goes on as long as that can send
            if one in self.sessions and one is not self.newest and self._hears(one, world.at):
                self.turns_to = one
        to = self.turns_to
        if to is not None and to is self.newest and to.alive:
            to.received, to.heard_client_at = to.received + 100, world.at
            if self._hears(to, world.at):
                self.answered_at = world.at
        self.outage = max(self.outage, world.at - self.answered_at)

    def _hears(self, one: Gateway, at: float) -> bool:
        return one.gate(at) == "open" or (one.gate(at) == "doubt" and at - one.heard_client_at < 2.0)

    def _beat(self, one: Gateway, at: float) -> None:
        if not one.alive or not one.view.serving:
            one.called, one.handshake = False, 0
            self.sessions = [each for each in self.sessions if each is not one]
            return
        clock = at + one.offset
        if not one.called:
            one.book.begin(clock)
        if one.gate(at) != "open":
            return
        way = {ANN: _tunnel(NOW, 0)}
        if one.book.due({ANN: peer()}, way, one.service(), clock, NOW):
            one.called, one.handshake, one.received = True, 0, 0
            self.turns_to = one
            if not (self.astray and self.astray.pop()):
                one.handshake, one.received, self.newest = NOW, 92, one
                self.sessions.append(one)
        elif one.book.nudges(one.service(), clock):
            self.turns_to = one


OFFSETS = st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
WRONGS = st.tuples(st.integers(-60_000, 60_000), st.integers(-60_000, 60_000))
HAPPENS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "pair",
                "registry-a",
                "registry-b",
                "kill-0",
                "kill-1",
                "boot-0",
                "boot-1",
                "restart-0",
                "restart-1",
                "nothing",
            ]
        ),
        st.floats(0.1, 6.0),
    ),
    max_size=12,
)


def _happen(world: World, what: str) -> None:
    match what.split("-"):
        case ["pair"]:
            world.pair = not world.pair
        case ["registry", slot]:
            world.without_registry ^= {slot}
        case ["kill", number]:
            world.kill(int(number))
        case ["boot", number] if not world.gateways[int(number)].alive:
            world.boot(int(number))
        case ["restart", number] if world.gateways[int(number)].alive:
            world.restart(int(number))


@settings(max_examples=300, deadline=None)
@given(OFFSETS, WRONGS, HAPPENS)
def test_whatever_happens_one_serves_after_it_is_mended_and_goes_on_serving(offsets, wrongs, happens):
    world = World(offsets, wrongs)
    world.run(2)
    for what, seconds in happens:
        _happen(world, what)
        world.run(seconds)
    world.pair, world.without_registry = True, set()
    for number, one in enumerate(world.gateways):
        if not one.alive:
            world.boot(number)
    world.run(8)
    serving, changes = world.serving(), len(world.registry.owners)
    assert len(serving) == 1
    world.run(20)
    assert (world.serving(), len(world.registry.owners)) == (serving, changes)


@settings(max_examples=300, deadline=None)
@given(OFFSETS, WRONGS, HAPPENS)
def test_two_gates_are_open_at_once_for_no_longer_than_a_lease(offsets, wrongs, happens):
    world = World(offsets, wrongs)
    world.run(2)
    for what, seconds in happens:
        _happen(world, what)
        world.run(seconds)
    assert world.worst <= rules.LEASE_SECONDS + 0.5
    assert world.unvouched <= rules.LEASE_SECONDS + 0.5


def test_who_took_without_the_registry_and_comes_back_to_it_is_not_open_beside_a_twin_that_lost_it_just_then():
    world = World((0.0, 50.0), (0, 0))
    world.run(2)
    happens = [("registry-b", 3.0), ("pair", 3.0), ("registry-b", 0.5), ("registry-a", 1.0)]
    for what, seconds in happens:
        _happen(world, what)
        world.run(seconds)
    assert world.worst <= rules.LEASE_SECONDS + 0.5


def test_an_agent_that_restarts_cut_off_is_in_doubt_from_its_first_moment():
    world = World((0.0, 50.0), (0, 0))
    world.run(2)
    (before,) = world.serving()
    number = "ab".index(before)
    world.pair, world.without_registry = False, {before}
    world.run(2)
    world.restart(number)
    for _ in range(300):
        world.run(STEP)
        assert rules.gate(world.gateways[number].view, world.at + world.offsets[number]) != "open"
    assert before in world.serving(), "it goes on with the clients that still talk to it"
    world.pair = True
    world.run(0.5)
    assert world.serving() == ["ba"[number]]


@settings(max_examples=100, deadline=None)
@given(OFFSETS, WRONGS, st.floats(0.1, 30.0))
def test_two_live_gateways_that_lost_each_other_change_roles_once_at_most(offsets, wrongs, seconds):
    world = World(offsets, wrongs)
    world.run(2)
    world.pair = False
    world.run(seconds)
    assert len(world.registry.owners) <= 2
    assert world.worst <= 1.0
    assert len(world.serving()) == 1 or seconds < 1
    world.pair = True
    world.run(10)
    assert len(world.registry.owners) <= 2
    assert len(world.serving()) == 1


@settings(max_examples=100, deadline=None)
@given(OFFSETS, WRONGS, st.floats(1.0, 5.0), st.floats(0.5, 10.0), st.floats(0.0, 2.0))
def test_who_took_without_the_registry_keeps_what_it_took_when_that_is_back(offsets, wrongs, apart, heard, lag):
    """The lease there is still the old owner's, which has let go to its twin and must not take it for its own."""
    world = World(offsets, wrongs)
    world.run(2)
    (before,) = world.serving()
    world.without_registry = {"a", "b"}
    world.pair = False
    world.run(apart)
    world.pair = True
    world.run(heard)
    assert world.serving() != [before] and len(world.serving()) == 1
    world.without_registry = {"ab".replace(before, "")}
    for rest in (lag, 6.0):  # one of them is back in the registry first
        for _ in range(round(rest / STEP)):
            world.run(STEP)
            assert world.serving() != [before]
        world.without_registry = set()
    assert len(world.registry.owners) == 2 and len(world.serving()) == 1


@settings(max_examples=100, deadline=None)
@given(OFFSETS, WRONGS, st.floats(0.0, 3.0), st.floats(0.5, 8.0))
def test_who_took_over_from_a_dead_twin_without_the_registry_serves_on_when_that_is_back(offsets, wrongs, alone, gone):
    """Though the lease is not the one that it had last seen: its owner had renewed it before it died."""
    world = World(offsets, wrongs)
    world.run(2)
    (before,) = world.serving()
    other = "ab".replace(before, "")
    world.without_registry = {other}
    world.run(alone)
    world.kill("ab".index(before))
    world.run(gone + 1.0)
    assert world.serving() == [other]
    world.without_registry = set()
    for _ in range(80):
        world.run(STEP)
        assert world.serving() == [other]
    assert world.registry.owners == [before, other]


def test_who_took_over_without_the_registry_lets_go_to_a_twin_that_renews_its_lease():
    """They lost each other, and one of them the registry: it knows no better until it is back."""
    world = World((0.0, 0.0), (0, 0))
    world.run(2)
    (before,) = world.serving()
    world.without_registry, world.pair = {"ab".replace(before, "")}, False
    world.run(6)
    assert len(world.serving()) == 2
    world.without_registry = set()
    world.run(1.5)
    assert world.serving() == [before]
    assert world.registry.owners == [before]


@settings(max_examples=100, deadline=None)
@given(OFFSETS, st.sampled_from(["pair", "cut off", "crash"]), st.lists(st.booleans(), max_size=3))
def test_a_client_that_downloads_is_back_with_the_new_owner_as_soon_as_the_old_one_is_shut(offsets, what, lost):
    world, client = World(offsets, (0, 0)), Client()
    for _ in range(30):
        world.run(STEP)
        client.step(world)
    (before,) = world.serving()
    assert client.answered_at == world.at
    client.outage, client.astray = 0.0, list(lost)
    match what:
        case "pair":
            world.pair = False
        case "cut off":
            world.pair, world.without_registry = False, {before}
        case _:
            world.kill("ab".index(before))
    for _ in range(100):
        world.run(STEP)
        client.step(world)
    assert client.answered_at == world.at
    assert client.outage <= {"pair": 1.5, "cut off": 2.5}.get(what, 0.7) + 0.4 * sum(lost)


@settings(max_examples=100, deadline=None)
@given(OFFSETS, WRONGS, st.booleans())
def test_a_standby_serves_within_half_a_second_of_its_twins_death(offsets, wrongs, registry_gone):
    world = World(offsets, wrongs)
    world.run(2)
    (before,) = world.serving()
    if registry_gone:
        world.without_registry = {"a", "b"}
        world.run(3)
        assert world.serving() == [before], "the registry alone moves nobody"
    world.kill("ab".index(before))
    world.run(0.6)
    assert world.serving() == ["ba"["ab".index(before)]]


def test_a_gateway_that_was_cut_off_is_in_doubt_before_it_can_be_heard_again():
    world = World((0.0, 50.0), (0, 0))
    world.run(2)
    (before,) = world.serving()
    number = "ab".index(before)
    world.pair, world.without_registry = False, {before}
    world.run(1.2)
    assert rules.gate(world.gateways[number].view, world.at + world.offsets[number]) == "doubt"
    assert world.serving() == ["a", "b"]
    world.pair, world.without_registry = True, set()
    world.run(0.2)
    assert world.serving() == ["ba"[number]]


def test_a_lone_owner_whose_twin_stands_by_is_sure_without_the_registry():
    view = View(me="a", twins={"b": Twin()})
    view = rules.answered(view, ShardLease(shard=0, owner="a", until_ms=1), 0.0, 0.0)
    view = rules.heard(rules.unanswered(view, False), "b", serving=False, term=0)
    assert rules.gate(view, 100.0) == "open"
    assert rules.gate(rules.fell_silent(view, "b", 100.0), 101.0) == "doubt"


def test_who_lost_a_shard_does_not_take_it_back_while_it_is_renewed():
    view = replace(View(me="a", twins={"b": Twin()}), lease=ShardLease(shard=0, owner="b", until_ms=1), answered=True)
    for clock in range(100):
        view = rules.answered(view, ShardLease(shard=0, owner="b", until_ms=clock), clock, clock)
        assert rules.claim(view, clock + 0.9) == Claim()


@settings(max_examples=50, deadline=None)
@given(OFFSETS, WRONGS, st.floats(3.2, 6.0), st.booleans())
def test_a_standby_knows_whose_the_lease_is_after_a_switch_as_well(offsets, wrongs, seconds, registry_gone):
    """And takes it over by that, whether or not the registry answers just then."""
    world = World(offsets, wrongs)
    world.run(2)
    (before,) = world.serving()
    old, new = sorted(world.gateways, key=lambda one: one.view.me != before)
    old.view = rules.hand_over(old.view, world.at + old.offset)
    new.view = rules.given(new.view, world.at + new.offset)
    world.run(seconds)
    assert world.serving() == [new.view.me]
    assert old.view.lease is not None and old.view.lease.owner == new.view.me
    world.kill("ab".index(new.view.me))
    world.without_registry = {before} if registry_gone else set()
    world.run(0.8)
    assert world.serving() == [before]
    world.without_registry = set()
    for _ in range(60):
        world.run(STEP)
        assert world.serving() == [before]


def test_a_handover_is_taken_at_once_and_not_taken_back_by_a_late_answer():
    a = rules.take(View(me="a", twins={"b": Twin(heard=True)}), 0.0)
    b = View(me="b", twins={"a": Twin(heard=True, serving=True, term=a.term)})
    a, b = rules.hand_over(a, 10.0), rules.given(b, 500.0)
    assert (a.serving, b.serving, b.term > a.term) == (False, True, True)
    assert rules.claim(a, 10.1) is None
    late = ShardLease(shard=0, owner="a", until_ms=1)
    assert not rules.answered(a, late, 9.9, 10.1).serving
    assert rules.answered(b, late, 499.9, 500.1).serving


def _standby(**changes) -> View:
    lease = ShardLease(shard=0, owner="b", until_ms=7)
    view = View(me="a", twins={"b": Twin(heard=True, serving=True)}, lease=lease, changed_at=0.0, answered=True)
    return replace(view, **changes)


def test_an_owner_takes_no_word_for_later():
    assert rules.fell_silent(_standby(), "b", 1.0).word == "b"
    assert rules.fell_silent(_standby(serving=True), "b", 1.0).word == ""


def test_a_word_counts_for_three_seconds():
    view = rules.fell_silent(_standby(changed_at=10.0), "b", 10.0)
    assert rules.claim(view, 12.9) == Claim(over="b")
    assert rules.claim(view, 13.1) == Claim(seen=7), "then the lease is stale, and only that very one is taken"


def test_the_lease_of_a_twin_that_is_heard_is_never_stale():
    assert rules.claim(_standby(), 100.0) == Claim()
    assert rules.claim(_standby(answered=False, twins={"b": Twin()}), 100.0) == Claim()


def test_of_two_that_heard_an_owner_fall_silent_one_takes_over_and_the_others_word_ends():
    taken = ShardLease(shard=0, owner="c", until_ms=9)
    late = rules.fell_silent(_standby(twins={"b": Twin(heard=True, serving=True), "c": Twin(heard=True)}), "b", 50.0)
    assert rules.due(late, 50.3)
    assert not rules.due(rules.answered(late, taken, 50.1, 50.2), 50.3), "the registry says whose it is"
    assert not rules.due(rules.heard(late, "c", serving=True, term=9), 50.3), "the new owner says so itself"
    assert rules.due(rules.answered(late, taken, 49.9, 50.2), 50.3), "that was before"


def test_an_owner_that_hears_nobody_any_more_is_sure_for_less_than_half_a_second():
    view = rules.take(View(me="a", twins={"b": Twin(heard=True)}), 0.0)
    view = rules.fell_silent(view, "b", 1.0)
    assert (rules.gate(view, 1.3), rules.gate(view, 1.5)) == ("open", "doubt")
