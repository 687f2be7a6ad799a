"""What one environment is: the configuration as frozen models. `description` is the mend that an error names."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, StringConstraints

NAME = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"
# A key's beginning up to a slash: no wildcard, and nothing that a policy's variables begin with.
PREFIX = r"^[A-Za-z0-9][A-Za-z0-9_.=/-]{0,62}/$"
ARN = r"^arn:aws:(iam|sts)::[0-9]{12}:[A-Za-z0-9+=,.@_/*?-]+$"

# AWS's names end at 64 characters for a role; "twinlock-" and "-gateway-a" are added to this.
EnvironmentText = Annotated[str, StringConstraints(pattern=NAME, max_length=20)]
# Partitions other than `aws` have other endpoint names and were never tried.
RegionText = Annotated[str, StringConstraints(pattern=r"^(af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-[0-9]$")]
ZoneText = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}-[a-z]+-[0-9][a-z]$")]
Arn = Annotated[str, StringConstraints(pattern=ARN)]
Label = Annotated[str, StringConstraints(pattern=NAME, max_length=20)]
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. No dots: their names break TLS.
BucketText = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]

# RFC 1035, 2.3.1, in lower case and without the dot at the end.
DOMAIN_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
ZoneName = Annotated[str, StringConstraints(pattern=rf"^{DOMAIN_LABEL}(\.{DOMAIN_LABEL})*$", max_length=253)]


class Model(BaseModel):
    """Frozen, and an unknown key is an error: a typing mistake must not be a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(Model):
    """Where the environment lives."""

    vpc_id: str | None = Field(
        default=None,
        pattern=r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$",
        description="the id of a VPC to live in, such as vpc-0123456789abcdef0, with `cidr` a free part of it",
    )
    adopt: bool = Field(
        default=False,
        description="with vpc_id, true or false: take that VPC into the stack as it stands, by import; "
        "it stays when the environment goes",
    )
    cidr: IPv4Network = Field(
        default=IPv4Network("10.20.0.0/16"), description="a private network of /16 to /24, such as 10.20.0.0/16"
    )
    ipv6: bool = Field(
        default=False, description="true or false: the network has IPv6 beside IPv4, and tenants may reach it by that"
    )
    cidr6: IPv6Network | None = Field(
        default=None,
        description="with vpc_id, a free IPv6 part of that VPC of /56 to /60, such as 2001:db8:1234:5600::/60; "
        "the VPC that the program makes gets one from the cloud",
    )
    zones: tuple[ZoneText, ...] = Field(
        max_length=8, description="two or more zones of the region, such as [eu-west-1a, eu-west-1b]; one slot each"
    )
    interface_endpoints: bool = Field(
        default=False, description="true or false: private endpoints for the cloud's APIs, and no other way to them"
    )


class Dns(Model):
    """What the gateways answer to peers that ask for a name; every other name they refuse."""

    zones: tuple[ZoneName, ...] = Field(
        default=(),
        max_length=10,
        description="up to 10 private zones that the network's resolver knows, in lower case, such as [corp.internal]",
    )


class Tunnel(Model):
    """What the clients see."""

    range: IPv4Network = Field(description="the network of all tunnel addresses, /8 to /24, such as 10.90.0.0/16")
    ipv6: bool = Field(default=False, description="true or false: every peer has an IPv6 address beside its IPv4 one")
    range6: IPv6Network | None = Field(
        default=None,
        description="the IPv6 network of all tunnel addresses, /48 to /96, such as fd12:3456:789a::/96; "
        "leave out for a private one",
    )
    port: int = Field(
        default=51820, ge=1024, le=65532, description="the public UDP port, 1024 to 65532 (the next three are used too)"
    )
    mtu: int = Field(default=1420, ge=1280, le=8921, description="bytes of an inner packet, 1280 to 8921")
    client_ranges: tuple[IPv4Network, ...] = Field(
        default=(IPv4Network("0.0.0.0/0"),),
        min_length=1,
        max_length=20,
        description="1 to 20 networks that clients call from, such as [203.0.113.0/24]",
    )
    dns: Dns | None = Field(
        default=None,
        description="a mapping of zones, such as {zones: [corp.internal]}: names that gateways answer for inside the "
        "tunnel; leave out for none",
    )


class Gateway(Model):
    """The machines."""

    image: str = Field(
        pattern=r"^ami-([0-9a-f]{8}|[0-9a-f]{17})$",
        description="the id of a Debian 13 arm64 image, such as ami-0123456789abcdef0",
    )
    instance_type: str = Field(
        default="t4g.small",
        pattern=r"^(t4g\.(nano|micro|small|medium|large|xlarge|2xlarge)"
        r"|c7gn\.(medium|large|xlarge|2xlarge|4xlarge|8xlarge|12xlarge|16xlarge))$",
        description="a size of t4g or c7gn, such as t4g.small",
    )
    disk_gib: int = Field(default=8, ge=8, le=1024, description="GiB of the root disk, 8 to 1024")
    permissions_boundary: str | None = Field(
        default=None,
        pattern=r"^arn:aws:iam::[0-9]{12}:policy/[A-Za-z0-9+=,.@_/-]{1,512}$",
        description="the ARN of a managed policy that bounds the gateways' roles "
        "(`twinlock environment policy --boundary` writes it)",
    )
    endpoints: tuple[Literal["ways", "floating-ip"], ...] = Field(
        default=("ways",),
        description="[ways], or [ways, floating-ip]: the second for clients that can hold but one peer",
    )
    rolling: str = Field(
        default="automatic",
        pattern=r"^(automatic|manual|([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])$",
        description="automatic, manual, or hours of the day in UTC such as 22:00-04:00: when gateways replace "
        "themselves, one after the other, by what was deployed",
    )
    stock_image: bool = Field(
        default=True, description="true for a plain Debian image, false where the packages are baked in"
    )

    @property
    def floating(self) -> bool:
        """Whether there is an address that follows whoever serves."""
        return "floating-ip" in self.endpoints


class Storage(Model):
    """The buckets behind the gateways."""

    buckets: tuple[Label, ...] = Field(
        default=(), max_length=20, description="up to 20 short names of lower-case letters, digits and dashes"
    )
    existing: dict[Label, BucketText] = Field(
        default_factory=dict[str, str],
        max_length=20,
        description="a mapping of short names to buckets of this account and region, such as {archive: my-archive}",
    )
    adopt: tuple[Label, ...] = Field(
        default=(),
        max_length=20,
        description="names out of existing: those buckets are imported into the stack, and outlive it",
    )
    other_buckets: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="refuse or allow: what the endpoint does with requests for anyone else's buckets in the region",
    )
    break_glass: tuple[Arn, ...] = Field(
        default=(), max_length=50, description="ARNs (with * if need be) that reach the buckets without the endpoint"
    )
    protect: bool = Field(default=True, description="true, or false in a development environment")

    @property
    def names(self) -> tuple[str, ...]:
        """The short names of all buckets, the program's own first."""
        return (*self.buckets, *self.existing)


class Service(Model):
    """A destination of a tenant's peers."""

    name: Label = Field(description="a short name, and not storage")
    cidr: IPvAnyNetwork = Field(
        description="an address or network, such as 10.20.128.5/32 (an IPv6 one where network.ipv6 is true)"
    )
    port: int = Field(ge=1, le=65535, description="a port, 1 to 65535")
    protocol: Literal["tcp", "udp"] = Field(default="tcp", description="tcp or udp")


class Tenant(Model):
    """Who shares a range of tunnel addresses and a set of destinations."""

    range: IPv4Network = Field(description="a network inside twinlock:tunnel.range, /8 to /29")
    approval: Literal["manual", "auto"] = Field(default="manual", description="manual or auto")
    approvers: int = Field(default=1, ge=1, le=5, description="1 to 5 people beside the one who enrols")
    storage: bool = Field(default=True, description="true or false: may reach the buckets")
    internet: bool = Field(
        default=False,
        description="true or false: peers may send all of their traffic through the gateways (`peer config --full`)",
    )
    preshared_keys: bool = Field(
        default=False, description="true or false: each new key of a peer has a pre-shared key beside it"
    )
    max_key_age: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]{0,3}d$", description="days, such as 90d: older keys are due for rotation"
    )
    services: tuple[Service, ...] = Field(default=(), description="a list of {name, cidr, port, protocol}")
    cidrs: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="networks reachable at any port (IPv6 ones where network.ipv6 is true)"
    )
    principals: tuple[Arn, ...] = Field(
        default=(), max_length=50, description="ARNs of roles or users that the buckets' policies admit"
    )
    buckets: tuple[Label, ...] | None = Field(
        default=None, description="which of twinlock:storage.buckets the principals may use; leave out for all"
    )
    prefix: str | None = Field(
        default=None,
        pattern=PREFIX,
        description="the beginning of the keys that are this tenant's alone, in its buckets, such as red/",
    )
    source_address: Literal["tenant", "peer", "gateway"] = Field(
        default="tenant", description="tenant, peer or gateway: whose address the storage sees"
    )
    source_addresses: int = Field(
        default=16, ge=2, le=256, description="2 to 256: addresses on each gateway for source_address: peer"
    )


class Registry(Model):
    """The table of peers, the keys and the secrets."""

    protect: bool = Field(default=True, description="true, or false in a development environment")


class Settings(Model):
    """One environment, checked."""

    environment: EnvironmentText = Field(
        description="a stack name of up to 20 lower-case letters, digits and dashes, beginning with a letter"
    )
    region: RegionText = Field(description="a region, such as eu-west-1 (pulumi config set aws:region eu-west-1)")
    network: Network
    tunnel: Tunnel
    gateway: Gateway
    storage: Storage
    tenants: dict[Label, Tenant] = Field(description="a mapping of short names to {range, …}")
    registry: Registry = Registry()
