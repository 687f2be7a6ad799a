"""Random lives of peers on each cloud's table, a part of the transactions lost to somebody else.

A model in plain Python says what must be true after each step: no address twice, no revocation lost, an audit trail
that explains the state, change numbers without a gap, and a follower of changes who knows what a full reader knows.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.registry_samples import ALICE, BOB, CAROL, FakeClock, definition, public_key
from tests.registry_tables import Conflicting, put_definition
from twinlock.registry import keys
from twinlock.registry.addresses import QUARANTINE
from twinlock.registry.errors import Refused
from twinlock.registry.ground import Clock
from twinlock.registry.store import Registry

TENANTS, NAMES, PEOPLE = ("red", "auto", "strict", "tiny"), ("one", "two", "three"), (ALICE, BOB, CAROL)
NEEDED = {"red": 1, "auto": 0, "strict": 2, "tiny": 1}


class Life:
    """What the model knows of one peer."""

    def __init__(self, tenant, name, key, by, address, until) -> None:
        self.tenant, self.name, self.key, self.by, self.address, self.until = tenant, name, key, by, address, until
        self.approvers: list[str] = []
        self.revoked_at: float | None = None

    def state(self, now: float) -> str:
        if self.revoked_at is not None:
            return "revoked"
        if self.until is not None and self.until <= now:
            return "expired"
        return "approved" if len(self.approvers) >= NEEDED[self.tenant] else "pending"

    def held(self, now: float) -> bool:
        """Whether nobody else may have the address."""
        ends = self.revoked_at if self.revoked_at is not None else self.until
        return ends is None or ends + QUARANTINE > now


class Peers(RuleBasedStateMachine):
    new_table = None  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.table = type(self).new_table()
        put_definition(self.table, definition())
        clock = Clock(now=self.clock.now, sleep=lambda _: None)
        self.registry = Registry(Conflicting(self.table, random.Random(7), 0.2), clock)
        self.lives: list[Life] = []
        self.changes = dict.fromkeys(TENANTS, 0)
        self.follower = {tenant: (0, {}) for tenant in TENANTS}

    def last(self, tenant: str, name: str) -> Life | None:
        return next((life for life in reversed(self.lives) if (life.tenant, life.name) == (tenant, name)), None)

    @rule(
        tenant=st.sampled_from(TENANTS), name=st.sampled_from(NAMES), who=st.sampled_from(PEOPLE),
        key=st.integers(0, 30), ttl=st.none() | st.integers(1, 900),
    )  # fmt: skip
    def enrol(self, tenant, name, who, key, ttl):
        now, last = self.clock.now(), self.last(tenant, name)
        used = any(life.key == public_key(key) for life in self.lives)
        taken = last is not None and last.state(now) in ("pending", "approved")
        try:
            peer = self.registry.enrol(who, tenant, name, public_key(key), ttl)
        except Refused as exc:
            full = "all addresses" in str(exc)
            held = sum(life.held(now) for life in self.lives if life.tenant == tenant)
            assert used or taken or (full and tenant == "tiny" and held == 5)
            return
        assert not used
        assert not taken
        clash = [life for life in self.lives if life.tenant == tenant and life.held(now)]
        assert peer.address not in {life.address for life in clash}
        self.lives.append(Life(tenant, name, peer.public_key, who.user_id, peer.address, peer.expires_at))
        self.changes[tenant] += peer.state == "approved"  # who waits is no news to a gateway

    @rule(tenant=st.sampled_from(TENANTS), name=st.sampled_from(NAMES), who=st.sampled_from(PEOPLE))
    def approve(self, tenant, name, who):
        life = self.last(tenant, name)
        legal = (
            life is not None and life.state(self.clock.now()) == "pending"
            and who.user_id != life.by and who.user_id not in life.approvers
        )  # fmt: skip
        if not legal:
            with pytest.raises(Refused):
                self.registry.approve(who, tenant, name)
            return
        life.approvers.append(who.user_id)
        assert self.registry.approve(who, tenant, name).state == life.state(self.clock.now())
        self.changes[tenant] += 1

    @rule(tenant=st.sampled_from(TENANTS), name=st.sampled_from(NAMES), who=st.sampled_from(PEOPLE))
    def revoke(self, tenant, name, who):
        life = self.last(tenant, name)
        if life is None or life.state(self.clock.now()) not in ("pending", "approved"):
            with pytest.raises(Refused):
                self.registry.revoke(who, tenant, name)
            return
        self.registry.revoke(who, tenant, name)
        life.revoked_at = self.clock.now()
        self.changes[tenant] += 1

    @rule(seconds=st.sampled_from([1, 60, 599, 600, 900]))
    def time_passes(self, seconds):
        self.clock.pass_(seconds)

    @precondition(lambda self: any(self.changes.values()))
    @rule(tenant=st.sampled_from(TENANTS))
    def a_gateway_follows(self, tenant):
        """It reads the changes since its own number alone, and knows then what a full read tells."""
        number, known = self.follower[tenant]
        current = self.registry.generations().get(tenant, 0)
        names = self.registry.changed_names(tenant, number, current)
        assert names is not None
        fresh = {peer.name: peer for peer in self.registry.served_peers(tenant, names)}
        known = {name: peer for name, peer in known.items() if name not in names} | fresh
        now = self.clock.now()
        known = {name: peer for name, peer in known.items() if peer.expires_at is None or peer.expires_at > now}
        self.follower[tenant] = (current, known)
        assert tuple(sorted(known)) == tuple(peer.name for peer in self.registry.served_peers(tenant))

    @invariant()
    def who_is_served_is_who_was_approved_and_neither_revoked_nor_expired(self):
        now = self.clock.now()
        for tenant in TENANTS:
            wanted = {life.key for life in self.lives if life.tenant == tenant and life.state(now) == "approved"}
            assert {peer.public_key for peer in self.registry.served_peers(tenant)} == wanted

    @invariant()
    def each_change_has_its_number_and_the_audit_trail_tells_them_all(self):
        assert self.registry.generations() == {tenant: count for tenant, count in self.changes.items() if count}
        told = [item for who in PEOPLE for item in self.table.query(keys.audit(who.user_id))]
        for tenant, count in self.changes.items():
            mine = [item for item in told if item["tenant"] == tenant]
            mine.sort(key=lambda item: item.get("generation", 0))
            assert [item["generation"] for item in mine if "generation" in item] == list(range(1, count + 1))
            ends = {item["public_key"]: item["state"] for item in mine}
            for life in self.lives:
                if life.tenant == tenant:
                    timeless = life.state(0)
                    assert ends[life.key] == timeless

    @invariant()
    def the_last_of_a_name_is_in_the_state_that_its_life_led_to(self):
        for tenant in TENANTS:
            for name in NAMES:
                life = self.last(tenant, name)
                if life is not None and life.state(self.clock.now()) in ("pending", "approved"):
                    peer = self.registry.peer(tenant, name)
                    assert (peer.public_key, peer.state) == (life.key, life.state(self.clock.now()))


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
