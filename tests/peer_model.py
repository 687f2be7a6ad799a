"""What must be true of peers, in plain Python: the model that the registry's random lives are held against."""

from __future__ import annotations

from twinlock.registry.addresses import QUARANTINE
from twinlock.registry.model import Peer
from twinlock.registry.preshared import PresharedKey
from twinlock.registry.transitions import person


class Life:
    """What the model knows of one key of a peer."""

    def __init__(self, peer: Peer, needed: int, preshared: PresharedKey | None) -> None:
        self.tenant, self.name, self.key, self.address = peer.tenant, peer.name, peer.public_key, peer.address
        self.by, self.until, self.needed, self.preshared = peer.enrolled_by, peer.expires_at, needed, preshared
        self.wrapped_with = 0  # the number of the data key that opens its pre-shared key
        self.approvers: list[str] = []
        self.replaces: Life | None = None
        self.grace = 0
        self.retires_at: float | None = None  # was rotated away, and is accepted until then
        self.revoked_at: float | None = None

    def state(self, now: float) -> str:
        if self.revoked_at is not None or (self.retires_at is not None and self.retires_at <= now):
            return "revoked"
        if self.until is not None and self.until <= now:
            return "expired"
        return "approved" if len(self.approvers) >= self.needed else "pending"

    def takes_approval_of(self, who: str) -> bool:
        """Of a person who neither enrolled it nor approved it yet; sessions of one role are one person."""
        return person(who) not in {person(other) for other in (self.by, *self.approvers)}

    def held(self, now: float) -> bool:
        """Whether nobody else may have the address. A key that was rotated away has left it to its successor."""
        ends = self.revoked_at if self.revoked_at is not None else self.until
        return self.retires_at is None and (ends is None or ends + QUARANTINE > now)


class Lives:
    """All keys that ever were."""

    def __init__(self) -> None:
        self.all: list[Life] = []

    def of(self, tenant: str) -> list[Life]:
        return [life for life in self.all if life.tenant == tenant]

    def uses(self, key: str) -> bool:
        return any(life.key == key for life in self.all)

    def live(self, tenant: str, name: str, now: float) -> list[Life]:
        """As a revocation ends them: what is served, what waits, what was rotated away."""
        found = [life for life in self.of(tenant) if life.name == name and life.state(now) in ("pending", "approved")]
        return sorted(found, key=lambda life: (life.retires_at is not None, life.state(now) == "pending"))

    def held(self, tenant: str, now: float) -> set[str]:
        return {life.address for life in self.of(tenant) if life.held(now)}


def exchange(new: Life, now: float) -> None:
    """A key that replaces another and has its approvals: the other one's grace begins."""
    if new.replaces is not None and len(new.approvers) >= new.needed:
        new.replaces.retires_at = now + new.grace
