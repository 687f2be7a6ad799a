"""What a list of wanted peers asks of the registry: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from twinlock.registry.errors import Refused
from twinlock.registry.model import Peer, Wanted

Roster = Mapping[str, tuple[Wanted, ...]]  # tenant -> its peers


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the difference. `kept`: live, not in the list, and nobody asked to prune."""

    act: Literal["enrol", "revoke", "kept"]
    tenant: str
    name: str
    public_key: str
    expires_at: int | None
    reach: tuple[str, ...] | None


def steps(wanted: Roster, live: Mapping[str, Sequence[Peer]], *, prune: bool) -> tuple[Step, ...]:
    """Enrolments first, then revocations; of tenants that the list names alone.

    `live` are the pending and the approved. Raises Refused where a live peer differs from the list: what was
    approved is a key, an end and a reach, so none is changed in passing.
    """
    enrol, other = list[Step](), list[Step]()
    for tenant, listed in wanted.items():
        there = {peer.name: peer for peer in live.get(tenant, ())}
        for one in listed:
            if one.name in there:
                _check_same(one, there.pop(one.name))
            else:
                enrol.append(_step("enrol", tenant, one))
        other += [_step("revoke" if prune else "kept", tenant, peer) for peer in there.values()]
    return (*enrol, *other)


def batches(found: Sequence[Step], act: Literal["enrol", "revoke"], size: int) -> Iterator[tuple[str, list[Step]]]:
    """(tenant, steps) of one act, `size` at most, in order."""
    for tenant in dict.fromkeys(step.tenant for step in found):
        mine = [step for step in found if step.act == act and step.tenant == tenant]
        for at in range(0, len(mine), size):
            yield tenant, mine[at : at + size]


def check_unowned(found: Sequence[Step], owners: Mapping[str, tuple[str, str]]) -> None:
    """`owners` are those of keys that were enrolled before: public key -> (tenant, name)."""
    for step in found:
        if step.act == "enrol" and step.public_key in owners:
            tenant, name = owners[step.public_key]
            raise Refused(
                f"peer {step.name} of tenant {step.tenant}: its key is or was that of peer {name} of tenant {tenant}: "
                "a key is used once, make another"
            )


def _step(act: Literal["enrol", "revoke", "kept"], tenant: str, one: Wanted | Peer) -> Step:
    return Step(
        act=act, tenant=tenant, name=one.name, public_key=one.public_key, expires_at=one.expires_at, reach=one.reach
    )


def _check_same(one: Wanted, peer: Peer) -> None:
    where = f"peer {peer.name} of tenant {peer.tenant}"
    if one.public_key != peer.public_key:
        raise Refused(f"{where} has another key than the list says: revoke it first, or put its key into the list")
    if one.expires_at != peer.expires_at:
        raise Refused(f"{where} has another end than the list says: revoke it first, or put its end into the list")
    if one.reach != peer.reach:
        raise Refused(f"{where} has another reach than the list says: revoke it first, or put its reach into the list")
