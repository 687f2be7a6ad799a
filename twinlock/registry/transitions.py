"""The life of a peer, as the writes of one transaction each: pure.

pending -> approved -> revoked | expired, and back only by a new enrolment. A pending peer may be revoked too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from twinlock.registry import items, keys
from twinlock.registry.addresses import QUARANTINE
from twinlock.registry.data_keys import still_current
from twinlock.registry.definition import Tenant
from twinlock.registry.errors import Refused
from twinlock.registry.items import Lease
from twinlock.registry.model import Actor, Peer
from twinlock.registry.preshared import data_key_number
from twinlock.registry.table import Check, Condition, Delete, Item, Put, Value, Write, absent, at_most, equals


@dataclass(frozen=True, kw_only=True)
class Change:
    """A step in one peer's life. `told`: gateways have to hear of it, so it gets a number."""

    action: str
    peer: Peer  # as it is afterwards
    writes: tuple[Write, ...]
    told: bool = True
    checks: tuple[Check, ...] = ()  # which several changes may share


@dataclass(frozen=True)
class Moment:
    """What every change of a peer starts from."""

    tenant: Tenant
    generation: int  # the tenant's, as read; a transaction that tells gateways holds only if it is still that
    actor: Actor
    now: int


def enrol(moment: Moment, peer: Peer) -> Change:
    """`peer` is pending; where the tenant approves by itself it comes back approved.

    Each condition stands in the writes themselves, so that enrolments of a tenant that are to be approved need no
    number, and do not wait for each other.
    """
    tenant = moment.tenant.name
    free_name = absent() | at_most("expires_at", moment.now)
    own, other = keys.pending(tenant), keys.peer(tenant)
    if moment.tenant.approval == "auto":
        peer, own, other = replace(peer, state="approved"), other, own
    lease = Lease(peer.address, peer.name, peer.public_key, peer.expires_at)
    writes = (
        Put(items.peer_item(own, peer), free_name),
        Check((other, peer.name), free_name),
        Put(items.lease_item(tenant, lease, QUARANTINE), absent() | at_most("held_until", moment.now - QUARANTINE)),
        Put(_key_item(peer), absent()),
        Put(items.attestation_item((keys.enrolment(moment.actor.user_id), items.subject(peer)), peer)),
    )
    return Change(
        action="enrol", peer=peer, writes=writes, told=peer.state == "approved", checks=_data_key_checks(peer)
    )


def _data_key_checks(peer: Peer) -> tuple[Check, ...]:
    return () if peer.preshared is None else (still_current(peer.tenant, data_key_number(peer.preshared)),)


def rotate(moment: Moment, current: Peer, public_key: str, grace: int, preshared: str | None) -> Change:
    """A new key for a peer: approved like a new peer, and until then nothing changes."""
    if current.state != "approved":
        where = f"peer {current.name} of tenant {current.tenant}"
        raise Refused(f"{where} is {current.state}: only an approved one takes a new key")
    peer = replace(
        current, public_key=public_key, state="pending", enrolled_by=moment.actor.user_id, enrolled_at=moment.now,
        approved_by=(), replaces=current.public_key, grace=grace, retires_at=None, preshared=preshared,
    )  # fmt: skip
    attestation = items.attestation_item((keys.enrolment(moment.actor.user_id), items.subject(peer)), peer)
    writes: tuple[Write, ...] = (Put(_key_item(peer), absent()), Put(attestation))
    if moment.tenant.approval == "auto":
        peer = replace(peer, state="approved")
        writes += _exchanged(moment, current, peer)
        return Change(action="rotate", peer=peer, writes=writes, checks=_data_key_checks(peer))
    writes += (
        Put(items.peer_item(keys.pending(peer.tenant), peer), absent() | at_most("expires_at", moment.now)),
        Check((keys.peer(peer.tenant), peer.name), equals("public_key", current.public_key)),
    )
    return Change(action="rotate", peer=peer, writes=writes, told=False, checks=_data_key_checks(peer))


def rewrap(held: Peer, preshared: str, by: str) -> Change:
    """The same pre-shared key under another data key. Gateways that opened it need not hear of it."""
    peer, same = replace(held, preshared=preshared), equals("preshared", held.preshared or "")
    if peer.retires_at is not None:
        item = items.revoked_item(replace(peer, state="revoked"), by, peer.retires_at)
    else:
        item = items.peer_item(keys.pending(peer.tenant) if peer.state == "pending" else keys.peer(peer.tenant), peer)
    return Change(action="rewrap", peer=peer, writes=(Put(item, same),), told=False)


def _exchanged(moment: Moment, old: Peer, new: Peer) -> tuple[Write, ...]:
    """The new key's item takes the old one's place; the old key's revocation is written now, for the grace's end."""
    unchanged = equals("public_key", old.public_key)
    until = moment.now + new.grace
    lease = Lease(new.address, new.name, new.public_key, new.expires_at)
    return (
        Put(items.peer_item(keys.peer(new.tenant), new), unchanged),
        Put(items.revoked_item(replace(old, state="revoked"), moment.actor.user_id, until)),
        Put(items.lease_item(new.tenant, lease, QUARANTINE), unchanged),
    )


def approve(moment: Moment, peer: Peer, current: Peer | None) -> Change:
    """One approval more; the peer moves when it has as many as the tenant needs.

    `current` is what a rotation replaces.
    """
    who, tenant = moment.actor.user_id, moment.tenant
    if peer.state != "pending":
        raise Refused(f"peer {peer.name} of tenant {peer.tenant} is {peer.state}: only a pending one can be approved")
    if person(who) == person(peer.enrolled_by):
        raise Refused(
            f"you enrolled peer {peer.name} of tenant {peer.tenant} yourself: somebody else has to approve it"
            + _as_role(who, peer.enrolled_by)
        )
    same = next((other for other in peer.approved_by if person(other) == person(who)), None)
    if same is not None:
        raise Refused(
            f"you approved peer {peer.name} of tenant {peer.tenant} already: another approver is needed"
            + _as_role(who, same)
        )
    approved = replace(peer, approved_by=(*peer.approved_by, who))
    attestation = Put(items.attestation_item((keys.approval(who), items.subject(peer)), peer))
    unchanged = equals("public_key", peer.public_key)
    if len(approved.approved_by) < needed_approvals(tenant):
        moved: tuple[Write, ...] = (Put(items.peer_item(keys.pending(tenant.name), approved), unchanged),)
    elif approved.replaces is not None:
        if current is None or current.public_key != approved.replaces:
            raise Refused(f"the key that peer {peer.name} of tenant {peer.tenant} would replace is gone: revoke it")
        approved = replace(approved, state="approved")
        leaves = Delete((keys.pending(tenant.name), peer.name), unchanged)
        moved = (leaves, *_exchanged(moment, current, approved))
    else:
        approved = replace(approved, state="approved")
        moved = (
            Delete((keys.pending(tenant.name), peer.name), unchanged),
            Put(items.peer_item(keys.peer(tenant.name), approved), absent() | at_most("expires_at", moment.now)),
        )
    return Change(action="approve", peer=approved, writes=(*moved, attestation))


def revoke(moment: Moment, lives: Sequence[Peer]) -> Change:
    """Everything that is live under one name: what is served first, then what waits, then what was rotated away."""
    for peer in lives:
        if peer.state not in ("pending", "approved"):
            raise Refused(f"peer {peer.name} of tenant {peer.tenant} is {peer.state}: there is nothing to revoke")
    first = lives[0]
    lease = Lease(first.address, first.name, first.public_key, moment.now)
    writes: list[Write] = [
        *(write for peer in lives for write in _ended(moment, peer)),
        Put(items.lease_item(first.tenant, lease, QUARANTINE), equals("public_key", first.public_key)),
    ]
    if not any(peer.state == "pending" for peer in lives):
        # A rotation that was asked for meanwhile has no number that would show it, and must not stay. To delete what is
        # not there, or has expired, takes no right that whoever revokes does not have.
        writes.append(Delete((keys.pending(first.tenant), first.name), absent() | at_most("expires_at", moment.now)))
    return Change(action="revoke", peer=replace(first, state="revoked"), writes=tuple(writes))


def _ended(moment: Moment, peer: Peer) -> tuple[Write, ...]:
    gone = Put(items.revoked_item(replace(peer, state="revoked", preshared=None), moment.actor.user_id, moment.now))
    if peer.retires_at is not None:
        return (gone,)
    held = keys.pending(peer.tenant) if peer.state == "pending" else keys.peer(peer.tenant)
    return Delete((held, peer.name), equals("public_key", peer.public_key)), gone


def person(who: str) -> str:
    """Of an AWS unique user id. The sessions of one role are one person: who assumes it chooses the session's name."""
    return who.partition(":")[0]


def _as_role(who: str, other: str) -> str:
    return "" if who == other else f" (that was another session of your role, {person(who)}, which is one person here)"


def needed_approvals(tenant: Tenant) -> int:
    return 0 if tenant.approval == "auto" else max(1, tenant.approvers)


def attested(tenant: Tenant, peer: Peer, found: Mapping[tuple[str, str], Item]) -> bool:
    """Whether the people whom the item names have said so themselves, under keys that IAM lets only them write.

    `found` holds what `attestation_keys` names, as far as it exists.
    """
    subject = items.subject(peer)
    if not items.attests(found.get((keys.enrolment(peer.enrolled_by), subject)), peer):
        return False
    approvers = {
        person(who)
        for who in peer.approved_by
        if person(who) != person(peer.enrolled_by) and items.attests(found.get((keys.approval(who), subject)), peer)
    }
    return len(approvers) >= needed_approvals(tenant)


def revocation_key(peer: Peer) -> tuple[str, str]:
    """Where its revocation lies, for ever; whoever puts a revoked peer back finds it not served."""
    return keys.revoked(peer.tenant), items.revoked_sort(peer)


def attestation_keys(peer: Peer) -> tuple[tuple[str, str], ...]:
    subject = items.subject(peer)
    return (
        (keys.enrolment(peer.enrolled_by), subject),
        *((keys.approval(who), subject) for who in peer.approved_by),
    )


def transaction(moment: Moment, changes: Sequence[Change]) -> tuple[Write, ...]:
    """All writes of these changes of one tenant, an audit entry for each, and one number for those that are told."""
    told = [change.peer.name for change in changes if change.told]
    following = moment.generation + 1 if told else None
    writes: list[Write] = [write for change in changes for write in change.writes]
    writes += dict.fromkeys(check for change in changes for check in change.checks)
    writes += [Put(_audit_item(moment, change, following if change.told else None)) for change in changes]
    return (*writes, *(() if following is None else _numbered(moment, following, tuple(told))))


def _numbered(moment: Moment, following: int, names: tuple[str, ...]) -> tuple[Write, ...]:
    tenant = moment.tenant.name
    meta = {keys.PARTITION: keys.META, keys.SORT: tenant, "generation": following}
    same: Condition = equals("generation", moment.generation) if moment.generation else absent()
    return Put(meta, same), Put(items.change_item(tenant, following, names, moment.now), absent())


def _key_item(peer: Peer) -> Item:
    return {
        keys.PARTITION: keys.KEY,
        keys.SORT: peer.public_key,
        "tenant": peer.tenant,
        "name": peer.name,
    }


def _audit_item(moment: Moment, change: Change, generation: int | None) -> Item:
    peer = change.peer
    item: dict[str, Value] = {
        keys.PARTITION: keys.audit(moment.actor.user_id),
        keys.SORT: f"{moment.now:012d}#{uuid4().hex}",
        "action": change.action,
        "tenant": peer.tenant,
        "name": peer.name,
        "public_key": peer.public_key,
        "address": peer.address,
        "state": peer.state,
        "at": moment.now,
        "actor": json.dumps({"arn": moment.actor.arn, "host": moment.actor.host}, sort_keys=True),
    }
    return item if generation is None else item | {"generation": generation}
