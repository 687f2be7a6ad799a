"""Who counts as another person where somebody else has to approve: pure, without a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.registry_samples import ALICE, BOB, CAROL, definition, public_key
from twinlock.registry import items, keys
from twinlock.registry.errors import Refused
from twinlock.registry.model import Actor, Peer
from twinlock.registry.transitions import Moment, approve, attestation_keys, attested

STRICT = next(tenant for tenant in definition().tenants if tenant.approvers == 2)
PENDING = Peer(
    tenant=STRICT.name, name="laptop", public_key=public_key(1), address="10.64.3.9", state="pending",
    enrolled_by=ALICE.user_id, enrolled_at=1_700_000_000, approved_by=(), expires_at=None,
)  # fmt: skip


def again(actor: Actor) -> Actor:
    """The same role, in a session that calls itself otherwise."""
    return replace(actor, user_id=actor.user_id.partition(":")[0] + ":somebody-else")


def _approve(actor: Actor, peer: Peer) -> Peer:
    return approve(Moment(STRICT, 1, actor, 1_700_000_100), peer, None).peer


def test_another_session_of_the_enrollers_role_approves_nothing():
    with pytest.raises(Refused, match="another session of your role, AROAALICE"):
        _approve(again(ALICE), PENDING)


def test_two_sessions_of_one_role_are_one_approver():
    once = _approve(BOB, PENDING)
    with pytest.raises(Refused, match=r"already: another approver is needed.*AROABOB"):
        _approve(again(BOB), once)
    assert _approve(CAROL, once).state == "approved"


@pytest.mark.parametrize(
    ("approvers", "holds"),
    [((BOB, CAROL), True), ((BOB, again(BOB)), False), ((BOB, again(ALICE)), False), ((BOB, ALICE), False)],
    ids=["two roles", "one role twice", "a session of the enroller's role", "the enroller"],
)
def test_a_gateway_counts_roles_whatever_the_item_claims(approvers, holds):
    peer = replace(PENDING, state="approved", approved_by=tuple(actor.user_id for actor in approvers))
    found = {key: items.attestation_item(key, peer) for key in attestation_keys(peer)}
    assert len(found) == 1 + len(approvers)
    assert keys.approval(BOB.user_id) in {partition for partition, _ in found}
    assert attested(STRICT, peer, found) == holds
