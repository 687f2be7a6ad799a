"""IPv6 inside the tunnel: the environment's prefix of 96 bits, and after it the IPv4 address of the same host.

So no host needs a second lease, quarantine or item: whoever has the one address has the other, and nobody else either.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

PREFIX_BITS = 96
# A gateway asks anew at each change, for as many peers as it can hold.
_remembered = lru_cache(maxsize=1 << 17)


def address6(prefix6: str, address: str) -> str:
    """`prefix6` as `ipaddress` writes it, ending in /96; `address` is IPv4."""
    return str(IPv6Network(prefix6)[int(IPv4Address(address))])


def address4(address: str) -> str:
    """The IPv4 address of the host that has this one."""
    return str(IPv4Address(int(IPv6Address(address)) & 0xFFFFFFFF))


def network6(prefix6: str, cidr: str) -> str:
    """The addresses of everybody in an IPv4 network."""
    network = IPv4Network(cidr)
    return f"{address6(prefix6, str(network.network_address))}/{PREFIX_BITS + network.prefixlen}"


@_remembered
def addresses(prefix6: str, address: str) -> tuple[str, ...]:
    """All of a host, IPv4 first. Without a prefix there is but that."""
    return (address, address6(prefix6, address)) if prefix6 else (address,)


@_remembered
def host_networks(prefix6: str, address: str) -> tuple[str, ...]:
    """The same as CIDRs."""
    return tuple(f"{one}/{128 if ':' in one else 32}" for one in addresses(prefix6, address))


def check_prefix6(prefix6: str) -> None:
    """Raises ValueError unless it is empty or has the right size."""
    if prefix6 and IPv6Network(prefix6).prefixlen != PREFIX_BITS:
        raise ValueError(f"prefix6 {prefix6} is not a /{PREFIX_BITS}")
