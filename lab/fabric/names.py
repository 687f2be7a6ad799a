"""Names inside the fabric: namespaces, devices, routing tables. Devices hold 15 characters, so ids are hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

# The device that leads out of a network, a NAT or a client to the internet's namespace.
UPLINK = "internet"
# The first interface of a machine, and so on: what Debian's image names them on EC2's Nitro machines.
FIRST_DEVICE = 5

METADATA = "169.254.169.254"
TIME = "169.254.169.123"
# A network's own resolver, beside the address that it has inside of the network.
RESOLVER = "169.254.169.253"
# The public resolver that clients outside are given (a documentation address, RFC 5737).
PUBLIC_RESOLVER = "203.0.113.253"

# MTUs in bytes. EC2: 9001 in a VPC, 1500 to the internet, 8500 through a gateway endpoint
# (AWS, "Network maximum transmission unit (MTU) for your EC2 instance" and "Gateway endpoints").
NETWORK_MTU, INTERNET_MTU, ENDPOINT_MTU = 9001, 1500, 8500


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def interface_device(interface: str) -> str:
    """The network's end of the cable to an interface."""
    return f"if-{_short(interface)}"


def endpoint_device(endpoint: str) -> str:
    """The network's end of the cable to an endpoint."""
    return f"ep-{_short(endpoint)}"


def uplink_device(owner: str) -> str:
    """The internet's end of the cable to a network, a NAT or a client."""
    return f"up-{_short(owner)}"


def machine_device(index: int) -> str:
    """The machine's end: ens5, ens6, …"""
    return f"ens{FIRST_DEVICE + index}"


def table(subnet: str) -> int:
    """The number of a subnet's route table: beyond the kernel's own (253 to 255)."""
    return 0x1000 + int(_short(subnet)[:7], 16)


def link_addresses(owner: str) -> tuple[str, str]:
    """Addresses of the cable between the internet (first) and `owner`; /32s that nobody else can see."""
    number = int(_short(owner)[:5], 16) * 4
    return _cable(number + 1), _cable(number + 2)


def _cable(number: int) -> str:
    return f"100.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


@dataclass(frozen=True)
class Namespaces:
    """Names of the namespaces of one fabric, all of which begin with its prefix."""

    prefix: str

    @property
    def internet(self) -> str:
        return f"{self.prefix}-internet"

    def of(self, owner: str) -> str:
        """Of a network, a machine or an endpoint, by its id."""
        return f"{self.prefix}-{owner}"

    def client(self, name: str) -> str:
        return f"{self.prefix}-client-{name}"

    def nat(self, name: str) -> str:
        return f"{self.prefix}-nat-{name}"

    def owns(self, namespace: str) -> bool:
        return namespace.startswith(f"{self.prefix}-")
