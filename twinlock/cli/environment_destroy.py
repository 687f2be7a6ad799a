"""`twinlock environment destroy`: the end of an environment, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.change import Left
from twinlock.cli import screen
from twinlock.cli.options import AsJson, EnvironmentName, check_somebody_answers, chosen
from twinlock.cli.preview import StackFileOption, facts, opened
from twinlock.registry.errors import RegistryError


def destroy(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    file: StackFileOption = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Delete an environment but for what is protected, and say what stays and what that goes on costing."""
    scope = chosen(ctx, environment, as_json)
    name = scope.named()
    with opened(file or Path(f"Pulumi.{name}.yaml"), name) as (automation, wanted):
        from twinlock.automation import AutomationError

        if not yes:
            check_somebody_answers(scope)
            if typer.prompt(f"Type {name} to delete it; nobody can use its gateways then") != name:
                raise typer.Abort
        try:
            found = automation.destroy(wanted)
        except AutomationError as exc:
            raise RegistryError(f"{name} is not all gone: {exc}") from exc
    if scope.json:
        left: list[screen.Json] = [
            {"urn": one.urn, "why": one.why, "days": one.days, "cost": one.cost} for one in found.left
        ]
        screen.show_json({"infrastructure": facts(found), "left": left})
        return
    screen.show_line(f"{found.counts().get('delete', 0)} resources of {name} are deleted")
    if found.left:
        rows = [[screen.plain(one.name), _why(one), one.cost] for one in found.left]
        screen.show_table("", ("LEFT", "WHY", "COSTS"), rows)
    if any(one.why == "protected" for one in found.left):
        screen.show_line("what is protected goes after `protect: false` in storage and registry, `pulumi up`, destroy")


def _why(one: Left) -> str:
    match one.why:
        case "protected":
            return "protected"
        case "recovery":
            return f"can be restored for {one.days} days"
        case "adopted":
            return "was there before"
