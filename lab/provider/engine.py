"""What the engine that started this plugin was asked to do: the protocol does not tell, its command line does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

# Pulumi's flags that take no value. Before a command any other takes the word after it, as its own parser has it.
_SWITCHES = frozenset(
    {"--disable-integrity-checking", "--emoji", "-e", "--fully-qualify-stack-names", "-Q", "--help", "-h"}
    | {"--logflow", "--logtostderr", "--non-interactive"}
)


def words(process: int) -> list[str]:
    """Its command line; nothing if it is gone."""
    file = Path("/proc") / str(process) / "cmdline"
    if file.exists():
        return file.read_text().split("\0")
    listed = ("ps", "-ww", "-o", "args=", "-p", str(process))  # macOS has no /proc
    return subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split()


def command(said: Sequence[str]) -> str:
    """The first word that is no flag and no flag's value, such as "up"; empty where there is none. Pure."""
    following = iter(said[1:])
    for word in following:
        if not word.startswith("-"):
            return word
        if "=" not in word and word not in _SWITCHES and (word.startswith("--") or len(word) == 2):
            next(following, None)
    return ""
