"""All that a gateway is told at boot: the arrow from the components to the user data. Names of secrets, no values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Addresses of the pair channel: one a gateway, in the order of the slots' names (twinlock/agent/interfaces.py).
PAIR_RANGE = "fd74:776c:6b00::/64"


@dataclass(frozen=True, kw_only=True)
class Twin:
    """Another gateway of the environment, as the pair channel reaches it."""

    slot: str
    private_address: str  # IPv4
    private_address6: str = ""  # IPv6 beside it, where the network has that


@dataclass(frozen=True, kw_only=True)
class Floating:
    """The address that follows whoever serves, for clients that can hold but one peer."""

    public_address: str  # IPv4
    private_address: str  # IPv4, the second of this slot's interface: where the public one leads to
    allocation: str  # id of the public address, as the cloud knows it
    interface: str  # id of this slot's interface


@dataclass(frozen=True, kw_only=True)
class Dns:
    """What peers may ask the gateway for: names of these zones, which it asks the cloud's resolver for."""

    zones: tuple[str, ...]  # lower case, without a dot at the end
    resolver: str  # IPv4


@dataclass(frozen=True, kw_only=True)
class GatewayBoot:
    """One slot's gateway. Changing any of it changes the launch template's version."""

    environment: str
    cloud: Literal["aws"]
    region: str
    slot: str  # "a", "b", …
    zone: str
    private_address: str  # IPv4 of the slot's interface
    public_address: str  # IPv4 that clients reach it at
    twins: tuple[Twin, ...]
    tunnel_range: str  # CIDR of all tenants
    gateway_address: str  # of the service interface, inside tunnel_range
    prefix6: str  # IPv6 /96 before everybody's IPv4 address inside the tunnel, or empty
    port: int  # the public UDP port; behind it +1, +5 (service) and +2, +6 (way); +3, +4 pair channel
    mtu: int  # bytes, of the tunnel interfaces
    registry_table: str
    service_secret: str  # name of the secret container of the service identity
    way_secret: str  # name of the secret container of this slot's way identity
    storage_prefix_list: str  # id (pl-…) of the storage endpoint's prefixes
    agent_bucket: str
    agent_key: str  # object key, holds the digest
    agent_sha256: str  # hex
    stock_image: bool  # True: install the packages at boot; False: they are baked in
    floating: Floating | None = None
    dns: Dns | None = None
    private_address6: str = ""  # IPv6 of the slot's interface: what peers reach by IPv6 they reach from it
    shards: int = 1  # equal blocks of the tunnel's range, each served by one gateway
    template: str = ""  # digest of the launch template, of which this is a part (components/aws/boot.py)
