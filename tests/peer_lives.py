"""Random lives of peers: what people do to a registry and what a model in plain Python says must come of it.

No address twice, no revocation lost, each approval of a person of its own, an audit trail and change numbers without a
gap, a follower of changes who knows what a full reader knows, each key with its own pre-shared key; and all of that in
another table that was filled from a backup. A part of the transactions is lost, and a rival writes between what
somebody read and what they write.

What is drawn depends on nothing but what was drawn before: keys are counted, the clock and the dice are the machine's
own, and conditions of rules ask the model alone. A test that is stopped from outside, as by a limit of time, still
looks to Hypothesis like a failure that does not come again ("inconsistent data generation").
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256

from hypothesis import register_random
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.peer_model import Life, Lives, exchange
from tests.registry_samples import ALICE, BOB, CAROL, FakeClock, definition, public_key
from tests.registry_samples import tenant as a_tenant
from tests.registry_tables import Conflicting
from tests.vault import Vault
from twinlock.registry import backup, keys, leases
from twinlock.registry.definition import Definition
from twinlock.registry.errors import Refused
from twinlock.registry.ground import Clock
from twinlock.registry.model import Actor, Peer
from twinlock.registry.preshared import DataKey, PresharedKey, data_key_number
from twinlock.registry.store import Registry
from twinlock.registry.table import LostRace, Table

register_random(leases._DICE)  # which free addresses are looked at first

LOCKED, TINY = "locked", "tiny"  # the tenant with pre-shared keys, and one with five addresses
TENANTS, NAMES = ("red", "auto", "strict", TINY, LOCKED), ("one", "two", "three")
BOB_AT_NIGHT = Actor(user_id="AROABOB:night", arn=BOB.arn, host="phone")  # another session of the same person
PEOPLE = (ALICE, BOB, CAROL, BOB_AT_NIGHT)
NEEDED = {"red": 1, "auto": 0, "strict": 2, TINY: 1, LOCKED: 0}
ENVIRONMENT = replace(
    definition(),
    tenants=(*definition().tenants, replace(a_tenant(LOCKED, "10.64.4.0/24", approval="auto"), preshared_keys=True)),
)


@dataclass(frozen=True)
class Rival:
    """Somebody who changes the same tenant just before the transaction `at` of somebody else's step."""

    act: str
    name: str | None  # None: the one of that step
    who: Actor
    key: int | None
    at: int


FRESH = -1  # a key that nobody has had
# None: the tenant in which most of this life happens.
_TENANT = st.none() | st.sampled_from(TENANTS)
_WHO, _NAME, _KEY = (
    st.sampled_from(PEOPLE),
    st.sampled_from(NAMES),
    st.just(FRESH) | st.just(FRESH) | st.integers(0, 30),
)
_PICK = st.integers(0, 11)  # of those who live
_ACTS = ("nothing", "enrol", "enrol", "approve", "revoke", "rotate", "rotate the data key")
_RIVAL = st.builds(
    Rival, st.sampled_from(_ACTS), st.none() | _NAME, _WHO, st.none() | _KEY, st.sampled_from([0, 0, 0, 0, 1, 2])
)


class Contended(Conflicting):
    """A part of the transactions is lost; before others somebody else has their turn."""

    def __init__(self, table: Table, dice: random.Random, share: float) -> None:
        super().__init__(table, dice, share)
        self.first: list[Callable[[], None] | None] = []

    def transact(self, writes) -> None:
        if self.first and (strike := self.first.pop(0)) is not None:
            strike()
            self._table.transact(writes)  # whether it is lost is the table's to say
        else:
            super().transact(writes)


class Peers(RuleBasedStateMachine):
    new_table: Callable[[Definition], Table]  # set by the test
    thorough = True  # whether each step looks at everything, or at what the step may have changed

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.slept, self.dice = FakeClock(), 0.0, random.Random(7)
        self.lives, self.fresh = Lives(), 0
        self.changes = dict.fromkeys(TENANTS, 0)
        self.restored = dict.fromkeys(TENANTS, 0)  # numbers up to which the table holds no changes
        self.data_key_number, self.moves, self.wrapped = 1, 0, list[str]()
        self.tenants: set[str] = set(TENANTS)  # what the step may have changed
        self.people: set[Actor] = set(PEOPLE)
        self.move_in()
        self.registry.data_keys.claim(self.vault.new(LOCKED, 1, 0))

    def move_in(self) -> None:
        """Another environment of the same form, with nobody in it."""
        self.table = type(self).new_table(ENVIRONMENT)
        self.moves += 1
        self.vault = Vault(f"vault-{self.moves}")
        self.contended = Contended(self.table, self.dice, 0.2)
        self.registry = Registry(self.contended, Clock(self.clock.now, self.sleep, lambda: self.slept))
        self.told = {who: Counter[tuple[object, ...]]() for who in PEOPLE}  # the audit entries that are to be there
        self.follower: dict[str, tuple[int, dict[str, Peer]]] = {tenant: (0, {}) for tenant in TENANTS}

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    # What people do.

    @initialize(busy=st.sampled_from(TENANTS), seed=st.integers(0, 99))
    def begin(self, busy, seed):
        self.busy = busy
        self.dice.seed(seed)

    @rule(tenant=_TENANT, name=_NAME, who=_WHO, key=_KEY, rival=_RIVAL)
    def enrol(self, tenant, name, who, key, rival):
        key = self.key(key)
        with self.against(rival, tenant := tenant or self.busy, name, key):
            self.enrols(tenant, name, who, key, None)

    @rule(tenant=_TENANT, name=_NAME, who=_WHO, key=_KEY, rival=_RIVAL, ttl=st.integers(1, 900))
    def enrol_for_a_while(self, tenant, name, who, key, rival, ttl):
        key = self.key(key)
        with self.against(rival, tenant := tenant or self.busy, name, key):
            self.enrols(tenant, name, who, key, ttl)

    @precondition(lambda self: self.named("pending"))
    @rule(pick=_PICK, who=_WHO, rival=_RIVAL)
    def approve(self, pick, who, rival):
        tenant, name = self.picked(pick, "pending")
        with self.against(rival, tenant, name):
            self.approves(tenant, name, who)

    @precondition(lambda self: self.named("approved"))
    @rule(pick=_PICK, who=_WHO, key=_KEY, grace=st.sampled_from([0, 60, 900]), rival=_RIVAL)
    def rotate(self, pick, who, key, grace, rival):
        (tenant, name), key = self.picked(pick, "approved"), self.key(key)
        with self.against(rival, tenant, name, key):
            self.rotates(tenant, name, who, key, grace)

    @precondition(lambda self: self.named("pending", "approved"))
    @rule(pick=_PICK, who=_WHO, rival=_RIVAL)
    def revoke(self, pick, who, rival):
        tenant, name = self.picked(pick, "pending", "approved")
        with self.against(rival, tenant, name):
            self.revokes(tenant, name, who)

    @rule(act=st.sampled_from(["approve", "revoke", "rotate"]), tenant=_TENANT, name=_NAME, who=_WHO, key=_KEY)
    def ask_for_what_may_not_be(self, act, tenant, name, who, key):
        self.tenants, self.people = {tenant := tenant or self.busy}, set()
        self.rivals(act, tenant, name, who, self.key(key))

    @precondition(lambda self: self.wrapped)
    @rule(who=_WHO, rival=_RIVAL.filter(lambda rival: "data key" not in rival.act))
    def rotate_the_data_key(self, who, rival):
        with self.against(rival, LOCKED):
            self.rotates_the_data_key(who)

    @rule(seconds=st.sampled_from([1, 60, 599, 600, 900]))
    def time_passes(self, seconds):
        self.tenants, self.people = set(), set()
        self.clock.pass_(seconds)

    @precondition(lambda self: any(self.changes.values()))
    @rule(tenant=_TENANT)
    def a_gateway_follows(self, tenant):
        """It reads the changes since its own number alone, and knows then what a full read tells."""
        self.tenants, self.people = set(), set()
        tenant = tenant or self.busy
        number, known = self.follower[tenant]
        current = self.registry.generations().get(tenant, 0)
        names = self.registry.changed_names(tenant, number, current)
        if names is None:  # a backup holds no changes: who does not know them reads in full
            assert number < self.restored[tenant]
            names = frozenset(NAMES)
        fresh = {peer.public_key: peer for peer in self.registry.served_peers(tenant, sorted(names))}
        known = {key: peer for key, peer in known.items() if peer.name not in names} | fresh
        now = self.clock.now()
        known = {key: peer for key, peer in known.items() if peer.ends_at is None or peer.ends_at > now}
        self.follower[tenant] = (current, known)
        assert known.keys() == {peer.public_key for peer in self.registry.served_peers(tenant)}

    @precondition(lambda self: self.lives.all)
    @rule()
    def the_registry_moves_to_another_table(self):
        """By a file, resealed for the other environment, and on after each transaction that was lost."""
        taken = backup.take(self.table, ENVIRONMENT, int(self.clock.now()))
        file, vault = backup.to_text(taken), self.vault
        self.move_in()
        self.tenants, self.people = set(TENANTS), set(PEOPLE)
        self.registry.data_keys.claim(self.vault.new(LOCKED, 9, 0))  # the gateways there were quicker
        found = backup.resealed(backup.from_text(file, "the file"), vault, self.vault)

        def restore() -> None:
            backup.check(found, self.table, ENVIRONMENT)
            backup.put_back(found, self.contended)

        until_it_is_done(restore)
        self.restored = dict(self.changes)

    # What comes of it: whether it is refused, and what the model knows afterwards.

    def enrols(self, tenant: str, name: str, who: Actor, key: str, ttl: int | None) -> None:
        plain, wrapped = self.lock(tenant, key)
        peer = attempted(lambda: self.registry.enrol(who, tenant, name, key, ttl, wrapped))
        now = self.clock.now()
        held = self.lives.held(tenant, now)
        full = tenant == TINY and len(held) == 5
        refused = self.lives.uses(key) or self.lives.live(tenant, name, now) or full or self.stale(wrapped)
        assert (peer is None) == bool(refused)
        if peer is not None:
            assert peer.address not in held
            self.begins(Life(peer, NEEDED[tenant], plain), "enrol", who, told=peer.state == "approved")

    def approves(self, tenant: str, name: str, who: Actor) -> None:
        peer = attempted(lambda: self.registry.approve(who, tenant, name))
        now = self.clock.now()
        waits = [life for life in self.lives.live(tenant, name, now) if life.state(now) == "pending"]
        assert (peer is not None) == any(life.takes_approval_of(who.user_id) for life in waits)
        if peer is not None:
            [life] = waits
            life.approvers.append(who.user_id)
            exchange(life, now)
            assert peer.state == life.state(now)
            self.tell("approve", life, who, told=True)

    def rotates(self, tenant: str, name: str, who: Actor, key: str, grace: int) -> None:
        plain, wrapped = self.lock(tenant, key)
        peer = attempted(lambda: self.registry.rotate(who, tenant, name, key, grace, wrapped))
        now = self.clock.now()
        live = self.lives.live(tenant, name, now)
        at_rest = [life.state(now) for life in live] == ["approved"]
        assert (peer is not None) == (at_rest and not self.lives.uses(key) and not self.stale(wrapped))
        if peer is not None:
            [old] = live
            assert (peer.address, peer.expires_at) == (old.address, old.until)
            life = Life(peer, NEEDED[tenant], plain)
            life.replaces, life.grace = old, grace
            exchange(life, now)
            self.begins(life, "rotate", who, told=peer.state == "approved")

    def revokes(self, tenant: str, name: str, who: Actor) -> None:
        peer = attempted(lambda: self.registry.revoke(who, tenant, name))
        now = self.clock.now()
        live = self.lives.live(tenant, name, now)
        assert (peer is not None) == bool(live)
        for life in live:
            life.revoked_at = now
        if live:
            self.tell("revoke", live[0], who, told=True)

    def rotates_the_data_key(self, who: Actor) -> None:
        old = self.registry.data_keys.current(LOCKED)
        assert old is not None
        new = self.vault.new(LOCKED, old.number + 1, 0)
        until_it_is_done(lambda: self.registry.data_keys.replace(old, new))
        self.data_key_number = new.number
        self.registry.rewrap(who, self.vault.open(old), self.vault.open(new))
        for life in self.lives.of(LOCKED):
            if life.wrapped_with == old.number and life.state(self.clock.now()) in ("pending", "approved"):
                life.wrapped_with = new.number
                self.tell("rewrap", life, who, told=False)
        until_it_is_done(lambda: self.registry.data_keys.drop(old))

    def lock(self, tenant: str, key: str) -> tuple[PresharedKey | None, str | None]:
        """A new pre-shared key for this public key, plain and wrapped, where the tenant has them."""
        if tenant != LOCKED:
            return None, None
        plain = PresharedKey(sha256(f"pre-shared {len(self.wrapped)}".encode()).digest())
        self.wrapped.append(self.data_key().wrap(plain, key))
        return plain, self.wrapped[-1]

    def data_key(self) -> DataKey:
        sealed = self.registry.data_keys.current(LOCKED)
        assert sealed is not None
        assert sealed.number == self.data_key_number
        return self.vault.open(sealed)

    def stale(self, wrapped: str | None) -> bool:
        """Whether the data key was rotated since this was wrapped."""
        return wrapped is not None and data_key_number(wrapped) != self.data_key_number

    def begins(self, life: Life, action: str, who: Actor, *, told: bool) -> None:
        life.wrapped_with = self.data_key_number
        self.lives.all.append(life)
        self.tell(action, life, who, told=told)

    def tell(self, action: str, life: Life, who: Actor, *, told: bool) -> None:
        """An audit entry, and the tenant's next number where gateways are told: who waits is no news to them."""
        self.people.add(who)
        self.changes[life.tenant] += told
        number = self.changes[life.tenant] if told else None
        self.told[who][
            action, life.tenant, life.name, life.key, life.address, life.state(self.clock.now()), number
        ] += 1

    def named(self, *states: str) -> list[tuple[str, str]]:
        """Tenants and names of those who are in one of these states."""
        now = self.clock.now()
        return list(dict.fromkeys((one.tenant, one.name) for one in self.lives.all if one.state(now) in states))

    def picked(self, pick: int, *states: str) -> tuple[str, str]:
        found = self.named(*states)
        return found[pick % len(found)]

    @contextmanager
    def against(self, rival: Rival, tenant: str, name: str = NAMES[0], key: str | None = None) -> Iterator[None]:
        """A step in this tenant, in the middle of which the rival does theirs, whole."""
        self.tenants, self.people = {tenant}, set()
        if rival.act != "nothing":
            dice = leases._DICE.getstate()

            def strike() -> None:
                leases._DICE.setstate(dice)  # two who want an address want the same one
                own = key if rival.key is None and key else self.key(FRESH if rival.key is None else rival.key)
                self.rivals(rival.act, tenant, rival.name or name, rival.who, own)

            self.contended.first = [*[None] * rival.at, strike]
        yield
        self.contended.first = []

    def rivals(self, act: str, tenant: str, name: str, who: Actor, key: str) -> None:
        match act:
            case "enrol":
                self.enrols(tenant, name, who, key, None)
            case "approve":
                self.approves(tenant, name, who)
            case "revoke":
                self.revokes(tenant, name, who)
            case "rotate":
                self.rotates(tenant, name, who, key, 60)
            case _:
                self.tenants.add(LOCKED)
                self.rotates_the_data_key(who)

    def key(self, number: int) -> str:
        self.fresh += number == FRESH
        return public_key(f"fresh {self.fresh}" if number == FRESH else number)

    # What is true after each step.

    def looked_at(self) -> list[str]:
        return [tenant for tenant in TENANTS if self.thorough or tenant in self.tenants]

    @invariant()
    def who_is_served_is_who_was_approved_and_neither_revoked_nor_expired(self):
        now = self.clock.now()
        for tenant in self.looked_at():
            wanted = {life.key for life in self.lives.of(tenant) if life.state(now) == "approved"}
            assert {peer.public_key for peer in self.registry.served_peers(tenant)} == wanted

    @invariant()
    def each_change_has_its_number(self):
        assert self.registry.generations() == {tenant: count for tenant, count in self.changes.items() if count}

    @invariant()
    def the_audit_trail_tells_each_step_once_and_no_secret(self):
        for who in (who for who in PEOPLE if self.thorough or who in self.people):
            items = list(self.table.query(keys.audit(who.user_id)))
            parts = ("action", "tenant", "name", "public_key", "address", "state", "generation")
            assert Counter(tuple(map(item.get, parts)) for item in items) == self.told[who]
            said = str(items)
            assert not any(text in said for text in ("preshared", *self.wrapped))

    @invariant()
    def each_key_is_in_the_state_that_its_life_led_to(self):
        """At its address, and with its own pre-shared key; what has expired may be gone."""
        now = self.clock.now()
        for tenant in self.looked_at():
            wanted = {(life.key, life.name, life.address, life.state(now)) for life in self.lives.of(tenant)}
            peers = self.registry.peers(tenant)
            found = {(one.public_key, one.name, one.address, one.state) for one in peers}
            assert {one for one in found if one[3] != "expired"} == {one for one in wanted if one[3] != "expired"}
            assert found <= wanted
            if tenant == LOCKED:
                opens, locked = self.data_key(), {life.key: life.preshared for life in self.lives.of(tenant)}
                for peer in (one for one in peers if one.state in ("pending", "approved")):
                    assert opens.unwrap(peer.preshared or "", peer.public_key) == locked[peer.public_key]


def attempted(step: Callable[[], Peer]) -> Peer | None:
    """None if it was refused."""
    try:
        return step()
    except Refused:
        return None


def until_it_is_done(step: Callable[[], object]) -> None:
    """As whoever started it does after a conflict: once more."""
    for _ in range(50):
        try:
            step()
        except LostRace:
            continue
        except Refused as exc:
            assert "just now" in str(exc)
            continue
        return
    raise AssertionError("50 conflicts in a row")
