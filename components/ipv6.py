"""IPv6 inside the tunnel: which prefix an environment has. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import IPv6Network

from components.errors import Problem
from components.models import Tunnel
from twinlock.registry.ipv6 import PREFIX_BITS
from userdata.boot_args import PAIR_RANGE

LARGEST = 48
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
