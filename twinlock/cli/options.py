"""Options that every command takes, before or after its name."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from twinlock.cli.cloud import Environment, check_environment, open_environment

EnvironmentName = Annotated[
    str | None,
    typer.Option("--environment", "-e", envvar="TWINLOCK_ENVIRONMENT", help="Which environment.", metavar="NAME"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TenantName = Annotated[str, typer.Option("--tenant", "-t", help="The peer's tenant.", metavar="TENANT")]
Reach = Annotated[
    list[str] | None,
    typer.Option("--reach", help="Reaches this of the tenant's alone: storage, a service, a network. Again for more."),
]
PeerName = Annotated[str, typer.Argument(help="The peer's name.", metavar="NAME", show_default=False)]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


@dataclass(frozen=True)
class Chosen:
    """What stood before the command's name, or after it, which wins."""

    environment: str | None
    json: bool

    def named(self) -> str:
        """The environment's name. Raises typer.BadParameter if none was given, Refused for what can't be one."""
        if self.environment is None:
            raise typer.BadParameter("say which environment: --environment NAME, or set TWINLOCK_ENVIRONMENT")
        check_environment(self.environment)
        return self.environment

    def open(self) -> Environment:
        return open_environment(self.named())


def chosen(ctx: typer.Context, environment: str | None, as_json: bool) -> Chosen:
    before: object = ctx.obj
    if isinstance(before, Chosen):
        return Chosen(before.environment if environment is None else environment, as_json or before.json)
    return Chosen(environment, as_json)


def check_somebody_answers(scope: Chosen) -> None:
    """Before a question. Raises typer.BadParameter for programs, and where there is no terminal."""
    if scope.json or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: pass --yes")


def duration(text: str) -> int:
    """Seconds of "90s", "30m", "24h", "7d". Raises typer.BadParameter."""
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no duration: a whole number and s, m, h or d, as in 30m")
    return int(match[1]) * _UNITS[match[2]]
