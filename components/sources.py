"""Each tenant's own private source addresses on each gateway, by which the storage knows who it was. Pure.

A gateway's interface holds them as delegated /28 prefixes, the second block of its subnet and those after it: a prefix
costs the interface as much as one address would. Tenants take theirs in the order of their ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, summarize_address_range

from components.models import Tenant

PREFIX_LENGTH, PREFIX_SIZE = 28, 16
# DescribeInstanceTypes' Ipv4AddressesPerInterface, as amazon-vpc-resource-controller-k8s keeps it (pkg/aws/vpc/
# limits.go): the interface's own address and its prefixes count alike.
ADDRESSES_PER_INTERFACE = {
    "t4g.nano": 2, "t4g.micro": 2, "t4g.small": 4, "t4g.medium": 6, "t4g.large": 12, "t4g.xlarge": 15,
    "t4g.2xlarge": 15,
    "c7gn.medium": 4, "c7gn.large": 10, "c7gn.xlarge": 15, "c7gn.2xlarge": 15, "c7gn.4xlarge": 30, "c7gn.8xlarge": 30,
    "c7gn.12xlarge": 30, "c7gn.16xlarge": 50,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SourcePool:
    """A tenant's addresses on one gateway, one after the other. The first is for whoever has none of its own."""

    first: str
    count: int

    @property
    def networks(self) -> tuple[str, ...]:
        """As few CIDRs as it takes."""
        first = IPv4Address(self.first)
        return tuple(str(network) for network in summarize_address_range(first, first + self.count - 1))


def wanted(tenants: Mapping[str, Tenant]) -> dict[str, int]:
    """How many addresses each tenant takes on each gateway, in their order; none for those that share the gateway's."""
    ordered = sorted(tenants.items(), key=lambda item: item[1].range)
    return {
        name: tenant.source_addresses if tenant.source_address == "peer" else 1
        for name, tenant in ordered
        if tenant.source_address != "gateway"
    }


def prefixes_needed(tenants: Mapping[str, Tenant]) -> int:
    return -(-sum(wanted(tenants).values()) // PREFIX_SIZE)


def prefixes_in(subnet_bits: int) -> int:
    """How many a gateway's subnet has room for: its first block is the gateway's, its last holds AWS's own address."""
    return max(0, (1 << (PREFIX_LENGTH - subnet_bits)) - 2) if subnet_bits < PREFIX_LENGTH else 0


def prefixes(tenants: Mapping[str, Tenant], subnet: IPv4Network) -> tuple[str, ...]:
    count = prefixes_needed(tenants)
    return tuple(f"{subnet[(1 + number) * PREFIX_SIZE]}/{PREFIX_LENGTH}" for number in range(count))


def pools(tenants: Mapping[str, Tenant], subnet: IPv4Network) -> Iterator[tuple[str, SourcePool]]:
    """(tenant, its pool) on the gateway of `subnet`."""
    place = PREFIX_SIZE
    for name, count in wanted(tenants).items():
        yield name, SourcePool(first=str(subnet[place]), count=count)
        place += count
