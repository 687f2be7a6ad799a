"""`make bench`: every measure in turn, a table, and bench/results.json; `python -m bench NAME…` for some of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import admission, boot, failover, floating_ip, new_peer, preview, readme, rest, sizes, stream
from bench.figure import Figure

RESULTS = Path(__file__).parent / "results.json"
MEASURES = {
    "boot": boot.measure,
    "preview": preview.measure,
    "stream": stream.measure,
    "failover": failover.measure,
    "floating_ip": floating_ip.measure,
    "new_peer": new_peer.measure,
    "admission": admission.measure,
    "rest": rest.measure,
    "sizes": sizes.measure,
}


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {"cores": os.cpu_count(), "memory_gib": memory, "kernel": platform.release(), "machine": platform.machine()}


def commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"


def read() -> dict[str, tuple[Figure, str, str]]:
    """What was measured before: each figure with its commit and time."""
    if not RESULTS.exists():
        return {}
    names = {field.name for field in fields(Figure)}
    return {
        name: (Figure(**{key: value for key, value in found.items() if key in names}), found["commit"], found["at"])
        for name, found in json.loads(RESULTS.read_text())["figures"].items()
    }


def show(figures: list[Figure], console: Console) -> None:
    table = Table(title="Measured side by side, medians")
    for column in ("measure", "ours", "other", "ratio or difference", "bound", "holds"):
        table.add_column(column)
    for figure in figures:
        ours, other = sorted(figure.ours)[len(figure.ours) // 2], sorted(figure.other)[len(figure.other) // 2]
        sign = "≤" if figure.better == "below" else "≥"
        holds = "[green]yes[/]" if figure.holds else "[red]no[/]"
        table.add_row(
            figure.what,
            f"{ours:.3g} {figure.unit}",
            f"{other:.3g} {figure.unit}",
            f"{figure.value:.2f}",
            f"{sign} {figure.bound}",
            holds,
        )
    console.print(table)


def main() -> int:
    wanted = sys.argv[1:] or list(MEASURES)
    if unknown := [name for name in wanted if name not in MEASURES]:
        print(f"bench: no measure named {', '.join(unknown)}; there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    console = Console()
    measured = commit()  # before a picture or a figure is written
    figures: list[Figure] = []
    for name in wanted:
        with console.status(f"measuring {name} …"):
            figures += MEASURES[name]()
    kept = read() if sys.argv[1:] else {}
    now = measured, datetime.now(UTC).isoformat(timespec="seconds")
    kept |= {figure.name: (figure, *now) for figure in figures}
    document = {
        name: {**asdict(figure), "value": figure.value, "holds": figure.holds, "commit": made, "at": at}
        for name, (figure, made, at) in kept.items()
    }
    RESULTS.write_text(json.dumps({"machine": machine(), "figures": document}, indent=2) + "\n")
    readme.write({name: (figure, made) for name, (figure, made, _) in kept.items()}, machine())
    show(figures, console)
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
