"""What a fault may cost, in seconds: docs/availability.md gives the reasons, and `make bench` the real figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# This runs beside other things on few cores: what a fault costs on a quiet machine, and so much more.
BUSY_SECONDS = 1.0
SHUT_SECONDS = 2.0  # a revocation is on every gateway, or a lease's end
GATE_SECONDS = 1.2  # of two owners


@dataclass(frozen=True, kw_only=True)
class Bound:
    """`outage`: without an answered packet. `both`: with two owners. `deaf`: meanwhile an owner may not hear of a
    revocation. `moves`: whether somebody else may serve afterwards."""

    outage: float
    both: float = GATE_SECONDS
    deaf: bool = False
    moves: bool = True


_UNNOTICED = Bound(outage=0.5, moves=False)
# The old owner, in doubt, sends for two seconds to a client that falls silent there.
_IN_DOUBT = Bound(outage=1.5, both=3.0, deaf=True)
BOUNDS: Mapping[str, Bound] = {
    "kill": Bound(outage=1.5),
    "hang": Bound(outage=1.5),
    "agent-stop": Bound(outage=2.2),
    "wireguard-stop": Bound(outage=3.0),
    "no-forward": Bound(outage=12.0),
    "partition-pair": Bound(outage=2.5, both=3.0),
    "cut-off": _IN_DOUBT,
    "cut-off-internet": Bound(outage=1.5, deaf=True),
    "partition-registry": Bound(outage=0.5, deaf=True, moves=False),
    "api-down": Bound(outage=0.5, deaf=True, moves=False),
    "api-slow": Bound(outage=0.5, deaf=True, moves=False),
    "disk-full": Bound(outage=0.5),
    "zone-down": Bound(outage=1.5),
    "switch": Bound(outage=0.5),
}
NOTHING = _UNNOTICED
