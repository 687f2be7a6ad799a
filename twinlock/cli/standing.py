"""How an environment stands, from what the registry holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from twinlock.cli import gateway
from twinlock.cli.cloud import Environment
from twinlock.registry.addresses import Room
from twinlock.registry.health import GatewayHealth
from twinlock.registry.key_age import aged
from twinlock.registry.model import State
from twinlock.registry.rolling import Progress, progress

STATES: tuple[State, ...] = ("approved", "pending", "expired", "revoked")


@dataclass(frozen=True, kw_only=True)
class TenantStanding:
    """One tenant's peers, by state, and what of its range and its keys runs out."""

    generation: int  # the number of its last change
    room: Room
    peers: Mapping[State, int]
    keys_due: int
    keys_soon: int  # due within a tenth of their age


@dataclass(frozen=True, kw_only=True)
class Standing:
    environment: str
    region: str
    gateways: tuple[GatewayHealth, ...]
    tenants: Mapping[str, TenantStanding]
    rolling: Progress


def standing(environment: Environment, now: int) -> Standing:
    registry = environment.registry
    definition, generations = registry.definition(), registry.generations()
    tenants: dict[str, TenantStanding] = {}
    for tenant in definition.tenants:
        peers = registry.peers(tenant.name)
        old, counts = aged(tenant, peers, now), Counter(peer.state for peer in peers)
        due = sum(one.due for one in old)
        tenants[tenant.name] = TenantStanding(
            generation=generations.get(tenant.name, 0),
            room=registry.room(tenant.name),
            peers={state: counts[state] for state in STATES},
            keys_due=due,
            keys_soon=len(old) - due,
        )
    gateways = gateway.look(environment)
    return Standing(
        environment=environment.name,
        region=environment.region,
        gateways=gateways,
        tenants=tenants,
        rolling=progress(gateways, registry.rolling(one.slot for one in gateways), now),
    )
