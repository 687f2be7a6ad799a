"""Which gateways are well, from what the registry holds: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinlock.registry.definition import Definition
from twinlock.registry.model import GatewayRecord

FRESH = 15  # seconds since the last heartbeat


@dataclass(frozen=True, kw_only=True)
class GatewayHealth:
    slot: str
    zone: str
    public_address: str
    record: GatewayRecord | None
    age: int | None  # seconds since the heartbeat
    behind: Mapping[str, int]  # tenant -> changes that it has not made true yet

    @property
    def problem(self) -> str | None:
        """Why it is not well, None if it is."""
        if self.record is None or self.age is None:
            return "never registered"
        if self.age > FRESH:
            return f"silent for {self.age} s"
        if self.behind:
            return "behind by " + ", ".join(f"{count} of tenant {name}" for name, count in self.behind.items())
        if self.record.failing:
            return "fails " + ", ".join(self.record.failing)
        return None


def health(
    definition: Definition, records: Sequence[GatewayRecord], generations: Mapping[str, int], now: float
) -> tuple[GatewayHealth, ...]:
    """Every slot's, in the definition's order."""
    found = {record.slot: record for record in records}
    return tuple(
        GatewayHealth(
            slot=slot.name,
            zone=slot.zone,
            public_address=slot.public_address,
            record=(record := found.get(slot.name)),
            age=None if record is None else max(0, int(now - record.heartbeat_at)),
            behind={} if record is None else _behind(record, generations),
        )
        for slot in definition.slots
    )


def _behind(record: GatewayRecord, generations: Mapping[str, int]) -> dict[str, int]:
    missing = {tenant: number - record.applied.get(tenant, 0) for tenant, number in generations.items()}
    return {tenant: count for tenant, count in sorted(missing.items()) if count > 0}
