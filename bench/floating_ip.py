"""What a client of one peer loses at the floating address, beside one with ways and plain WireGuard in the same run.

The address takes as long to move as it does on AWS by most reports; plain WireGuard's moves at once.
FLOATING_RUNS sets how many crashes and switches each sees.
"""

from __future__ import annotations

import os

from bench.cloud import running_lab
from bench.failover import plain_outage
from bench.figure import Figure
from lab import fail
from lab.aws.addresses import DELAY
from lab.calls import Mode

RUNS = int(os.environ.get("FLOATING_RUNS", "3"))
# Detection, the lease, two calls of the cloud, and the call that is answered.
BOUND = DELAY + 0.3


def measure() -> list[Figure]:
    with running_lab(move_seconds=DELAY, floating=True) as environment:
        plain = plain_outage(environment)
        crashes = [_lost("kill", "floating-ip") for _ in range(RUNS)]
        ways = [_lost("kill", "ways") for _ in range(RUNS)]
        switches = [_lost("switch", "floating-ip") for _ in range(RUNS)]
    note = f"with ways in the same run: {max(one.outage_seconds for one in ways):.2f} s"
    return [
        Figure(
            name="floating_crash", what="crash, one peer at a floating address, against plain WireGuard", unit="s",
            ours=_outages(crashes), other=(plain,), compare="ratio", bound=BOUND / 15.0, better="below", note=note,
        ),
        Figure(
            name="floating_move", what=f"of that beyond detection and the move of {DELAY:.0f} s", unit="s",
            ours=_outages(crashes), other=tuple(DELAY + (one.detection_seconds or 0.0) for one in crashes),
            compare="difference", bound=0.3, better="below",
        ),
        Figure(
            name="floating_switch", what="planned switch, one peer at a floating address, against the move", unit="s",
            ours=_outages(switches), other=(DELAY,), compare="difference", bound=0.3, better="below",
        ),
    ]  # fmt: skip


def _outages(seen: list[fail.Outage]) -> tuple[float, ...]:
    return tuple(one.outage_seconds for one in seen)


def _lost(what: str, mode: Mode) -> fail.Outage:
    fail.settle()
    seen = fail.fail(what, mode=mode)
    fail.heal()
    return seen
