"""What a peer may reach of its tenant's destinations: all, or those that its enrolment names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from twinlock.registry.definition import Tenant
from twinlock.registry.errors import Refused

STORAGE, INTERNET = "storage", "internet"
NARROWING = "narrowing"  # in a peer's `needs`: who does not know it may not serve a narrowed peer, which it would widen


def names(tenant: Tenant) -> tuple[str, ...]:
    """Of all that the tenant may reach: "storage", "internet", its services' names, its networks as written."""
    storage = (STORAGE,) if tenant.storage else ()
    internet = (INTERNET,) if tenant.internet else ()
    return (*storage, *internet, *(service.name for service in tenant.all_services), *tenant.all_cidrs)


def chosen(named: Iterable[str]) -> tuple[str, ...] | None:
    """In one order, each once; None where none is named: all."""
    return tuple(sorted(set(named))) or None


def check_reach(tenant: Tenant, reach: Sequence[str] | None) -> None:
    """Raises Refused for what the tenant itself may not reach."""
    if unknown := [name for name in reach or () if name not in names(tenant)]:
        known = ", ".join(names(tenant)) or "nothing"
        raise Refused(f"tenant {tenant.name} does not reach {', '.join(unknown)}; it reaches {known}")


def narrowed(tenant: Tenant, reach: Sequence[str] | None) -> Tenant:
    """The tenant as such a peer sees it: never more than the tenant has, whatever is named."""
    if reach is None:
        return tenant
    return replace(
        tenant,
        storage=tenant.storage and STORAGE in reach,
        internet=tenant.internet and INTERNET in reach,
        services=tuple(service for service in tenant.services if service.name in reach),
        cidrs=tuple(cidr for cidr in tenant.cidrs if cidr in reach),
        services6=tuple(service for service in tenant.services6 if service.name in reach),
        cidrs6=tuple(cidr for cidr in tenant.cidrs6 if cidr in reach),
    )
