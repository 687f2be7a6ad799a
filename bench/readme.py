"""The README's table of figures, written from bench/results.json between two marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median

from bench.figure import Figure

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- measured: `make bench` writes this -->\n", "<!-- /measured -->\n"


def write(figures: Mapping[str, tuple[Figure, str]], machine: Mapping[str, object]) -> None:
    """`figures` by name, each with the commit that it was measured at."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}{table(figures, machine)}{END}{after}")


def table(figures: Mapping[str, tuple[Figure, str]], machine: Mapping[str, object]) -> str:
    rows = [
        f"| {figure.what} | {median(figure.ours):.3g} {figure.unit} | {median(figure.other):.3g} {figure.unit} "
        f"| {_compared(figure)} | {'≤' if figure.better == 'below' else '≥'} {figure.bound:g} "
        f"| {'yes' if figure.holds else '**no**'} |"
        for figure, _ in figures.values()
    ]
    commits = ", ".join(sorted({commit for _, commit in figures.values()}))
    return "\n".join(
        [
            f"On {machine['cores']} {machine['machine']} cores, {machine['memory_gib']} GiB, wireguard-go; each line",
            f"side by side in one run, medians (commit {commits}; all samples: `bench/results.json`):",
            "",
            "| | ours | beside it | | bound | holds |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _compared(figure: Figure) -> str:
    return f"{figure.value:.2f}x" if figure.compare == "ratio" else f"{figure.value:+.3g} {figure.unit}"
