"""A gateway with 100, 1,000, 10,000 and 60,000 peers: a change, a cold start beside `wg setconf`, memory, and rest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from statistics import median
from typing import cast

from bench.figure import Figure
from lab.clients import PYTHON
from lab.paths import ROOT

SIZES = (100, 1_000, 10_000, 60_000)
# wireguard-go's sockets lie in /run by the interface's name alone; everything ends with the first process.
_ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
_INSIDE = 'mount -t tmpfs none /run && exec "$@"'


def measure() -> list[Figure]:
    found = {size: cast(Mapping[str, object], _alone("bench.sized", size)) for size in SIZES}
    resting = {size: cast(float, _alone("bench.resting", size)) for size in SIZES}
    few, many = found[SIZES[0]], found[SIZES[-1]]
    changes = {size: cast(list[float], one["changes"]) for size, one in found.items()}
    memory = {size: cast(float, one["resident_mib"]) for size, one in found.items()}
    return [
        Figure(
            name="size_change", what=f"one change on a gateway, {SIZES[-1]:,} peers against {SIZES[0]}", unit="s",
            ours=tuple(changes[SIZES[-1]]), other=tuple(changes[SIZES[0]]), compare="ratio", bound=1.5, better="below",
            note=", ".join(f"{size:,}: {median(some) * 1000:.0f} ms" for size, some in changes.items()),
        ),
        Figure(
            name="size_cold_start", what=f"cold start with {SIZES[-1]:,} peers, against wg setconf of them", unit="s",
            ours=(cast(float, many["cold"]),), other=(cast(float, many["setconf"]),), compare="ratio", bound=2,
            better="below",
            note=", ".join(f"{size:,}: {cast(float, one['cold']):.2f} s" for size, one in found.items()),
        ),
        Figure(
            name="size_memory", what=f"the agent's memory, {SIZES[-1]:,} peers against {SIZES[0]}", unit="MiB",
            ours=(cast(float, many["resident_mib"]),), other=(cast(float, few["resident_mib"]),),
            compare="difference", bound=256, better="below",
            note=", ".join(f"{size:,}: {mib:.0f} MiB" for size, mib in memory.items()),
        ),
        Figure(
            name="size_rest", what=f"the agent's share of a processor at rest, {SIZES[-1]:,} peers", unit="%",
            ours=(resting[SIZES[-1]],), other=(0.0,), compare="difference", bound=20, better="below",
            note=", ".join(f"{size:,}: {share:.1f} %" for size, share in resting.items()),
        ),
    ]  # fmt: skip


def _alone(module: str, count: int) -> object:
    done = subprocess.run(
        [*_ALONE, "sh", "-c", _INSIDE, "sh", PYTHON, "-m", module, str(count)],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module}, {count} peers: {done.stderr[-800:]}")
    return json.loads(done.stdout)
