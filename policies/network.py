"""What may be reached from the world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from policies.resource import UNKNOWN, Resource, Value, mappings, number, texts
from policies.rule import Rule

# What is larger than any one's networks, by the version of the protocol.
WIDEST = {4: 8, 6: 16}
EVERY_PROTOCOL = ("-1", "all")
# Ways to administer a machine: SSH, Telnet, remote desktop, WinRM.
ADMINISTRATION = (22, 23, 3389, 5985, 5986)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One way in: `ports` is None where it is all of them."""

    protocol: str
    ports: tuple[int, int] | None
    sources: tuple[str, ...]

    @property
    def to_world(self) -> bool:
        return any(map(_world, self.sources))

    def __str__(self) -> str:
        ports = "every port" if self.ports is None else f"port {self.ports[0]} to {self.ports[1]}"
        return f"{self.protocol} {ports} from {', '.join(self.sources)}"


def _world(source: str) -> bool:
    """Also half of it: two rules of /1 are a rule of /0. A private network is not the world, however large."""
    try:
        network = ip_network(source, strict=False)
    except ValueError:
        return False
    return network.prefixlen < WIDEST[network.version] and not network.is_private


def openings(resource: Resource) -> Iterator[Opening]:
    """The ways in of a security group, or of a rule in either of the provider's forms."""
    match resource.type:
        case "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
            sources = (*texts(resource.get("cidrIpv4")), *texts(resource.get("cidrIpv6")))
            yield from _opening(resource.get("ipProtocol"), resource.get("fromPort"), resource.get("toPort"), sources)
        case "aws:ec2/securityGroupRule:SecurityGroupRule":
            if resource.get("type") == "ingress":
                sources = (*texts(resource.get("cidrBlocks")), *texts(resource.get("ipv6CidrBlocks")))
                yield from _opening(resource.get("protocol"), resource.get("fromPort"), resource.get("toPort"), sources)
        case "aws:ec2/securityGroup:SecurityGroup" | "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup":
            for rule in mappings(resource.get("ingress")):
                sources = (*texts(rule.get("cidrBlocks")), *texts(rule.get("ipv6CidrBlocks")))
                yield from _opening(rule.get("protocol"), rule.get("fromPort"), rule.get("toPort"), sources)
        case _:
            return


def _opening(protocol: Value, first: Value, last: Value, sources: tuple[str, ...]) -> Iterator[Opening]:
    if UNKNOWN in (protocol, first, last):
        return
    low, high = number(first), number(last)
    every = str(protocol) in EVERY_PROTOCOL or low is None or high is None or (low, high) in ((0, 65535), (-1, -1))
    yield Opening(protocol=str(protocol), ports=None if every else (low or 0, high or 0), sources=sources)


def _from_world(resource: Resource) -> Iterator[str]:
    for opening in openings(resource):
        if opening.to_world:
            yield f"lets in {opening}: name the networks that need it"


def _administration(resource: Resource) -> Iterator[str]:
    for opening in openings(resource):
        if opening.to_world and (opening.ports is None or any(_holds(opening.ports, port) for port in ADMINISTRATION)):
            yield f"lets in {opening}: nothing is administered from the world; use Session Manager"


def _holds(ports: tuple[int, int], port: int) -> bool:
    return ports[0] <= port <= ports[1]


def _public_address(resource: Resource) -> Iterator[str]:
    if resource.type == "aws:ec2/eip:Eip":
        yield "is a public address: put the machine behind a load balancer or a gateway"
    if resource.type == "aws:ec2/subnet:Subnet" and resource.get("mapPublicIpOnLaunch") is True:
        yield "gives every machine in it a public address: set mapPublicIpOnLaunch to false"
    if resource.type == "aws:ec2/instance:Instance" and resource.get("associatePublicIpAddress") is True:
        yield "has a public address: set associatePublicIpAddress to false"


RULES = (
    Rule(
        name="no-ingress-from-world",
        description="Nothing may be reached from every address.",
        controls=("EC2.18", "EC2.19", "CKV_AWS_260"),
        check=_from_world,
    ),
    Rule(
        name="no-administration-from-world",
        description="SSH, remote desktop and all ports at once are never open to every address. Has no exception.",
        controls=("EC2.13", "EC2.14", "CIS 5.2", "CIS 5.3", "CKV_AWS_24", "CKV_AWS_25", "CKV_AWS_277"),
        check=_administration,
    ),
    Rule(
        name="no-public-address",
        description="Machines have no public address.",
        controls=("EC2.9", "EC2.15", "CKV_AWS_88", "CKV_AWS_130"),
        check=_public_address,
    ),
)
