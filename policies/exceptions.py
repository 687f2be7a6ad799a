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
    """`components` are those of Twinlock that the resource may lie in, the innermost one counting."""

    rules: frozenset[str]
    components: frozenset[str]
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
        components=frozenset({"twinlock:aws:Firewall"}),
        matches=_tunnel_port,
        reason="Clients call from anywhere. WireGuard does not answer whoever has no key; "
        "twinlock:tunnel.client_ranges narrows it.",
    ),
    Exempt(
        rules=frozenset({"no-public-address"}),
        components=frozenset({"twinlock:aws:Addresses", "twinlock:aws:FloatingIp"}),
        matches=lambda resource: resource.type == "aws:ec2/eip:Eip",
        reason="Clients need an address to call, and it has to outlive the machine; in the mode floating-ip one more, "
        "which follows the machine that serves, for clients that hold one peer.",
    ),
    Exempt(
        rules=frozenset({"bucket-endpoint-only", "bucket-has-versions", "encrypted-bucket", "deletion-protection"}),
        components=frozenset({"twinlock:aws:Storage"}),
        matches=_agents_bucket,
        reason="The gateways' program, which is public: written by the deployer from anywhere, checked by its digest, "
        "and made anew by the next deployment; and the object that each gateway overwrites all day.",
    ),
    Exempt(
        rules=frozenset({"bucket-has-encryption", "bucket-has-versions", "tags", "deletion-protection"}),
        components=frozenset({"twinlock:aws:AdoptedBucket", "twinlock:aws:AdoptedNetwork"}),
        matches=lambda resource: resource.type in ("aws:s3/bucket:Bucket", "aws:ec2/vpc:Vpc"),
        reason="It was there before: what is in it was stored under its owner's encryption, versions and tags, and the "
        "end of the environment leaves it where it is.",
    ),
    Exempt(
        rules=frozenset({"encrypted-table"}),
        components=frozenset({"twinlock:aws:Registry"}),
        matches=lambda resource: resource.type == "aws:dynamodb/table:Table",
        reason="It holds public keys, and what is secret in it is wrapped already; with a key of the account a poll "
        "each second would depend on KMS.",
    ),
)


def exempt(rule: str, resource: Resource) -> Exempt | None:
    """The exception that covers a finding, if one does."""
    inside = [kind for kind in resource.within if kind.startswith("twinlock:")]
    for one in EXCEPTIONS:
        if rule in one.rules and inside and inside[-1] in one.components and one.matches(resource):
            return one
    return None
