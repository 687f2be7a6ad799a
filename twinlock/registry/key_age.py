"""Which keys have grown old: pure.

A key's age counts from its enrolment, or from the rotation that brought it. `max_key_age` shuts nobody out: it says who
is due. What has to end by itself has an end of its own (`--ttl`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twinlock.registry.definition import Tenant
from twinlock.registry.model import Peer

_WEEK = 7 * 86_400


@dataclass(frozen=True, kw_only=True)
class Aged:
    """A peer whose key is to be rotated."""

    peer: Peer
    due_at: int  # epoch seconds
    due: bool  # by now; else soon: within a tenth of the age that is allowed, a week at most

    def words(self, now: int) -> str:
        days = abs(self.due_at - now) // 86_400
        return f"due for rotation for {days} d" if self.due else f"due for rotation in {days} d"


def aged(tenant: Tenant, peers: Iterable[Peer], now: int) -> tuple[Aged, ...]:
    """Of all that is known of a tenant's peers: who is due and who will be soon, the oldest first.

    Not who waits for the approval of a new key, nor whose end comes before.
    """
    if tenant.max_key_age is None:
        return ()
    everyone = tuple(peers)
    rotating = {peer.replaces for peer in everyone if peer.state == "pending"}
    soon = min(_WEEK, tenant.max_key_age // 10)
    found = (
        Aged(peer=peer, due_at=due_at, due=due_at <= now)
        for peer in everyone
        if peer.state == "approved" and peer.retires_at is None and peer.public_key not in rotating
        if (due_at := peer.enrolled_at + tenant.max_key_age) - soon <= now
        if peer.expires_at is None or peer.expires_at > due_at
    )
    return tuple(sorted(found, key=lambda one: (one.due_at, one.peer.name)))
