"""A job's peer, from its enrolment to its end: what it may reach, and that nothing of it stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from tests.memory_table import MemoryTable
from tests.registry_samples import ALICE, definition
from twinlock.cli.private_key import make_private_key
from twinlock.cli.temporary_peer import temporary_peer
from twinlock.registry.definition import Definition
from twinlock.registry.errors import Refused
from twinlock.registry.model import Actor
from twinlock.registry.store import Registry


@dataclass(frozen=True)
class Cloud:
    registry: Registry
    name: str = "lab"

    def actor(self) -> Actor:
        return ALICE


def automatic() -> Definition:
    """Where red, which reaches storage, nfs and a network, lets its enrollers' peers in at once."""
    sample = definition()
    red, *others = sample.tenants
    return replace(sample, tenants=(replace(red, approval="auto"), *others))


@pytest.mark.parametrize("reach", [None, ("nfs", "storage")])
def test_a_jobs_peer_reaches_what_was_named_and_is_revoked_with_the_job(reach):
    cloud = Cloud(Registry(MemoryTable(automatic())))
    with temporary_peer(cloud, "red", "ci-1", make_private_key(), 60, reach, lambda: None) as made:
        assert (made.peer.state, made.peer.reach) == ("approved", reach)
        assert [peer.reach for peer in cloud.registry.served_peers("red", ["ci-1"])] == [reach]
    assert cloud.registry.peer("red", "ci-1").state == "revoked"


def test_what_the_tenant_does_not_reach_is_refused_and_nothing_is_enrolled():
    table = MemoryTable(automatic())
    before, ended = dict(table.items), []
    refused = pytest.raises(Refused, match=r"tenant red does not reach db; it reaches storage, nfs, 10\.80\.64\.0/20")
    with (
        refused,
        temporary_peer(
            Cloud(Registry(table)), "red", "ci-1", make_private_key(), 60, ("db", "nfs"), lambda: ended.append(1)
        ),
    ):
        pytest.fail("a job was run")
    assert table.items == before and ended
