"""`python -m lab up|down|status|env|shell|preview`: what `make lab` and `twinlock lab` run."""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn, get_args

from rich.console import Console
from rich.markup import escape

from lab import calls, life
from lab.aws.addresses import DELAY
from lab.faults import FAULTS
from lab.paths import LAB, LOCK, REPORT
from lab.remote import LabError

console = Console(highlight=False)


@contextmanager
def alone(*, tidy: bool = False) -> Generator[None]:
    """One `lab up` or `lab down` at a time in a checkout; the second says so and ends. `tidy` leaves no lock file."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _busy() from error
        # Whoever was here before may have removed the file between our opening and our locking it.
        if not LOCK.exists() or LOCK.stat().st_ino != os.fstat(lock.fileno()).st_ino:
            raise _busy()
        yield
        if tidy:
            LOCK.unlink()


def _busy() -> LabError:
    return LabError("another `make lab` or `make lab-down` is at work in this checkout: wait for it", 3)


def up(words: argparse.Namespace) -> None:
    from lab import up as job
    from lab.report import show

    _need_root()
    with alone():
        life.down()
        life.start_daemon()
        try:
            report = job.main_job(
                console, move_seconds=words.move_seconds, conflicts=words.conflicts, floating=words.floating_ip
            )
        except LabError as error:
            raise LabError(f"{error}\nThe lab is left up to be looked at; its logs: {LAB}", error.code) from error
        show(report, console)
        console.print(
            f"Facts for programs: {REPORT}\n"
            "The lab is up. Look around:\n"
            '  eval "$(.venv/bin/twinlock lab env)"           the command speaks to the lab:\n'
            "  .venv/bin/twinlock --environment lab status\n"
            "  .venv/bin/twinlock lab shell a                 a gateway (or a client: ada, bob)\n"
            "  make lab-down                                  removes all of it",
            soft_wrap=True,
        )


def down(words: argparse.Namespace) -> None:
    with alone(tidy=True):
        life.down()
    console.print("The lab is down.")


def status(words: argparse.Namespace) -> None:
    facts = asdict(calls.status())
    if words.json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        console.print(f"[bold]{key}[/] {value if isinstance(value, str) else json.dumps(value)}")


def env(words: argparse.Namespace) -> None:
    settings = calls.environment()
    if words.json:
        print(json.dumps(settings))
        return
    for key, value in settings.items():
        print(f"export {key}={shlex.quote(value)}")


def shell(words: argparse.Namespace) -> None:
    argv = calls.shell(words.name, [word for word in words.argv if word != "--"])
    os.execvp(argv[0], argv)  # noqa: S606 - becomes that shell


def preview(words: argparse.Namespace) -> None:
    from lab import deploy, project

    if words.file is not None:
        project.stack_file(words.file)  # what is no stack file takes down no lab
    with alone(tidy=True):
        life.down()
        life.start_daemon()
        try:
            calls.start(rootless=True, tables=False)
            printed = deploy.preview(calls.environment(), words.file)
            print(printed, end="")
        finally:
            life.down()


def fail(words: argparse.Namespace) -> None:
    from lab.fail import fail as break_it

    _need_root()
    outage = asdict(break_it(words.what, words.during, words.nat, words.mode))
    if words.json:
        print(json.dumps(outage))
        return
    for key, value in outage.items():
        console.print(f"[bold]{key}[/] {value if isinstance(value, str) else json.dumps(value)}")
    console.print("`twinlock lab heal` mends it.")


def heal(words: argparse.Namespace) -> None:
    from lab.fail import heal as mend

    _need_root()
    healed = mend()
    if words.json:
        print(json.dumps({"healed": healed}))
    else:
        console.print(f"Mended: {', '.join(healed)}." if healed else "Nothing is broken.")


def soak(words: argparse.Namespace) -> None:
    from lab.soak.run import soak as play

    _need_root()
    held = play(words.minutes, words.seed, lambda line: console.print(escape(line), soft_wrap=True))
    console.print(f"{held} schedules, and all that has to be true was.")


def _need_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LabError("the lab needs root on Linux; `make preview` works without", 2)


def _between(least: float, most: float) -> Callable[[str], float]:
    def read(words: str) -> float:
        try:
            value = float(words)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{words!r} is no number from {least:g} to {most:g}")
        return value

    return read


class _Parser(argparse.ArgumentParser):
    """Bad usage is one line, as with the command."""

    def error(self, message: str) -> NoReturn:
        _say(f"{message} ({self.prog} --help)")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    found = _Parser(prog="python -m lab", description=__doc__)
    commands = found.add_subparsers(required=True)
    for name, run, text in (
        ("up", up, "start the lab and do the main job"),
        ("down", down, "remove all that the lab made"),
        ("status", status, "what is running"),
        ("env", env, 'settings for the command: eval "$(twinlock lab env)"'),
        ("shell", shell, "a shell in a gateway (a, b) or a client (ada, bob)"),
        ("fail", fail, "break the gateway that serves, and measure what a client loses"),
        ("heal", heal, "mend what `fail` broke"),
        ("soak", soak, "faults and changes at random for some minutes, with everything checked"),
        ("preview", preview, "pulumi preview against the lab's control plane, no root needed"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="for programs")
        if name == "up":
            command.add_argument(
                "--move-seconds", type=_between(0, 3600), default=DELAY, help="how long an elastic IP takes to move"
            )
            command.add_argument(
                "--floating-ip", action="store_true", help="with an address for clients that can hold but one peer"
            )
            command.add_argument(
                "--conflicts",
                type=_between(0, 0.5),
                default=0.02,
                help="share of transactions answered with a conflict",
            )
        if name == "fail":
            faults = "; ".join(f"{name}: {fault.says}" for name, fault in FAULTS.items())
            command.add_argument("what", choices=list(FAULTS), metavar="WHAT", help=faults)
            command.add_argument("--nat", choices=get_args(calls.Nat), default="symmetric", help="before the client")
            command.add_argument(
                "--mode", choices=get_args(calls.Mode), default="ways", help="how the client is reached"
            )
            command.add_argument("--during", choices=("download", "upload", "idle"), default="idle")
        if name == "soak":
            command.add_argument("--minutes", type=_between(0, 100_000), default=0.0, help="default: one schedule")
            command.add_argument("--seed", type=int, help="of the first schedule; default: any")
        if name == "preview":
            command.add_argument("--file", type=Path, help="a stack file instead of the lab's own, Pulumi.NAME.yaml")
        if name == "shell":
            command.add_argument("name")
            command.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    return found


def _say(line: str) -> None:
    Console(stderr=True, highlight=False).print(f"[red]lab:[/] {escape(line)}", soft_wrap=True)


def main() -> int:
    words = parser().parse_args()
    try:
        words.run(words)
    except LabError as error:
        _say(str(error))
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
