"""What the user sees: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


_PIPE_WIDTH = 200  # columns where there is no terminal to ask


def show_json(value: Json) -> None:
    print(json.dumps(value, indent=2, default=dict))


def show_text(text: str) -> None:
    print(text)


def show_line(text: str) -> None:
    """One sentence with Rich's markup."""
    Console(highlight=False, soft_wrap=True).print(text)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(
        title=title, title_justify="left", header_style="bold", show_header=any(columns), box=None, pad_edge=False
    )
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column != columns[-1])
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def show_error(message: str) -> None:
    line = escape(" ".join(message.split()))
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]twinlock:[/] {line}")


def show_warning(message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold yellow]twinlock:[/] {escape(message)}")


def show_note(message: str) -> None:
    """Beside what a command of the user's prints."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[dim]twinlock:[/] {escape(message)}")


def plain(text: str) -> str:
    """Text from outside, so that Rich reads no markup in it."""
    return escape(text)


def moment(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: int) -> str:
    """In the largest unit that fits: 42 s, 7 m, 5 h, 12 d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def short(public_key: str) -> str:
    return f"{public_key[:8]}…"
