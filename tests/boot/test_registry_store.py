"""What the registry promises, on the table of each cloud."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

import pytest

from tests.registry_samples import (
    ALICE,
    BOB,
    CAROL,
    FakeClock,
    definition,
    gateway_record,
    public_key,
)
from tests.registry_tables import Around, put_definition
from twinlock.registry import keys
from twinlock.registry.addresses import QUARANTINE, Room
from twinlock.registry.errors import Corrupt, Refused
from twinlock.registry.ground import Clock
from twinlock.registry.model import Identity, LeaseClaim, ShardLease, SwitchWish, Wanted
from twinlock.registry.people import BULK
from twinlock.registry.store import Registry
from twinlock.registry.table import Delete, Put


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def registry(table, clock):
    put_definition(table, definition())
    return Registry(table, Clock(now=clock.now))


@pytest.fixture
def table(new_table):
    return new_table()


def test_a_peer_is_served_once_somebody_else_approved_it(registry):
    pending = registry.enrol(ALICE, "red", "laptop", public_key(1))
    assert pending.state == "pending"
    assert IPv4Address(pending.address) in IPv4Network("10.64.1.0/24")
    assert registry.served_peers("red") == ()
    approved = registry.approve(BOB, "red", "laptop")
    assert registry.served_peers("red") == (approved,)
    assert registry.served_peers("red", ["laptop", "nobody"]) == (approved,)
    assert (approved.state, approved.approved_by, approved.address) == ("approved", (BOB.user_id,), pending.address)


def test_a_narrowed_peer_is_served_as_its_people_said_and_rotates_so(registry):
    registry.enrol(ALICE, "red", "laptop", public_key(1), reach=("nfs",))
    registry.approve(BOB, "red", "laptop")
    [served] = registry.served_peers("red")
    assert (served.reach, served.needs) == (("nfs",), {"narrowing"}), "an older gateway would serve it wide"
    registry.rotate(ALICE, "red", "laptop", public_key(2), grace=60)
    registry.approve(BOB, "red", "laptop")
    assert [peer.reach for peer in registry.served_peers("red")] == [("nfs",), ("nfs",)]
    with pytest.raises(Refused, match="does not reach db"):
        registry.enrol(ALICE, "red", "pc", public_key(3), reach=("db",))
    assert registry.live("red", "pc") == ()


@pytest.mark.parametrize("wider", [None, ("nfs", "storage"), ()])
def test_who_may_write_the_peers_item_alone_widens_nobody(registry, table, wider):
    registry.enrol(ALICE, "red", "laptop", public_key(1), reach=("nfs",))
    registry.approve(BOB, "red", "laptop")
    item = dict(table.get((keys.peer("red"), "laptop")))
    del item["reach"], item["needs"]
    table.transact([Put(item if wider is None else item | {"reach": wider})])
    assert registry.served_peers("red") == ()


def test_nobody_approves_what_he_enrolled(registry):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    with pytest.raises(Refused, match="somebody else"):
        registry.approve(ALICE, "red", "laptop")
    assert registry.peer("red", "laptop").state == "pending"


def test_a_tenant_with_two_approvers_needs_two_different_ones(registry):
    registry.enrol(ALICE, "strict", "laptop", public_key(1))
    assert registry.approve(BOB, "strict", "laptop").state == "pending"
    with pytest.raises(Refused, match="already"):
        registry.approve(BOB, "strict", "laptop")
    assert registry.served_peers("strict") == ()
    assert registry.approve(CAROL, "strict", "laptop").state == "approved"
    assert [peer.name for peer in registry.served_peers("strict")] == ["laptop"]


def test_where_a_tenant_approves_by_itself_an_enrolled_peer_is_served(registry):
    peer = registry.enrol(ALICE, "auto", "job", public_key(1), ttl=60)
    assert registry.served_peers("auto") == (peer,)


def test_an_approved_item_without_the_approvals_is_not_served(registry, table):
    """What somebody with write access to peer#T alone could forge."""
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    item = dict(table.get((keys.pending("red"), "laptop")))
    for approvers in ((), (ALICE.user_id,), (BOB.user_id,)):
        table.transact([Put(item | {keys.PARTITION: keys.peer("red"), "approved_by": approvers})])
        assert registry.served_peers("red") == ()


def test_approvals_hold_for_the_address_and_the_end_that_were_approved(registry, table):
    registry.enrol(ALICE, "red", "laptop", public_key(1), ttl=600)
    registry.approve(BOB, "red", "laptop")
    item = dict(table.get((keys.peer("red"), "laptop")))
    for forged in ({"address": "10.64.1.9"}, {"expires_at": item["expires_at"] + 1}):
        table.transact([Put(item | forged)])
        assert registry.served_peers("red") == ()


def test_a_revoked_peer_stays_revoked_even_if_its_item_is_put_back(registry, table):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.approve(BOB, "red", "laptop")
    item = table.get((keys.peer("red"), "laptop"))
    registry.revoke(BOB, "red", "laptop")
    table.transact([Put(item)])
    assert registry.served_peers("red") == ()


def test_what_once_stood_is_read_again_cheaply_and_a_revocation_never_from_memory(registry, table):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    approved = registry.approve(BOB, "red", "laptop")
    item = table.get((keys.peer("red"), "laptop"))
    assert registry.served_peers("red") == registry.served_peers("red") == (approved,)
    registry.revoke(BOB, "red", "laptop")
    table.transact([Put(item)])
    assert registry.served_peers("red") == registry.served_peers("red", ["laptop"]) == ()


def test_a_peer_that_stood_does_not_lend_its_approvals_to_another(registry, table):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.approve(BOB, "red", "laptop")
    assert len(registry.served_peers("red")) == 1
    item = dict(table.get((keys.peer("red"), "laptop")))
    for forged in ({"public_key": public_key(2)}, {keys.SORT: "phone"}, {"address": "10.64.1.7"}):
        table.transact([Put(item | forged)])
    assert registry.served_peers("red") == ()


def test_an_unreadable_item_keeps_no_other_peer_out(registry, table):
    registry.enrol(ALICE, "auto", "job", public_key(1))
    table.transact([Put({keys.PARTITION: keys.peer("auto"), keys.SORT: "broken", "public_key": 7})])
    assert [peer.name for peer in registry.served_peers("auto")] == ["job"]


def test_every_change_has_a_number_and_names_whom_it_changed(registry):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.approve(BOB, "red", "laptop")
    registry.enrol(ALICE, "red", "phone", public_key(2))
    registry.enrol(ALICE, "auto", "job", public_key(3))
    assert registry.generations() == {"red": 1, "auto": 1}, "who waits for approval is no news to a gateway"
    registry.approve(BOB, "red", "phone")
    assert registry.changed_names("red", 0, 2) == {"laptop", "phone"}
    assert registry.changed_names("red", 1, 2) == {"phone"}
    assert registry.changed_names("red", 2, 2) == frozenset()


def test_a_gap_in_the_changes_asks_for_a_full_read(registry, table):
    for number in range(3):
        registry.enrol(ALICE, "auto", f"peer-{number}", public_key(number))
    table.transact([Delete((keys.change("auto"), "000000000002"))])
    assert registry.changed_names("auto", 0, 3) is None
    assert registry.changed_names("auto", 2, 3) == {"peer-2"}
    assert registry.changed_names("auto", 3, 1) is None, "the registry was restored from a backup"


def test_a_key_is_used_once_in_all_tenants_and_for_ever(registry):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.revoke(BOB, "red", "laptop")
    with pytest.raises(Refused, match="peer laptop of tenant red"):
        registry.enrol(ALICE, "strict", "laptop", public_key(1))


def test_a_name_is_taken_until_its_peer_is_revoked_or_expired(registry, clock):
    registry.enrol(ALICE, "red", "laptop", public_key(1), ttl=60)
    with pytest.raises(Refused, match=r"already \(pending\)"):
        registry.enrol(ALICE, "red", "laptop", public_key(2))
    registry.approve(BOB, "red", "laptop")
    with pytest.raises(Refused, match=r"already \(approved\)"):
        registry.enrol(ALICE, "red", "laptop", public_key(2))
    clock.pass_(60)
    assert registry.served_peers("red") == ()
    registry.enrol(ALICE, "red", "laptop", public_key(2))
    second = registry.approve(BOB, "red", "laptop")
    assert registry.served_peers("red") == (second,)
    registry.revoke(BOB, "red", "laptop")
    assert registry.enrol(ALICE, "red", "laptop", public_key(3)).state == "pending"


@pytest.mark.parametrize("act", ["approve", "revoke"])
def test_an_illegal_transition_says_the_state_that_the_peer_is_in(registry, clock, act):
    registry.enrol(ALICE, "auto", "gone", public_key(1))
    registry.revoke(BOB, "auto", "gone")
    registry.enrol(ALICE, "auto", "late", public_key(2), ttl=5)
    clock.pass_(5)
    for name, state in (("gone", "revoked"), ("late", "expired")):
        with pytest.raises(Refused, match=f"is {state}"):
            getattr(registry, act)(BOB, "auto", name)
    assert registry.generations() == {"auto": 3}


def fill(registry, tenant: str, addresses: int) -> None:
    for number in range(addresses):
        registry.enrol(ALICE, tenant, f"filler-{number}", public_key(f"filler {tenant} {number}"))


def test_an_address_is_given_again_only_after_its_quarantine(registry, clock):
    fill(registry, "tiny", 4)
    first = registry.enrol(ALICE, "tiny", "one", public_key(1))
    registry.revoke(BOB, "tiny", "one")
    clock.pass_(QUARANTINE - 1)
    with pytest.raises(Refused, match="all addresses"):
        registry.enrol(ALICE, "tiny", "two", public_key(2))
    clock.pass_(1)
    assert registry.enrol(ALICE, "tiny", "two", public_key(2)).address == first.address


def test_an_expired_peers_address_comes_back_by_itself(registry, clock):
    fill(registry, "tiny", 4)
    first = registry.enrol(ALICE, "tiny", "job", public_key(1), ttl=30)
    clock.pass_(30 + QUARANTINE)
    assert registry.enrol(ALICE, "tiny", "job", public_key(2), ttl=30).address == first.address


def test_a_full_range_is_refused_and_the_gateways_own_address_is_never_given(registry):
    # 10.64.0.0/29 has six hosts, and 10.64.0.1 is the gateways'.
    given = [registry.enrol(ALICE, "tiny", f"peer-{n}", public_key(n)).address for n in range(5)]
    assert sorted(given) == [f"10.64.0.{n}" for n in range(2, 7)]
    with pytest.raises(Refused, match=r"all addresses of 10\.64\.0\.0/29"):
        registry.enrol(ALICE, "tiny", "late", public_key(9))


def test_a_range_is_filled_to_its_last_address_and_says_when_it_nears_its_end(registry):
    assert registry.scarce_room("auto") is None
    everyone = [Wanted(name=f"job-{n}", public_key=public_key(n)) for n in range(254)]
    given = [peer.address for at in range(0, 254, BULK)
             for peer in registry.enrol_some(ALICE, "auto", everyone[at : at + BULK])]  # fmt: skip
    assert len(set(given)) == 254
    assert registry.scarce_room("auto") == Room(254, 254)
    with pytest.raises(Refused, match="widen"):
        registry.enrol(ALICE, "auto", "late", public_key("late"))


def test_an_enrolment_reads_a_few_leases_and_not_all_of_them(table, registry):
    fill(registry, "red", 20)

    class Counting(Around):
        queries: ClassVar[list[str]] = []

        def query(self, partition, first=None, last=None):
            self.queries.append(partition)
            return table.query(partition, first, last)

    Registry(Counting(table)).enrol(ALICE, "red", "one-more", public_key("more"))
    assert Counting.queries == []


def test_of_many_that_are_enrolled_together_all_or_none_come_in(registry):
    registry.enrol(ALICE, "red", "taken", public_key(0))
    wanted = [Wanted(name=name, public_key=public_key(name)) for name in ("one", "taken", "two")]
    with pytest.raises(Refused, match="has a peer taken already"):
        registry.enrol_some(ALICE, "red", wanted)
    assert [peer.name for peer in registry.peers("red")] == ["taken"]
    registry.enrol_some(ALICE, "red", [wanted[0], wanted[2]])
    registry.approve_some(BOB, "red", ["one", "two"])
    assert registry.generations() == {"red": 1}
    assert registry.changed_names("red", 0, 1) == {"one", "two"}
    assert [peer.name for peer in registry.served_peers("red")] == ["one", "two"]
    registry.revoke_some(BOB, "red", ["one", "two"])
    assert registry.served_peers("red") == ()


def rotated(registry, tenant="red", grace=60):
    """A peer whose key 1 gave way to key 2."""
    registry.enrol(ALICE, tenant, "laptop", public_key(1))
    if tenant == "red":
        registry.approve(BOB, "red", "laptop")
    registry.rotate(CAROL, tenant, "laptop", public_key(2), grace)
    return registry.approve(BOB, "red", "laptop") if tenant == "red" else registry.peer(tenant, "laptop")


def served(registry, tenant="red", names=None):
    return {peer.public_key: peer for peer in registry.served_peers(tenant, names)}


@pytest.mark.parametrize("tenant", ["red", "auto"])
def test_both_keys_of_a_rotated_peer_are_served_until_the_grace_ends(registry, clock, tenant):
    rotated(registry, tenant)
    for names in (None, ["laptop"]):
        both = served(registry, tenant, names)
        assert both.keys() == {public_key(1), public_key(2)}
        assert both[public_key(2)].address == both[public_key(1)].address
        assert (both[public_key(2)].replaces, both[public_key(1)].retires_at) == (public_key(1), clock.now() + 60)
    clock.pass_(60)
    for names in (None, ["laptop"]):
        assert served(registry, tenant, names).keys() == {public_key(2)}
    assert registry.peer(tenant, "laptop").public_key == public_key(2)


def test_a_rotation_is_approved_by_somebody_else_and_changes_nothing_before(registry):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.approve(BOB, "red", "laptop")
    waiting = registry.rotate(BOB, "red", "laptop", public_key(2), 60)
    assert (waiting.state, registry.generations()) == ("pending", {"red": 1})
    assert served(registry).keys() == {public_key(1)}
    with pytest.raises(Refused, match="yourself"):
        registry.approve(BOB, "red", "laptop")
    with pytest.raises(Refused, match="being rotated already"):
        registry.rotate(ALICE, "red", "laptop", public_key(3), 60)
    registry.approve(CAROL, "red", "laptop")
    with pytest.raises(Refused, match="being rotated already"):
        registry.rotate(ALICE, "red", "laptop", public_key(3), 60)


@pytest.mark.parametrize("approved", [False, True])
def test_a_revocation_ends_every_key_of_a_peer_that_rotates(registry, clock, approved):
    if approved:
        rotated(registry)
    else:
        registry.enrol(ALICE, "red", "laptop", public_key(1))
        registry.approve(BOB, "red", "laptop")
        registry.rotate(CAROL, "red", "laptop", public_key(2), 60)
    registry.revoke(BOB, "red", "laptop")
    assert served(registry) == served(registry, names=["laptop"]) == {}
    assert {peer.state for peer in registry.peers("red")} == {"revoked"}
    with pytest.raises(Refused, match="is revoked"):
        registry.approve(ALICE, "red", "laptop")


def test_write_access_to_peers_alone_prolongs_no_key_that_was_rotated_away(registry, table, clock):
    rotated(registry)
    item = dict(table.get((keys.peer("red"), "laptop")))
    clock.pass_(60)
    table.transact([Put(item | {"replaces": public_key(1), "grace": 10**6, "retires_at": 2**40})])
    assert served(registry).keys() == {public_key(2)}
    table.transact([Put(item | {"public_key": public_key(1)})])
    assert served(registry) == {}


def test_a_key_that_is_or_was_anybodys_is_no_new_key(registry):
    rotated(registry, grace=1)
    registry.enrol(ALICE, "auto", "job", public_key(3))
    registry.enrol(ALICE, "auto", "other", public_key(4))
    for key in (public_key(1), public_key(3), public_key(4)):
        with pytest.raises(Refused, match="is or was that of"):
            registry.rotate(ALICE, "auto", "job", key, 60)
    with pytest.raises(Refused, match="has no peer nobody"):
        registry.rotate(ALICE, "auto", "nobody", public_key(9), 60)


def test_a_rotated_peer_keeps_its_address_after_the_grace_and_its_lease(registry, clock):
    fill(registry, "tiny", 4)
    registry.enrol(ALICE, "tiny", "laptop", public_key(1))
    registry.approve(BOB, "tiny", "laptop")
    registry.rotate(CAROL, "tiny", "laptop", public_key(2), 60)
    registry.approve(BOB, "tiny", "laptop")
    clock.pass_(60 + 2 * QUARANTINE)
    with pytest.raises(Refused, match="all addresses"):
        registry.enrol(ALICE, "tiny", "late", public_key(9))
    registry.revoke(BOB, "tiny", "laptop")
    clock.pass_(QUARANTINE)
    assert registry.enrol(ALICE, "tiny", "late", public_key(9)).state == "pending"


def test_an_unknown_tenant_is_refused_with_the_ones_that_exist(registry):
    for ask in (
        lambda: registry.enrol(ALICE, "blue", "laptop", public_key(1)),
        lambda: registry.peers("blue"),
        lambda: registry.peer("blue", "laptop"),
        lambda: registry.served_peers("blue"),
    ):
        with pytest.raises(Refused, match="no tenant blue; it has: red"):
            ask()


def test_fifty_enrolments_at_once_get_fifty_addresses(registry):
    def one(number: int) -> str:
        return registry.enrol(ALICE, "red", f"peer-{number}", public_key(number)).address

    with ThreadPoolExecutor(50) as pool:
        addresses = list(pool.map(one, range(50)))
    assert len(set(addresses)) == 50
    assert registry.generations() == {}


def test_twenty_that_are_let_in_at_once_get_twenty_numbers(registry):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: registry.enrol(ALICE, "auto", f"peer-{n}", public_key(n)), range(20)))
    assert registry.generations() == {"auto": 20}
    assert registry.changed_names("auto", 0, 20) == {f"peer-{number}" for number in range(20)}


def test_of_two_enrolments_with_one_key_at_once_one_is_refused(registry):
    def one(tenant: str) -> bool:
        try:
            registry.enrol(ALICE, tenant, "laptop", public_key(1))
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(one, ["red", "strict"])) == [False, True]


def test_two_gateways_agree_on_one_identity_each_time(registry):
    for round_ in range(20):
        claims = [
            Identity(name=f"way#{round_}", public_key=public_key(n), secret_version=str(n), claimed_at=n)
            for n in (1, 2)
        ]
        with ThreadPoolExecutor(2) as pool:
            winners = set(pool.map(registry.claim_identity, claims))
        assert len(winners) == 1
        assert registry.identity(f"way#{round_}") == winners.pop()


def test_an_identity_that_nobody_claimed_is_none(registry):
    assert registry.identity("service") is None


def test_a_lease_is_written_only_over_none_ones_own_a_named_owners_or_the_very_one_that_was_seen(registry):
    def lease(owner, until):
        return ShardLease(shard=0, owner=owner, until_ms=until)

    def written(owner, until, **how):
        return registry.write_leases([LeaseClaim(lease=lease(owner, until), **how)], 1)[0]

    assert written("a", 4_000) == lease("a", 4_000)
    assert written("b", 9_000) == lease("a", 4_000)
    assert written("a", 5_000) == lease("a", 5_000)
    assert written("b", 9_000, seen=4_000) == lease("a", 5_000)
    assert written("b", 9_000, over="c") == lease("a", 5_000)
    assert written("b", 9_000, seen=5_000) == lease("b", 9_000)
    assert written("a", 9_500, over="b") == lease("a", 9_500)


def _claims(owner, until, *shards, **how):
    return [LeaseClaim(lease=ShardLease(shard=one, owner=owner, until_ms=until), **how) for one in shards]


def test_of_sixteen_shards_each_has_a_lease_of_its_own(registry):
    held = registry.write_leases(_claims("a", 4_000, *range(16)), 16)
    assert {lease.owner for lease in held.values()} == {"a"}
    held = registry.write_leases(_claims("b", 5_000, 3, 5, over="a") + _claims("b", 5_000, 7, 8), 16)
    assert [shard for shard, lease in held.items() if lease.owner == "b"] == [3, 5]
    held = registry.write_leases(_claims("a", 6_000, *range(16)), 16)
    assert held[3] == ShardLease(shard=3, owner="b", until_ms=5_000)
    assert held[4] == ShardLease(shard=4, owner="a", until_ms=6_000)
    assert registry.write_leases(_claims("b", 7_000, 4, seen=4_000), 16) == held, "it was renewed since"


def test_gateways_that_claim_at_the_same_moment_get_each_shard_once(registry):
    registry.write_leases(_claims("c", 1_000, *range(16)), 16)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(registry.write_leases, _claims(one, 2_000, *range(16), over="c"), 16) for one in "abde"]
        told = [one.result() for one in asked]
    held = registry.write_leases(_claims("z", 9_000, 0), 16)
    assert len({lease.owner for lease in held.values()}) == 1
    assert all(leases[0] in (held[0], leases[0]) and leases[0].owner != "c" for leases in told)
    assert all(leases == held for leases in told), "all of them know who won"


def test_a_gateway_that_knows_of_one_shard_and_others_that_know_of_sixteen_respect_each_others_lease(registry):
    registry.write_leases(_claims("a", 4_000, 0), 1)
    held = registry.write_leases(_claims("b", 5_000, *range(16)), 16)
    assert {lease.owner for lease in held.values()} == {"a"}
    registry.write_leases(_claims("b", 5_000, *range(16), over="a"), 16)
    assert registry.write_leases(_claims("a", 6_000, 0), 1)[0].owner == "b"
    assert registry.write_leases(_claims("a", 6_000, 0, over="b"), 1)[0].owner == "a"
    assert registry.write_leases(_claims("b", 7_000, *range(16)), 16)[15].owner == "a"


def test_a_wish_names_shards_or_none(registry):
    for wish in (SwitchWish(to="b", asked_ms=1), SwitchWish(to="a", asked_ms=2, shards=(0, 15))):
        registry.ask_switch(wish)
        assert registry.switch_wish() == wish


def test_a_gateways_record_comes_back_as_it_was_put(registry):
    record = gateway_record("b")
    registry.put_gateway(record)
    for changed in (replace(record, serving=True, applied={}), replace(record, serving=True, shards=(0, 3))):
        registry.put_gateway(changed)
        assert registry.gateways(["a", "b"]) == (changed,)


def test_a_table_without_a_definition_is_an_error(table):
    with pytest.raises(Corrupt, match="pulumi up"):
        Registry(table).definition()


def test_more_peers_than_one_answer_holds_are_all_served(registry, table):
    """More than 100 keys in a batch, and more than 1 MiB in a query."""
    for number in range(120):
        registry.enrol(ALICE, "auto", f"job-{number:03}", public_key(number))
    filler = {keys.PARTITION: keys.peer("auto"), keys.SORT: "filler", "address": "x" * 30_000}
    for number in range(40):
        table.put(filler | {keys.SORT: f"filler-{number}"})
    assert [peer.name for peer in registry.served_peers("auto")] == [f"job-{number:03}" for number in range(120)]


def test_every_change_leaves_an_audit_entry_under_who_made_it(registry, table):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.approve(BOB, "red", "laptop")
    registry.revoke(BOB, "red", "laptop")
    entries = [item for who in (ALICE, BOB) for item in table.query(keys.audit(who.user_id))]
    told = {(entry.get("generation"), entry["action"], entry["name"], entry["state"]) for entry in entries}
    assert told == {
        (None, "enrol", "laptop", "pending"),
        (1, "approve", "laptop", "approved"),
        (2, "revoke", "laptop", "revoked"),
    }
