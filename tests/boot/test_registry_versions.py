"""Neighbouring versions on one registry: what an older one wrote is read, what a newer one added is kept, and a
registry that this one can't know is refused in one line."""

from __future__ import annotations

import json
import logging

import pytest

from tests.registry_samples import ALICE, BOB, definition, public_key
from tests.registry_tables import put_definition
from twinlock.registry import keys
from twinlock.registry.errors import Refused
from twinlock.registry.store import Registry
from twinlock.registry.table import Put
from twinlock.registry.versions import VERSION_KEY, version_item

# As version 1.0 wrote them, word by word: no version item, no pre-shared keys, no other attributes.
_KEY, _WHO, _OTHER = public_key("old"), "AROAALICE:alice", "AROABOB:bob"
_FIELDS = {"public_key": _KEY, "address": "10.64.1.9", "enrolled_by": _WHO, "enrolled_at": 1_700_000_000}
OLD_PEER = [
    {"pk": "peer#red", "sk": "laptop", **_FIELDS, "approved_by": (_OTHER,)},
    {"pk": "lease#red", "sk": "10.64.1.9", "name": "laptop", "public_key": _KEY},
    {"pk": "key", "sk": _KEY, "tenant": "red", "name": "laptop"},
    {"pk": f"enrolment#{_WHO}", "sk": f"red#laptop#{_KEY}", "address": "10.64.1.9"},
    {"pk": f"approval#{_OTHER}", "sk": f"red#laptop#{_KEY}", "address": "10.64.1.9"},
    {"pk": "meta", "sk": "red", "generation": 7},
]
OLD_DEFINITION = {
    "version": 1, "environment": "lab", "region": "eu-west-1", "tunnel_range": "10.64.0.0/16",
    "gateway_address": "10.64.0.1", "port": 51820, "mtu": 1420, "buckets": ["lab-data"],
    "tenants": [{"name": "red", "range": "10.64.1.0/24", "approval": "manual", "approvers": 1, "storage": True,
                 "services": [], "cidrs": [], "sources": []}],
    "slots": [{"name": "a", "zone": "eu-west-1a", "public_address": "198.51.100.10", "private_address": "10.80.0.10"}],
}  # fmt: skip


@pytest.fixture
def table(new_table):
    found = new_table()
    put_definition(found, definition())
    return found


@pytest.fixture
def registry(table):
    return Registry(table)


def test_what_version_1_0_wrote_is_served_rotated_and_revoked(table, registry):
    table.put({"pk": keys.DEFINITION, "sk": keys.DEFINITION_SORT, "json": json.dumps(OLD_DEFINITION)})
    table.transact([Put(item) for item in OLD_PEER])
    [peer] = registry.served_peers("red")
    assert (peer.name, peer.address, peer.preshared) == ("laptop", "10.64.1.9", None)
    assert registry.generations() == {"red": 7}
    registry.rotate(ALICE, "red", "laptop", public_key("new"), 60)
    registry.approve(BOB, "red", "laptop")
    assert {one.address for one in registry.served_peers("red")} == {"10.64.1.9"}
    registry.revoke(BOB, "red", "laptop")
    assert registry.served_peers("red") == ()


def test_what_a_newer_version_added_to_a_peer_stays_through_all_of_its_life(table, registry):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    more = {"colour": "green", "limits": {"mbit": 20}, "tags": ("a", "b"), "new_flag": True}
    table.put({**table.get((keys.pending("red"), "laptop")), **more})

    def held(partition: str, sort: str) -> dict:
        item = table.get((partition, sort))
        return {name: item[name] for name in more}

    registry.approve(BOB, "red", "laptop")
    assert held(keys.peer("red"), "laptop") == more
    assert [peer.name for peer in registry.served_peers("red")] == ["laptop"]
    registry.rotate(ALICE, "red", "laptop", public_key(2), 3600)
    registry.approve(BOB, "red", "laptop")
    assert held(keys.peer("red"), "laptop") == more
    registry.revoke(BOB, "red", "laptop")
    assert held(keys.revoked("red"), f"laptop#{public_key(2)}") == more


def test_a_peer_that_needs_what_this_version_does_not_know_is_not_served_and_that_is_said(table, registry, caplog):
    for name in ("plain", "narrow"):
        registry.enrol(ALICE, "red", name, public_key(name))
        registry.approve(BOB, "red", name)
    table.put({**table.get((keys.peer("red"), "narrow")), "needs": ("colours",)})
    with caplog.at_level(logging.WARNING):
        assert [peer.name for peer in registry.served_peers("red")] == ["plain"]
    assert "narrow: it needs a program that knows colours: update twinlock" in caplog.text
    assert [peer.name for peer in registry.peers("red")] == ["narrow", "plain"], "it is there to be seen and revoked"


def test_a_newer_minor_version_is_followed_and_a_newer_major_one_refused(table, registry):
    registry.enrol(ALICE, "auto", "job", public_key(1))
    table.put(version_item(1, 9))
    assert [peer.name for peer in registry.served_peers("auto")] == ["job"]
    assert registry.generations() == {"auto": 1}, "the version is no tenant"
    registry.enrol(ALICE, "auto", "other", public_key(2))
    table.put(version_item(2, 0))
    before = [*table.query(keys.peer("auto"))]
    calls = (
        registry.definition,
        lambda: registry.served_peers("auto"),
        lambda: registry.enrol(ALICE, "auto", "more", public_key(3)),
        lambda: registry.revoke(BOB, "auto", "job"),
        lambda: registry.peers("auto"),
    )
    for call in calls:
        with pytest.raises(Refused, match=r"of version 2\.0, and this program works with 1: update twinlock"):
            call()
    assert [*table.query(keys.peer("auto"))] == before


def test_an_older_program_takes_the_version_for_a_tenant_that_never_changes(table):
    """Version 1.0 reads META as tenants' numbers."""
    table.put(version_item(1, 1))
    assert table.get(VERSION_KEY)["generation"] == 0
