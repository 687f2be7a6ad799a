"""A picture of outages: a dot for each crash, a row for each kind, seconds on a logarithmic axis. Plain SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import median

WIDTH, LEFT, ROW, TOP = 760, 150, 46, 40
FIRST, LAST = 0.05, 50.0  # seconds at the ends of the axis
TICKS = (0.1, 0.3, 1, 3, 10, 30)


def draw(rows: Mapping[str, list[float]], path: Path) -> None:
    height = TOP + ROW * len(rows) + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20">Seconds without an answered packet when the serving gateway crashes</text>',
    ]
    for tick in TICKS:
        x = _x(tick)
        lines.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{height - 32}" stroke="#ddd"/>')
        lines.append(f'<text x="{x}" y="{height - 14}" text-anchor="middle" fill="#555">{tick:g} s</text>')
    for number, (name, seconds) in enumerate(rows.items()):
        lines += _row(name, seconds, TOP + ROW * number + ROW // 2)
    path.write_text("\n".join([*lines, "</svg>", ""]))


def _row(name: str, seconds: list[float], y: int) -> list[str]:
    middle = median(seconds)
    dots = [f'<circle cx="{_x(one)}" cy="{y}" r="5" fill="#1b6ca8" fill-opacity="0.5"/>' for one in seconds]
    return [
        f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{name}</text>',
        *dots,
        f'<text x="{_x(max(seconds)) + 10}" y="{y + 4}" fill="#333">{middle:.2f} s (n={len(seconds)})</text>',
    ]


def _x(seconds: float) -> float:
    part = math.log(max(seconds, FIRST) / FIRST) / math.log(LAST / FIRST)
    return round(LEFT + part * (WIDTH - LEFT - 110), 1)
