"""What a gateway of WireGuard breaks knowingly. Six at most (a test counts), and everything else has no finding.

An exception holds for resources of Twinlock's own components alone: a stack of others has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policies.network import openings
from policies.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Exempt:
    """`component` is the innermost Twinlock component around the resource."""

    rules: frozenset[str]
    component: str
    matches: Callable[[Resource], bool]
    reason: str


def _tunnel_port(resource: Resource) -> bool:
    """UDP, one port, not a well-known one."""
    ways_in = list(openings(resource))
    return all(one.protocol == "udp" and one.ports and 1024 <= one.ports[0] == one.ports[1] for one in ways_in)


def _agents_bucket(resource: Resource) -> bool:
    return resource.name.endswith(("-agent", "-agent-policy", "-agent-encryption"))


EXCEPTIONS = (
    Exempt(
        rules=frozenset({"no-ingress-from-world"}),
        component="twinlock:aws:Firewall",
        matches=_tunnel_port,
        reason="Clients call from anywhere. WireGuard does not answer whoever has no key; "
        "twinlock:tunnel.client_ranges narrows it.",
    ),
    Exempt(
        rules=frozenset({"no-public-address"}),
        component="twinlock:aws:Addresses",
        matches=lambda resource: resource.type == "aws:ec2/eip:Eip",
        reason="Clients need an address to call, and it has to outlive the machine.",
    ),
    Exempt(
        rules=frozenset({"no-public-address"}),
        component="twinlock:aws:FloatingIp",
        matches=lambda resource: resource.type == "aws:ec2/eip:Eip",
        reason="Clients that hold one peer know one address, and it has to follow the machine that serves.",
    ),
    Exempt(
        rules=frozenset({"bucket-endpoint-only", "bucket-has-versions", "encrypted-bucket", "deletion-protection"}),
        component="twinlock:aws:Storage",
        matches=_agents_bucket,
        reason="The gateways' program, which is public: written by the deployer from anywhere, checked by its digest, "
        "and made anew by the next deployment; and the object that each gateway overwrites all day.",
    ),
    Exempt(
        rules=frozenset({"bucket-has-encryption", "bucket-has-versions", "tags"}),
        component="twinlock:aws:AdoptedBucket",
        matches=lambda resource: resource.type == "aws:s3/bucket:Bucket",
        reason="It was there before: what is in it was stored under its owner's encryption, versions and tags.",
    ),
    Exempt(
        rules=frozenset({"encrypted-table"}),
        component="twinlock:aws:Registry",
        matches=lambda resource: resource.type == "aws:dynamodb/table:Table",
        reason="It holds public keys, and what is secret in it is wrapped already; with a key of the account a poll "
        "each second would depend on KMS.",
    ),
)


def exempt(rule: str, resource: Resource) -> Exempt | None:
    """The exception that covers a finding, if one does."""
    inside = [kind for kind in resource.within if kind.startswith("twinlock:")]
    for one in EXCEPTIONS:
        if rule in one.rules and inside and inside[-1] == one.component and one.matches(resource):
            return one
    return None
