"""What a deployed environment says of itself: the stack's outputs, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """`endpoints` are ADDRESS:PORT, `gateways` the public address of each slot, `policies` ARNs by what they are for.

    `floating_endpoint` is None without that endpoint mode, `network6` without IPv6 behind the gateways.
    """

    endpoints: tuple[str, ...]
    gateways: Mapping[str, str]
    table: str
    buckets: tuple[str, ...]
    agent_bucket: str
    discovery: str
    policies: Mapping[str, str]
    floating_endpoint: str | None = None
    network6: str | None = None


def outputs(found: Mapping[str, object]) -> Outputs | None:
    """None before the first deployment is through: the engine writes outputs at its end."""
    if "endpoints" not in found:
        return None
    return Outputs(
        endpoints=tuple(cast(list[str], found["endpoints"])),
        gateways=cast(Mapping[str, str], found["gateways"]),
        table=str(found["table"]),
        buckets=tuple(cast(list[str], found["buckets"])),
        agent_bucket=str(found["agentBucket"]),
        discovery=str(found["discovery"]),
        policies=cast(Mapping[str, str], found["policies"]),
        floating_endpoint=cast(str | None, found.get("floatingEndpoint")),
        network6=cast(str | None, found.get("network6")),
    )
