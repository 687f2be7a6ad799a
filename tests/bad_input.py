"""The whole tree of commands, and what people and programs pass that no command can take."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from twinlock.cli.main import app

ROOT = typer.main.get_command(app)
NASTY = {
    "empty": "",
    "blank": " ",
    "very long": "x" * 5000,
    "a newline": "a\nb",
    "an escape": "\x1b[31mred",
    "a null": "a\x00b",
    "not UTF-8": "\udcff\udcfe",
    "markup": "[/red][bold]x",
    "negative": "-1",
    "huge": "9" * 40,
    "no number": "nan",
    "look-alikes": "аdа",  # noqa: RUF001  (Cyrillic, on purpose)
    "wide digits": "１２h",  # noqa: RUF001
    "a folder": "folder",
    "in a folder that is not there": "none/there",
    "under a file": "text/below",
    "a file that can't be read": "/proc/self/mem",
    "a file that is not text": "binary",
    "an empty file": "nothing",
    "a file of something else": "text",
    "another place": "../../etc/passwd",
    "a shell's words": "$HOME`id`;%s{0}",
}
# What the other parameters hold meanwhile, so that the bad one is reached.
_GOOD = {
    "public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
    "tenant": "red",
    "region": "eu-west-1",
    "image": "ami-0123456789abcdef0",
    "what": "kill",
    "keys": "folder",
    "out": "made",
}


def lay_files(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    (folder / "nothing").touch()
    (folder / "text").write_text("[something]\nelse = 'entirely'\n")


def commands(group: object = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """("peer", "enrol") and its command, of each."""
    below = getattr(group, "commands", None)
    if below is None:
        yield path, group
        return
    for name, command in below.items():
        yield from commands(command, (*path, name))


TREE = dict(commands())


@dataclass(frozen=True)
class Said:
    code: object
    out: str
    err: str


def run(*words: str) -> Said:
    """As the shell calls it. Whatever is not the end of a command comes out as it is."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = ROOT.main(list(words), prog_name="twinlock", standalone_mode=True)
        except SystemExit as ended:
            code = ended.code
    return Said(code or 0, out.getvalue(), err.getvalue())


def tries(path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """(what is bad, the words) for each parameter of a command that takes a value, and each bad value."""
    parameters = TREE[path].params
    for bad in parameters:
        if getattr(bad, "is_flag", False):
            continue
        for kind, value in NASTY.items():
            yield f"{bad.name}: {kind}", ["--environment=lab", *path, *_words(parameters, bad, value)]


def _words(parameters, bad, value: str) -> list[str]:
    wanted = [one for one in parameters if one is bad or one.required]
    return words_of(wanted, {one.name: value if one is bad else _GOOD.get(one.name, "fine") for one in wanted})


def words_of(parameters, values: Mapping[str, str]) -> list[str]:
    """A command's words, with these values for its parameters."""
    options = [f"{one.opts[0]}={values[one.name]}" for one in parameters
               if one.name in values and one.param_type_name == "option"]  # fmt: skip
    arguments = [values[one.name] for one in parameters if one.name in values and one.param_type_name != "option"]
    return [*options, "--", *arguments]


def wrong_with(said: Said) -> str:
    """Empty if it is as bad input is to be answered; what it did without complaint is no matter of this."""
    lines = said.err.splitlines()
    if said.code in (0, 1):  # it took the value, or could not ask anybody
        return (
            "" if said.out.replace("\n", "").isprintable() or said.out.startswith("{") else "shows what it should spell"
        )
    if said.code not in (2, 3):
        return f"exit code {said.code}"
    if len(lines) != 1 or not lines[0].startswith("twinlock: ") or "x" * 200 in lines[0]:
        return f"not one line: {said.err[:300]!r}"
    if not lines[0].isprintable():
        return "shows what a terminal obeys"
    return ""
