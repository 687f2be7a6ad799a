"""The file that a stock WireGuard client takes, with open ways or with one peer: pure.

The service peer has no endpoint: whoever serves calls the client. A way to each slot keeps the client's NAT open to it.
A client that can hold but one peer has the service alone, at the floating address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from twinlock.cli.client_names import PrivateNames, named_zones, wg_quick_lines
from twinlock.cli.private_key import PrivateKey
from twinlock.registry.definition import Definition, Tenant
from twinlock.registry.errors import Refused
from twinlock.registry.ipv6 import host_networks
from twinlock.registry.model import GatewayRecord, Peer
from twinlock.registry.preshared import PresharedKey

EVERYWHERE = ("0.0.0.0/0", "::/0")  # the service's own addresses are among them
KEEPALIVE = 25  # seconds: below the 30 s after which the shortest NAT mappings end


@dataclass(frozen=True, kw_only=True)
class Way:
    slot: str
    public_key: str
    endpoint: str  # address:port


@dataclass(frozen=True, kw_only=True)
class ClientFile:
    """All that stands in the file but the private key."""

    environment: str
    peer: Peer
    mtu: int
    service_public_key: str
    allowed: tuple[str, ...]  # CIDRs, the service's own addresses first
    ways: tuple[Way, ...]
    prefix6: str = ""  # of the peer's IPv6 address, if it has one
    preshared: PresharedKey | None = None
    single: str | None = None  # address:port of the one peer, for a client that can hold no more; it has no ways
    names: PrivateNames | None = None  # that the gateway answers for, if the file is to have them

    @property
    def full(self) -> bool:
        """Whether all of the device's traffic goes this way."""
        return self.allowed == EVERYWHERE

    @property
    def addresses(self) -> tuple[str, ...]:
        """The peer's own as CIDRs, IPv4 first."""
        return host_networks(self.prefix6, self.peer.address)


def allowed_networks(definition: Definition, tenant: Tenant, gateways: Iterable[GatewayRecord]) -> tuple[str, ...]:
    """What the tenant may reach, as few CIDRs as it takes, after the service's own addresses.

    Raises Refused if the tenant may reach storage and no gateway has said yet where that is.
    """
    prefixes = {prefix for record in gateways for prefix in record.storage_prefixes} if tenant.storage else set[str]()
    if tenant.storage and not prefixes:
        raise Refused("no gateway has told the storage's addresses yet: wait until `twinlock status` shows one ready")
    private = definition.storage_addresses if tenant.storage else ()
    wanted = (*prefixes, *private, *tenant.cidrs, *(service.cidr for service in tenant.services))
    by6 = (*tenant.cidrs6, *(service.cidr for service in tenant.services6)) if definition.prefix6 else ()
    networks = collapse_addresses(IPv4Network(cidr) for cidr in wanted)
    networks6 = collapse_addresses(IPv6Network(cidr) for cidr in by6)
    own = host_networks(definition.prefix6, definition.gateway_address)
    return (*own, *map(str, networks), *map(str, networks6))


def wg_quick(file: ClientFile, private_key: PrivateKey | None) -> str:
    """The text that `wg-quick` reads, and every app that takes its files."""
    key = (
        "# PrivateKey = (the private key of this peer)"
        if private_key is None
        else f"PrivateKey = {private_key.reveal()}"
    )
    interface = [
        f"# {file.peer.name} of tenant {file.peer.tenant} in environment {file.environment}",
        "[Interface]",
        f"Address = {', '.join(file.addresses)}",
        f"MTU = {file.mtu}",
        key,
        *wg_quick_lines(file.names),
    ]
    return _text(interface, *_peers(file))


def wg_text(file: ClientFile, private_key: PrivateKey) -> str:
    """The text that `wg setconf` reads: addresses, routes and MTU are not its business."""
    return _text(["[Interface]", f"PrivateKey = {private_key.reveal()}"], *_peers(file))


def _text(*blocks: Sequence[str]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _peers(file: ClientFile) -> list[Sequence[str]]:
    service = [
        "# The service. No endpoint: the gateway that serves calls."
        if file.single is None
        else "# The service, at the address that follows the gateway that serves.",
        "[Peer]",
        f"PublicKey = {file.service_public_key}",
        *_preshared(file),
        f"AllowedIPs = {', '.join(file.allowed)}",
        *([] if file.single is None else [f"Endpoint = {file.single}", f"PersistentKeepalive = {KEEPALIVE}"]),
    ]
    return [service, *(_way(way, file) for way in file.ways)]


def _preshared(file: ClientFile) -> list[str]:
    """On the ways as well: whoever has broken a client's key pair can't even open one, and move its calls."""
    if file.preshared is not None:
        return [f"PresharedKey = {file.preshared.reveal()}"]
    return ["# PresharedKey = (the pre-shared key of this peer)"] if file.peer.preshared is not None else []


def _way(way: Way, file: ClientFile) -> Sequence[str]:
    return [
        f"# The way to gateway {way.slot}.",
        "[Peer]",
        f"PublicKey = {way.public_key}",
        *_preshared(file),
        f"Endpoint = {way.endpoint}",
        f"PersistentKeepalive = {KEEPALIVE}",
    ]


def is_single(text: str) -> bool:
    """Whether a wg-quick file holds one peer."""
    return text.count("[Peer]") == 1


def aged(text: str, file: ClientFile) -> tuple[str, ...]:
    """What a wg-quick file says otherwise than one of today would; empty if nothing. One without names may be so."""
    old, new = _said(text), _said(wg_quick(file, None))
    if had := named_zones(text):
        old |= {("zone", zone) for zone in had}
        new |= {("zone", zone) for zone in named_zones(wg_quick(file, None))}
    lost = [f"lacks {field} {value}" for field, value in sorted(new - old)]
    return (*lost, *(f"still has {field} {value}" for field, value in sorted(old - new)))


def _said(text: str) -> set[tuple[str, str]]:
    """(field, value), a list's values one by one; but not what only the file's owner knows."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    fields = ((name.strip(), value) for name, _, value in pairs)
    return {(name, value.strip()) for name, values in fields if name in _KNOWN for value in values.split(",")}


def routes_all(text: str) -> bool:
    """Whether a wg-quick file sends all of the device's traffic this way."""
    return {("AllowedIPs", network) for network in EVERYWHERE} <= _said(text)


_KNOWN = frozenset({"Address", "MTU", "PublicKey", "Endpoint", "AllowedIPs", "PersistentKeepalive"})
