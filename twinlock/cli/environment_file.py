"""`twinlock environment new` and `check`: stack files, without any cloud."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen, stack_file
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.stack_template import MOST_TENANTS, Wanted, render
from twinlock.registry.errors import Refused

_KEYS = ("environment", "region", "network", "tunnel", "gateway", "storage", "tenants", "registry")


def new(
    name: Annotated[str, typer.Argument(help="The environment's name, which is the stack's.", metavar="NAME")],
    region: Annotated[str, typer.Option(help="Such as eu-west-1.", prompt="Region")],
    image: Annotated[str, typer.Option(help="A Debian 13 arm64 image of the region.", prompt="Image (ami-…)")],
    zones: Annotated[str, typer.Option(help="Letters of the region's zones.", metavar="LETTERS")] = "ab",
    bucket: Annotated[list[str] | None, typer.Option(help="A bucket's short name; once for each.")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="A tenant's name; once for each.")] = None,
    break_glass: Annotated[list[str] | None, typer.Option(help="An ARN that needs no tunnel.")] = None,
    protect: Annotated[bool, typer.Option(help="Guard what holds data against deletion.")] = True,
    file: Annotated[Path | None, typer.Option(help="Default: Pulumi.NAME.yaml here.")] = None,
) -> None:
    """Write a commented stack file."""
    path = file or Path(f"Pulumi.{name}.yaml")
    if len(tenant or ()) > MOST_TENANTS:
        raise typer.BadParameter(f"{MOST_TENANTS} tenants at most: add others by hand, with smaller ranges")
    text = render(
        Wanted(
            region=region,
            zones=[f"{region}{letter}" for letter in zones],
            image=image,
            buckets=bucket or ["data"],
            tenants=tenant or ["engineering"],
            break_glass=break_glass or [],
            protect=protect,
        )
    )
    mistakes = _mistakes_in(stack_file.parse(text, path, name))
    if mistakes:
        raise typer.BadParameter("; ".join(told for _, told in mistakes))
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError as exc:
        raise Refused(f"{path} is there already: remove it first, or choose another name") from exc
    screen.show_line(f"{screen.plain(str(path))} is written: pulumi stack init {name} && pulumi up --stack {name}")


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
