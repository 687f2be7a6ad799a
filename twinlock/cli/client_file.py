"""A peer's client file, from what the registry holds."""

from __future__ import annotations

import time
from collections.abc import Sequence

from twinlock.cli.client_names import PrivateNames
from twinlock.cli.cloud import Environment
from twinlock.cli.gateway_rotation import handed_out
from twinlock.cli.private_key import PrivateKey
from twinlock.cli.wireguard_file import EVERYWHERE, ClientFile, Way, allowed_networks
from twinlock.registry.definition import Definition, Slot, Tenant
from twinlock.registry.errors import Refused
from twinlock.registry.ground import tenant_of
from twinlock.registry.model import GatewayRecord, Peer
from twinlock.registry.preshared import PresharedKey
from twinlock.registry.reach import narrowed
from twinlock.registry.store import Registry


def client_file(
    environment: Environment,
    tenant: str,
    name: str,
    private_key: PrivateKey | None,
    preshared: PresharedKey | None = None,
    *,
    full: bool = False,
    single: bool = False,
    names: bool = False,
) -> ClientFile:
    """`full`: for all of the device's traffic; `single`: with one peer; `names`: with the private ones, where the
    gateways answer for any. Raises Refused if the peer is revoked, expired
    or may not have that, there is no address for one peer, a key is not its, or the gateways never booted."""
    registry = environment.registry
    definition = registry.definition()
    if single:
        _check_single(environment.name, definition)
    rules = tenant_of(definition, tenant)
    peer = _whose(private_key, registry.live(tenant, name)) or registry.peer(tenant, name)
    if peer.state not in ("pending", "approved"):
        raise Refused(f"peer {name} of tenant {tenant} is {peer.state}: a file for it would reach nothing")
    if private_key is not None and private_key.public() != peer.public_key:
        raise Refused(f"that private key is not the one of peer {name}, whose public key is {peer.public_key}")
    _check_preshared(peer, private_key, preshared)
    own = narrowed(rules, peer.reach)
    if full:
        _check_full(peer, own, rules)
    gateways = registry.gateways(slot.name for slot in definition.slots)
    return ClientFile(
        environment=environment.name,
        peer=peer,
        mtu=definition.mtu,
        service_public_key=handed_out(registry, "service", gateways, time.time()).public_key,
        allowed=EVERYWHERE if full else allowed_networks(definition, own, gateways),
        ways=() if single else tuple(_way(registry, definition, slot, gateways) for slot in definition.slots),
        preshared=preshared,
        prefix6=definition.prefix6,
        single=f"{definition.floating_address}:{definition.port}" if single else None,
        names=_names(definition, own) if names else None,
    )


def _names(definition: Definition, own: Tenant) -> PrivateNames | None:
    """Whoever does not reach the storage goes on finding it where everybody does."""
    private = (definition.storage_zone,) if definition.storage_zone and own.storage else ()
    zones = tuple(dict.fromkeys((*definition.zones, *private)))
    return PrivateNames(server=definition.gateway_address, zones=zones) if zones else None


def _check_full(peer: Peer, own: Tenant, tenant: Tenant) -> None:
    if not tenant.internet:
        raise Refused(
            f"tenant {tenant.name} does not reach the internet, so --full would cut the device off: "
            f"leave it out, or set twinlock:tenants.{tenant.name}.internet to true"
        )
    if not own.internet:
        reach = ", ".join(peer.reach or ())
        raise Refused(
            f"peer {peer.name} of tenant {tenant.name} reaches {reach} alone: --full needs internet beside it"
        )


def _check_single(environment: str, definition: Definition) -> None:
    if not definition.floating_address:
        raise Refused(
            f"environment {environment} has no address for a client of one peer: write [ways, floating-ip] under "
            "twinlock:gateway.endpoints in its stack file and deploy, or leave out --single"
        )


def _check_preshared(peer: Peer, private_key: PrivateKey | None, preshared: PresharedKey | None) -> None:
    """A file with a private key and without the pre-shared one would be a tunnel that never answers."""
    where = f"peer {peer.name} of tenant {peer.tenant}"
    if peer.preshared is None and preshared is not None:
        raise Refused(f"{where} has no pre-shared key: leave out --preshared-key-file")
    if peer.preshared is not None and private_key is not None and preshared is None:
        raise Refused(f"{where} has a pre-shared key: pass the file that its enrolment wrote, --preshared-key-file")


def _whose(private_key: PrivateKey | None, lives: tuple[Peer, ...]) -> Peer | None:
    """While a peer rotates it has two keys: a file is for the one that is at hand."""
    public = None if private_key is None else private_key.public()
    return next((peer for peer in lives if peer.public_key == public), None)


def _way(registry: Registry, definition: Definition, slot: Slot, gateways: Sequence[GatewayRecord]) -> Way:
    return Way(
        slot=slot.name,
        public_key=handed_out(registry, f"way#{slot.name}", gateways, time.time()).public_key,
        endpoint=f"{slot.public_address}:{definition.port}",
    )
