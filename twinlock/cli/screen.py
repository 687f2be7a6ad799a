"""What the user sees: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


_PIPE_WIDTH = 200  # columns where there is no terminal to ask
_ENDLESS = re.compile(r"\S{160,}")


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
    _beside("bold red", message)


def show_warning(message: str) -> None:
    _beside("bold yellow", message)


def show_note(message: str) -> None:
    """Beside what a command of the user's prints."""
    _beside("dim", message)


def _beside(style: str, message: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[{style}]twinlock:[/] {escape(one_line(message))}")


def one_line(message: str) -> str:
    """For text from outside: spells out what a terminal would obey or can't show, and cuts endless words."""
    return _ENDLESS.sub(lambda word: f"{word[0][:60]}…{word[0][-20:]}", _spelt(" ".join(message.split())))


def plain(text: str) -> str:
    """Text from outside, so that Rich reads no markup in it and a terminal obeys none of it."""
    return escape(_spelt(text))


def _spelt(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def moment(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: int) -> str:
    """In the largest unit that fits: 42 s, 7 m, 5 h, 12 d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def size(count: int) -> str:
    """1.5 MiB"""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def short(public_key: str) -> str:
    return f"{public_key[:8]}…"
