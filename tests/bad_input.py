"""The whole tree of commands, and what people and programs pass that no command can take."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
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
# What the other parameters hold meanwhile, so that the bad one is reached: with these a command does what it is for, as
# far as it can without a cloud. tests/unit/test_cli_bad_input.py has the environment in which they are sound.
_GOOD = {
    "public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
    "tenant": "red",
    "what": "kill",
    "keys": "keys",
    "region": "eu-west-1",
}
_OF_ITS_OWN = {
    ("peer", "apply"): {"file": "peers.yaml"},
    ("peer", "approve"): {"name": "waiting", "tenant": "red"},
    ("peer", "rotate"): {"name": "laptop"},
    ("peer", "revoke"): {"name": "laptop"},
    ("peer", "show"): {"name": "laptop"},
    ("peer", "config"): {"name": "laptop", "private_key_file": "own.key"},
    ("ci", "run"): {"tenant": "auto"},
    ("ci", "rotate-due"): {"tenant": "red"},
    ("gateway", "roll"): {"slot": "b"},
    ("gateway", "drain"): {"slot": "b"},
    ("environment", "new"): {"region": "eu-west-1", "image": "ami-0123456789abcdef0"},
    ("registry", "rotate-data-key"): {"tenant": "locked"},
    ("registry", "restore"): {"file": "lab.registry"},
}
# What stands in the place of something else.
_INSTEAD = {(("peer", "approve"), "file"): {"name", "tenant"}}


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


def sound(path: tuple[str, ...]) -> dict[str, str]:
    """A value for each parameter that a command needs, by the parameter's name."""
    own = _OF_ITS_OWN.get(path, {})
    needed = {one.name: _GOOD.get(one.name, "fine") for one in TREE[path].params if one.required}
    return needed | own


def flags(path: tuple[str, ...]) -> list[str]:
    """What takes no value: "--json", "--no-protect"."""
    found = [one for one in TREE[path].params if getattr(one, "is_flag", False)]
    return [max(names, key=len) for one in found for names in (one.opts, one.secondary_opts) if names]


def tries(path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """(what is bad, the words) for each parameter of a command that takes a value, and each bad value; now and then
    with a flag as well."""
    before, switches = ["--environment=lab", *path], cycle(["", "", *flags(path)])
    for flag in flags(path):
        yield flag, [*before, flag, *words_of(path, sound(path))]
    for bad in TREE[path].params:
        if getattr(bad, "is_flag", False):
            continue
        left_out = _INSTEAD.get((path, bad.name), set())
        meanwhile = {name: value for name, value in sound(path).items() if name not in left_out}
        for kind, value in NASTY.items():
            switch = [word for word in (next(switches),) if word]
            yield f"{bad.name}: {kind} {switch}", [*before, *switch, *words_of(path, meanwhile | {bad.name: value})]
    if path == ("status",):  # what stands before a command's name is the same for them all
        for kind, value in NASTY.items():
            yield f"the program's environment: {kind}", [f"-e={value}", "--json", *path]


def words_of(path: tuple[str, ...], values: Mapping[str, str]) -> list[str]:
    """A command's words, with these values for its parameters."""
    given = [one for one in TREE[path].params if one.name in values]
    options = [f"{one.opts[0]}={values[one.name]}" for one in given if one.param_type_name == "option"]
    return [*options, "--", *(values[one.name] for one in given if one.param_type_name != "option")]


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
