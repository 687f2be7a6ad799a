"""What AWS documents about the arguments of a network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from .json_path import text
from .resource import Problem, Rule
from .values import Json, Value


def network(value: Value) -> ipaddress.IPv4Network | None:
    """The IPv4 network that the text names exactly, None for anything else."""
    try:
        return ipaddress.IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        return None


def block_between_16_and_28(inputs: Json) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html and …/subnet-sizing.html: /16 to /28."""
    given = inputs.get("cidrBlock")
    block = network(given)
    if isinstance(given, str) and (block is None or not 16 <= block.prefixlen <= 28):
        yield Problem("cidrBlock", f"{given} must be an IPv4 network of /16 to /28 without host bits")


def host_names_need_dns(inputs: Json) -> Iterator[Problem]:
    """ModifyVpcAttribute: "You can only enable DNS hostnames if you've enabled DNS support"."""
    if inputs.get("enableDnsHostnames") is True and inputs.get("enableDnsSupport") is False:
        yield Problem("enableDnsHostnames", "needs enableDnsSupport")


def one_target(inputs: Json) -> Iterator[Problem]:
    """CreateRoute: exactly one target."""
    targets = [name for name in ("gatewayId", "networkInterfaceId") if inputs.get(name) is not None]
    if len(targets) != 1:
        yield Problem("gatewayId", f"a route has exactly one of gatewayId and networkInterfaceId, got {targets}")


def a_destination(inputs: Json) -> Iterator[Problem]:
    """CreateRoute: the destination is a network without host bits (EC2 rewrites others, and each diff shows it)."""
    if inputs.get("destinationCidrBlock") is None:
        yield Problem("destinationCidrBlock", "missing: a route needs a destination")
    elif isinstance(inputs["destinationCidrBlock"], str) and network(inputs["destinationCidrBlock"]) is None:
        given = text(inputs, "destinationCidrBlock")
        yield Problem("destinationCidrBlock", f"{given} must be an IPv4 network without host bits")


RULES_FOR: dict[str, tuple[Rule, ...]] = {
    "vpc": (block_between_16_and_28, host_names_need_dns),
    "subnet": (block_between_16_and_28,),
    "route": (a_destination, one_target),
}
