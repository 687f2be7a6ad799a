"""IPv6: which prefix the tunnel has, which networks there are behind the gateways, and what may be reached. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import IPv6Network

from components.errors import Problem
from components.models import Network, Tunnel
from twinlock.registry.ipv6 import PREFIX_BITS
from userdata.boot_args import PAIR_RANGE

LARGEST = 48
# Of a network that exists: 16 subnets of /64, and the whole of a VPC at most.
PARTS = range(56, 61)
SUBNET_LENGTH = 64
# Private (RFC 4193) and public addresses; everything else has a meaning of its own.
_HOSTS = (IPv6Network("fc00::/7"), IPv6Network("2000::/3"))
# The cloud's own services, and the channel between gateways.
_RESERVED = (IPv6Network("fd00:ec2::/32"), IPv6Network(PAIR_RANGE))


def prefix6(environment: str, tunnel: Tunnel) -> IPv6Network | None:
    """What comes before everybody's IPv4 address: the first /96 of the range that was given, or of a private one that
    follows from the environment's name: the same tomorrow, and most likely nobody else's."""
    if not tunnel.ipv6:
        return None
    if tunnel.range6 is not None:
        return IPv6Network((tunnel.range6.network_address, PREFIX_BITS))
    digest = hashlib.sha256(f"twinlock {environment}".encode()).digest()
    return IPv6Network((b"\xfd" + digest[:5] + bytes(10), PREFIX_BITS))


def subnet6(network: str, number: int) -> str:
    """One of the first sixteen subnets of a network of PARTS."""
    first = IPv6Network(network).network_address
    return str(IPv6Network((int(first) + (number << (128 - SUBNET_LENGTH)), SUBNET_LENGTH)))


def host6(subnet: str, number: int) -> str:
    return str(IPv6Network(subnet)[number])


def check_network(network: Network, used: IPv6Network | None) -> Iterator[Problem]:
    """`used` is what the tunnel has."""
    key, given = "twinlock:network.cidr6", network.cidr6
    if given is None:
        if network.ipv6 and network.vpc_id is not None:
            yield _problem(key, "(nothing)", "is missing", "name a free IPv6 part of the VPC, /56 to /60")
        return
    if not network.ipv6:
        yield _problem(key, given, "is not used without twinlock:network.ipv6", "set twinlock:network.ipv6 to true")
    if network.vpc_id is None:
        yield _problem(key, given, "is for a VPC that exists: the cloud chooses that of a new one", "leave it out")
    if given.prefixlen not in PARTS:
        yield _problem(key, given, f"must be /{PARTS[0]} to /{PARTS[-1]}", "choose another size")
    if not any(given.subnet_of(hosts) for hosts in _HOSTS):
        yield _problem(key, given, "is neither private nor public address space", "name a part of the VPC's own")
    if used is not None and used.overlaps(given):
        yield _problem(key, given, f"overlaps what the tunnel has ({used})", "give another twinlock:tunnel.range6")


def check_destination(place: str, cidr: IPv6Network, has_ipv6: bool, used: IPv6Network | None) -> Iterator[Problem]:
    """Of a tenant, by IPv6: `has_ipv6` says whether there is any behind the gateways, `used` is what the tunnel has."""
    if used is None or not has_ipv6:
        mend = "set twinlock:network.ipv6 and twinlock:tunnel.ipv6 to true, or name an IPv4 network"
        yield _problem(place, cidr, "is IPv6, which the environment does not have", mend)
    elif not any(cidr.subnet_of(hosts) for hosts in _HOSTS):
        yield _problem(place, cidr, "is neither private nor public address space", "name only what peers may reach")
    elif any(cidr.overlaps(reserved) for reserved in (*_RESERVED, used)):
        rule = "holds addresses of the cloud, the tunnel or the gateways"
        yield _problem(place, cidr, rule, "name only what peers may reach")


def check(environment: str | None, tunnel: Tunnel) -> Iterator[Problem]:
    key, given = "twinlock:tunnel.range6", tunnel.range6
    if given is not None and not tunnel.ipv6:
        yield _problem(key, given, "is not used without twinlock:tunnel.ipv6", "set twinlock:tunnel.ipv6 to true")
    if given is not None and not LARGEST <= given.prefixlen <= PREFIX_BITS:
        yield _problem(key, given, f"must be /{LARGEST} to /{PREFIX_BITS}", "choose another size")
    elif given is not None and not any(given.subnet_of(hosts) for hosts in _HOSTS):
        yield _problem(key, given, "is neither private nor public address space", "choose a part of fd00::/8")
    used = prefix6(environment or "", tunnel) if given is None or given.prefixlen <= PREFIX_BITS else None
    if used is not None and any(used.overlaps(reserved) for reserved in _RESERVED):
        yield _problem(key, used, "holds addresses of the cloud or of the gateways", "give another network")


def _problem(key: str, value: object, rule: str, mend: str) -> Problem:
    return Problem(key=key, value=str(value), rule=rule, mend=mend)
