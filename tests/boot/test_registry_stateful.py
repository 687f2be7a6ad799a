"""Random lives of peers on each cloud's table, a part of the transactions lost to somebody else.

A model in plain Python says what must be true after each step: no address twice, no revocation lost, an audit trail
that explains the state, change numbers without a gap, a follower of changes who knows what a full reader knows, and
each key with its own pre-shared key. All of it stays true in another table that was filled from a backup.
"""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.peer_model import Life, Lives, exchange
from tests.registry_samples import ALICE, BOB, CAROL, FakeClock, definition, public_key
from tests.registry_samples import tenant as a_tenant
from tests.registry_tables import Conflicting, put_definition
from twinlock.registry import backup, keys
from twinlock.registry.data_keys import SealedDataKey
from twinlock.registry.errors import Refused
from twinlock.registry.ground import Clock
from twinlock.registry.preshared import DataKey, PresharedKey, make_preshared_key
from twinlock.registry.store import Registry
from twinlock.registry.table import LostRace

LOCKED = "locked"  # the tenant with pre-shared keys
TENANTS, NAMES, PEOPLE = ("red", "auto", "strict", "tiny", LOCKED), ("one", "two", "three"), (ALICE, BOB, CAROL)
NEEDED = {"red": 1, "auto": 0, "strict": 2, "tiny": 1, LOCKED: 0}
ENVIRONMENT = replace(
    definition(),
    tenants=(*definition().tenants, replace(a_tenant(LOCKED, "10.64.4.0/24", approval="auto"), preshared_keys=True)),
)


class Vault:
    """An environment's own key: opens nothing that another one has sealed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def new(self, tenant: str, number: int, made_at: int) -> SealedDataKey:
        return self.seal(DataKey(tenant, number, random.randbytes(32)), made_at)

    def seal(self, key: DataKey, made_at: int) -> SealedDataKey:
        sealed = f"{self.name} {b64encode(key.raw).decode()}"
        return SealedDataKey(tenant=key.tenant, number=key.number, sealed=sealed, made_at=made_at)

    def open(self, sealed: SealedDataKey) -> DataKey:
        name, raw = sealed.sealed.split()
        assert name == self.name
        return DataKey(sealed.tenant, sealed.number, b64decode(raw))


class Peers(RuleBasedStateMachine):
    new_table = None  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.lives = Lives()
        self.changes = dict.fromkeys(TENANTS, 0)
        self.moves, self.wrapped, self.trail = 0, [], []
        self.touched = TENANTS  # what a step may have changed: the others are looked at when all is done
        self.move_in()
        self.registry.data_keys.claim(self.vault.new(LOCKED, 1, 0))

    def move_in(self) -> None:
        """Another environment of the same form, with nobody in it."""
        self.table = type(self).new_table()
        self.moves += 1
        self.vault = Vault(f"vault-{self.moves}")
        put_definition(self.table, ENVIRONMENT)
        clock = Clock(now=self.clock.now, sleep=lambda _: None)
        self.conflicting = Conflicting(self.table, random.Random(7), 0.2)
        self.registry = Registry(self.conflicting, clock)
        self.follower = {tenant: (0, {}) for tenant in TENANTS}

    def lock(self, tenant: str, key: str) -> tuple[PresharedKey | None, str | None]:
        """A new pre-shared key for this public key, plain and wrapped, where the tenant has them."""
        if tenant != LOCKED:
            return None, None
        plain = make_preshared_key()
        self.wrapped.append(self.data_key().wrap(plain, key))
        return plain, self.wrapped[-1]

    def data_key(self) -> DataKey:
        return self.vault.open(self.registry.data_keys.current(LOCKED))

    @rule(
        tenant=st.sampled_from(TENANTS), name=st.sampled_from(NAMES), who=st.sampled_from(PEOPLE),
        key=st.integers(0, 30), ttl=st.none() | st.integers(1, 900),
    )  # fmt: skip
    def enrol(self, tenant, name, who, key, ttl):
        self.touched = (tenant,)
        now, used = self.clock.now(), self.lives.uses(public_key(key))
        taken, held = self.lives.live(tenant, name, now), self.lives.held(tenant, now)
        plain, wrapped = self.lock(tenant, public_key(key))
        try:
            peer = self.registry.enrol(who, tenant, name, public_key(key), ttl, wrapped)
        except Refused as exc:
            assert used or taken or ("all addresses" in str(exc) and tenant == "tiny" and len(held) == 5)
            return
        assert not used
        assert not taken
        assert peer.address not in held
        self.lives.all.append(Life(peer, NEEDED[tenant], plain))
        self.changes[tenant] += peer.state == "approved"  # who waits is no news to a gateway

    @rule(tenant=st.sampled_from(TENANTS), name=st.sampled_from(NAMES), who=st.sampled_from(PEOPLE))
    def approve(self, tenant, name, who):
        self.touched = (tenant,)
        now = self.clock.now()
        life = next((one for one in self.lives.live(tenant, name, now) if one.state(now) == "pending"), None)
        if life is None or who.user_id == life.by or who.user_id in life.approvers:
            with pytest.raises(Refused):
                self.registry.approve(who, tenant, name)
            return
        life.approvers.append(who.user_id)
        assert self.registry.approve(who, tenant, name).state == life.state(now)
        exchange(life, now)
        self.changes[tenant] += 1

    def approved(self) -> list[tuple[str, str]]:
        """Tenants and names: those with pre-shared keys alone, as soon as there are some."""
        now = self.clock.now()
        found = [(life.tenant, life.name) for life in self.lives.all if life.state(now) == "approved"]
        return [one for one in found if one[0] == LOCKED] or found

    @precondition(lambda self: self.approved())
    @rule(
        pick=st.integers(0, 11), who=st.sampled_from(PEOPLE), key=st.integers(0, 30),
        grace=st.sampled_from([0, 60, 900]),
    )  # fmt: skip
    def rotate(self, pick, who, key, grace):
        served = self.approved()
        tenant, name = served[pick % len(served)]
        self.touched = (tenant,)
        now, used = self.clock.now(), self.lives.uses(public_key(key))
        live = self.lives.live(tenant, name, now)
        plain, wrapped = self.lock(tenant, public_key(key))
        if used or len(live) != 1 or live[0].state(now) != "approved":
            with pytest.raises(Refused):
                self.registry.rotate(who, tenant, name, public_key(key), grace, wrapped)
            return
        peer = self.registry.rotate(who, tenant, name, public_key(key), grace, wrapped)
        assert (peer.address, peer.expires_at) == (live[0].address, live[0].until)
        life = Life(peer, NEEDED[tenant], plain)
        life.replaces, life.grace = live[0], grace
        self.lives.all.append(life)
        exchange(life, now)
        self.changes[tenant] += peer.state == "approved"

    @rule(tenant=st.sampled_from(TENANTS), name=st.sampled_from(NAMES), who=st.sampled_from(PEOPLE))
    def revoke(self, tenant, name, who):
        self.touched = (tenant,)
        live = self.lives.live(tenant, name, self.clock.now())
        if not live:
            with pytest.raises(Refused):
                self.registry.revoke(who, tenant, name)
            return
        self.registry.revoke(who, tenant, name)
        for life in live:
            life.revoked_at, life.told_of = self.clock.now(), live[0].key
        self.changes[tenant] += 1

    @rule(seconds=st.sampled_from([1, 60, 599, 600, 900]))
    def time_passes(self, seconds):
        self.touched = TENANTS
        self.clock.pass_(seconds)

    @precondition(lambda self: self.wrapped)
    @rule(who=st.sampled_from(PEOPLE))
    def the_data_key_is_rotated(self, who):
        self.touched = (LOCKED,)
        old = self.registry.data_keys.current(LOCKED)
        new = self.vault.new(LOCKED, old.number + 1, 0)
        until_it_is_done(lambda: self.registry.data_keys.replace(old, new))
        self.registry.rewrap(who, self.vault.open(old), self.vault.open(new))
        until_it_is_done(lambda: self.registry.data_keys.drop(old))

    @precondition(lambda self: any(self.changes.values()))
    @rule(tenant=st.sampled_from(TENANTS))
    def a_gateway_follows(self, tenant):
        """It reads the changes since its own number alone, and knows then what a full read tells."""
        self.touched = ()
        number, known = self.follower[tenant]
        current = self.registry.generations().get(tenant, 0)
        names = self.registry.changed_names(tenant, number, current)
        if names is None:
            assert self.moves > 1
            assert number < self.restored[tenant]  # a backup holds no changes: who does not know them reads in full
            names = {peer.name for peer in known.values()} | set(NAMES)
        fresh = {peer.public_key: peer for peer in self.registry.served_peers(tenant, names)}
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
        self.touched, self.trail = TENANTS, self.told()  # which stays where it was written
        self.move_in()
        self.registry.data_keys.claim(self.vault.new(LOCKED, 9, 0))  # the gateways there were quicker
        found = backup.resealed(backup.from_text(file, "the file"), vault, self.vault)

        def restore() -> None:
            backup.check(found, self.table, ENVIRONMENT)
            backup.put_back(found, self.conflicting)

        until_it_is_done(restore)
        self.restored = dict(self.changes)

    def told(self):
        return [*self.trail, *(item for who in PEOPLE for item in self.table.query(keys.audit(who.user_id)))]

    def teardown(self):
        self.touched = TENANTS
        self.who_is_served_is_who_was_approved_and_neither_revoked_nor_expired()
        self.each_key_is_in_the_state_that_its_life_led_to()
        told = str([*self.told(), *self.table.query(keys.change(LOCKED))])
        assert "preshared" not in told
        assert not any(wrapped in told for wrapped in self.wrapped)

    @invariant()
    def who_is_served_is_who_was_approved_and_neither_revoked_nor_expired(self):
        now = self.clock.now()
        for tenant in self.touched:
            wanted = {life.key for life in self.lives.of(tenant) if life.state(now) == "approved"}
            assert {peer.public_key for peer in self.registry.served_peers(tenant)} == wanted

    @invariant()
    def each_change_has_its_number_and_the_audit_trail_tells_them_all(self):
        assert self.registry.generations() == {tenant: count for tenant, count in self.changes.items() if count}
        told = self.told()
        for tenant, count in self.changes.items():
            mine = [item for item in told if item["tenant"] == tenant]
            mine.sort(key=lambda item: item.get("generation", 0))
            assert [item["generation"] for item in mine if "generation" in item] == list(range(1, count + 1))
            ends = {item["public_key"]: item["state"] for item in mine}
            for life in self.lives.of(tenant):
                assert ends[life.told_of or life.key] == life.state(0)

    @invariant()
    def each_key_is_in_the_state_that_its_life_led_to(self):
        """At its address, and with its own pre-shared key; what has expired may be gone."""
        now, opens = self.clock.now(), self.data_key()
        for tenant in self.touched:
            wanted = {(life.key, life.name, life.address, life.state(now)) for life in self.lives.of(tenant)}
            peers = self.registry.peers(tenant)
            found = {(one.public_key, one.name, one.address, one.state) for one in peers}
            assert {one for one in found if one[3] != "expired"} == {one for one in wanted if one[3] != "expired"}
            assert found <= wanted
            locked = {life.key: life.preshared for life in self.lives.of(tenant)}
            for peer in (one for one in peers if one.state in ("pending", "approved")):
                opened = opens.unwrap(peer.preshared, peer.public_key) if peer.preshared else None
                assert opened == locked[peer.public_key]


def until_it_is_done(step) -> None:
    """As whoever started it does after a conflict: once more."""
    for _ in range(50):
        try:
            return step()
        except (LostRace, Refused) as exc:
            assert isinstance(exc, LostRace) or "just now" in str(exc)
    raise AssertionError("50 conflicts in a row")


def test_no_life_of_peers_breaks_what_the_registry_promises(new_table):
    Peers.new_table = staticmethod(new_table)
    run_state_machine_as_test(
        Peers,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck),
            database=None, print_blob=False,
        ),
    )  # fmt: skip


def test_a_conflict_on_every_second_transaction_loses_nothing(new_table):
    table = new_table()
    put_definition(table, definition())
    conflicting = Conflicting(table, random.Random(7), 0.5)
    registry = Registry(conflicting, Clock(sleep=lambda _: None))
    for number in range(20):
        registry.enrol(ALICE, "auto", f"job-{number}", public_key(number))
    assert conflicting.conflicts > 0
    assert len({peer.address for peer in registry.served_peers("auto")}) == 20
    assert registry.generations() == {"auto": 20}
