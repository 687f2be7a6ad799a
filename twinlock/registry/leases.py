"""The registry's addresses: which are free in a tenant's range, and how full it is."""

from __future__ import annotations

import random
from collections.abc import Iterable

from twinlock.registry import items, keys
from twinlock.registry.addresses import QUARANTINE, Room, free_addresses, probes, room
from twinlock.registry.ground import Ground, tenant_of
from twinlock.registry.transitions import Moment

_PROBES, _ROUNDS = 16, 4  # addresses looked at for each that is wanted, and how often, before all leases are read
_DICE = random.Random()  # noqa: S311  (no secret)


class Leases(Ground):
    """Who holds which address."""

    def scarce_room(self, tenant: str) -> Room | None:
        """How full the tenant's range is, if it nears its end; most times that is known from a few addresses."""
        definition = self.definition()
        cidr = tenant_of(definition, tenant).range
        tried = probes(cidr, {definition.gateway_address}, _PROBES, _DICE)
        if len(self._held_of(tenant, tried, self._now())) * 4 < len(tried) * 3:
            return None
        found = self.room(tenant)
        return found if found.scarce else None

    def room(self, tenant: str) -> Room:
        """How full the tenant's range is."""
        definition = self.definition()
        cidr = tenant_of(definition, tenant).range
        return room(cidr, {definition.gateway_address}, self._held(tenant, self._now()))

    def _free_addresses(self, moment: Moment, reserved: str, count: int) -> tuple[str, ...]:
        """Found by looking at random ones; only in a range that is nearly full are all leases read."""
        tenant, cidr = moment.tenant.name, moment.tenant.range
        free: dict[str, None] = {}
        for _ in range(_ROUNDS):
            tried = probes(cidr, {reserved}, max(_PROBES, 4 * count), _DICE)
            held = self._held_of(tenant, tried, moment.now)
            free |= dict.fromkeys(address for address in tried if address not in held)
            if len(free) >= count:
                return tuple(free)[:count]
        return free_addresses(tenant, cidr, {reserved}, self._held(tenant, moment.now), count)

    def _held_of(self, tenant: str, addresses: Iterable[str], now: int) -> set[str]:
        found = self._table.get_many((keys.address_lease(tenant), address) for address in addresses)
        return {lease.address for lease in map(items.lease_from, found.values()) if _is_held(lease, now)}

    def _held(self, tenant: str, now: int) -> set[str]:
        """Addresses that are leased, or were until less than a quarantine ago."""
        leases = (items.lease_from(item) for item in self._table.query(keys.address_lease(tenant)))
        return {lease.address for lease in leases if _is_held(lease, now)}


def _is_held(lease: items.Lease, now: int) -> bool:
    return lease.held_until is None or lease.held_until > now - QUARANTINE
