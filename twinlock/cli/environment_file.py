"""`twinlock environment new` and `check`: stack files, without any cloud."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen, stack_file
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.stack_questions import QUESTIONS, answered
from twinlock.cli.stack_template import MOST_TENANTS, Wanted, render
from twinlock.registry.errors import Refused

_KEYS = ("environment", "region", "network", "tunnel", "gateway", "storage", "tenants", "registry")


def new(
    name: Annotated[str, typer.Argument(help="The environment's name, which is the stack's.", metavar="NAME")],
    region: Annotated[str | None, typer.Option(help="Such as eu-west-1.")] = None,
    image: Annotated[str | None, typer.Option(help="A Debian 13 arm64 image of the region.")] = None,
    zones: Annotated[
        str | None, typer.Option(help="Letters of the region's zones. Default: ab.", metavar="LETTERS")
    ] = None,
    bucket: Annotated[list[str] | None, typer.Option(help="A bucket's short name; once for each.")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="A tenant's name; once for each.")] = None,
    break_glass: Annotated[list[str] | None, typer.Option(help="An ARN that needs no tunnel.")] = None,
    protect: Annotated[bool | None, typer.Option(help="Guard what holds data against deletion; the default.")] = None,
    file: Annotated[Path | None, typer.Option(help="Default: Pulumi.NAME.yaml here.")] = None,
) -> None:
    """Write a commented stack file. At a terminal it asks for what no flag says, unless region and image are given."""
    path = file or Path(f"Pulumi.{name}.yaml")
    if path.exists():
        raise _there(path)
    flags: dict[str, str | None] = {
        "region": region, "image": image, "zones": zones, "bucket": _joined(bucket), "tenant": _joined(tenant),
        "break_glass": _joined(break_glass), "protect": None if protect is None else "yes" if protect else "no",
    }  # fmt: skip
    given = {flag: value for flag, value in flags.items() if value is not None}
    if region is None or image is None:
        if not _at_a_terminal():
            raise typer.BadParameter("say --region and --image; at a terminal, what is not said is asked for")
    else:
        given = {question.name: question.default for question in QUESTIONS} | given
    if len(tenant or ()) > MOST_TENANTS:
        raise typer.BadParameter(f"{MOST_TENANTS} tenants at most: add others by hand, with smaller ranges")

    def mistakes(wanted: Wanted) -> list[str]:
        return [told for _, told in _mistakes_in(stack_file.parse(render(wanted), path, name))]

    wanted = answered(given, _ask, lambda line: screen.show_warning(screen.plain(line)), mistakes)
    if found := mistakes(wanted):
        raise typer.BadParameter("; ".join(found))
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(render(wanted))
    except FileExistsError as exc:
        raise _there(path) from exc
    screen.show_line(f"{screen.plain(str(path))} is written: pulumi stack init {name} && pulumi up --stack {name}")


def _there(path: Path) -> Refused:
    return Refused(f"{path} is there already: remove it first, or choose another name")


def _joined(values: list[str] | None) -> str | None:
    return ",".join(values) if values else None


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _ask(text: str, default: str) -> str:
    return str(typer.prompt(text, default=default, show_default=bool(default)))


def check(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Option(help="Default: Pulumi.ENVIRONMENT.yaml here.")] = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Check a stack file without any cloud; each mistake with its line."""
    scope = chosen(ctx, environment, as_json)
    path = file or Path(f"Pulumi.{scope.named()}.yaml")
    name = scope.environment or _name_of(path)
    mistakes = _mistakes_in(stack_file.read(path, name))
    if scope.json:
        screen.show_json({"file": str(path), "mistakes": [{"line": line, "text": text} for line, text in mistakes]})
    else:
        for line, text in mistakes:
            screen.show_text(f"{path}:{line}: {text}")
        if not mistakes:
            screen.show_line(f"{screen.plain(str(path))} describes an environment")
    if mistakes:
        raise typer.Exit(2)


def _name_of(path: Path) -> str:
    found = re.fullmatch(r"Pulumi\.(.+)\.ya?ml", path.name)
    if found is None:
        raise typer.BadParameter(f"{path} is not named Pulumi.NAME.yaml: say which environment, --environment NAME")
    return found[1]


def _mistakes_in(found: stack_file.StackFile) -> list[tuple[int, str]]:
    """(line, what) of each, in the order of the lines."""
    try:
        from twinlock.automation import Invalid, spec
    except ImportError as exc:
        raise Refused("this needs a checkout of Twinlock with Pulumi: pip install -r requirements.txt there") from exc
    unknown = [
        (found.line(f"twinlock:{key}"), f"twinlock:{key} is not a known key; remove it or mend its name")
        for key in found.values
        if key not in _KEYS
    ]
    try:
        spec({key: value for key, value in found.values.items() if key in _KEYS})
    except Invalid as exc:
        unknown += [(found.line(problem.key), str(problem)) for problem in exc.problems]
    return sorted(unknown)
