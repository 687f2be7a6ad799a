"""Rotating the gateways' identities: who has moved to the new one, and which one a client's file gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twinlock.registry.definition import Definition
from twinlock.registry.errors import Refused
from twinlock.registry.model import GatewayRecord, Identity, Peer, Rotation, numbered, served_numbers
from twinlock.registry.store import Registry


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one identity's last rotation is."""

    rotation: Rotation
    open: bool  # the old identity is served still
    served: bool  # the new one is, by every gateway: files have it
    moved: tuple[str, ...]  # tenant/name of peers that were seen on the new one
    waiting: tuple[str, ...]


def identity_name(definition: Definition, slot: str | None) -> str:
    """Of the service, or of a slot's way. Raises Refused for an unknown slot."""
    if slot is None:
        return "service"
    slots = [one.name for one in definition.slots]
    if slot not in slots:
        raise Refused(f"there is no slot {slot}: the environment has {', '.join(slots)}")
    return f"way#{slot}"


def progress(registry: Registry, now: float) -> list[Progress]:
    """Of each identity that was ever rotated."""
    definition = registry.definition()
    rotations = registry.rotations()
    if not rotations:
        return []
    records = registry.gateways(slot.name for slot in definition.slots)
    peers = [peer for tenant in definition.tenants for peer in registry.peers(tenant.name) if peer.state == "approved"]
    return [_progress(registry, rotation, records, peers, now) for _, rotation in sorted(rotations.items())]


def _progress(
    registry: Registry, rotation: Rotation, records: Sequence[GatewayRecord], peers: Sequence[Peer], now: float
) -> Progress:
    moved, identity = registry.moved(rotation), registry.identity(rotation.identity)
    return Progress(
        rotation=rotation,
        open=now < rotation.until,
        served=identity is not None and _is_served(rotation.name, identity, records),
        moved=tuple(f"{peer.tenant}/{peer.name}" for peer in peers if peer.public_key in moved),
        waiting=tuple(f"{peer.tenant}/{peer.name}" for peer in peers if peer.public_key not in moved),
    )


def handed_out(registry: Registry, name: str, records: Sequence[GatewayRecord], now: float) -> Identity:
    """The identity for a new file: the newest, once every gateway that has to serves it. Raises Refused."""
    rotation = registry.rotations().get(name)
    for number in reversed(served_numbers(rotation, now)):
        identity = registry.identity(numbered(name, number))
        if identity is not None and (number == 0 or _is_served(name, identity, records)):
            return identity
    raise Refused(f"no gateway has made the identity {name} yet: wait until `twinlock status` shows all ready")


def _is_served(name: str, identity: Identity, records: Sequence[GatewayRecord]) -> bool:
    _, _, slot = name.partition("#")
    if slot:
        served = [record.way_public_key for record in records if record.slot == slot]
    else:
        served = [record.service_public_key for record in records]
    return bool(served) and all(key == identity.public_key for key in served)
