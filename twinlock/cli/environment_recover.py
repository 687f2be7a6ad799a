"""`twinlock environment recover`: after a deployment whose engine was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.options import AsJson, EnvironmentName, check_somebody_answers, chosen
from twinlock.cli.preview import StackFileOption, facts, opened, show
from twinlock.registry.errors import RegistryError


def recover(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask whether somebody is still at work.")] = False,
    file: StackFileOption = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Find what a killed deployment made and did not write down; the next `pulumi up` goes on from there."""
    scope = chosen(ctx, environment, as_json)
    name = scope.named()
    with opened(file or Path(f"Pulumi.{name}.yaml"), name) as (automation, wanted):
        from twinlock.automation import AutomationError

        if not yes:
            check_somebody_answers(scope)
            typer.confirm(f"Takes the lock of {name} away. Is nobody deploying it any more?", abort=True)
        try:
            found = automation.recover(wanted)
        except AutomationError as exc:
            raise RegistryError(f"{name} could not be recovered: {exc}") from exc
    settled = [one for one in found.messages if one.urn]
    if scope.json:
        told: list[screen.Json] = [{"urn": one.urn, "text": one.text} for one in settled]
        screen.show_json({"settled": told, "infrastructure": facts(found)})
        return
    for one in settled:
        screen.show_line(f"[bold]{screen.plain(one.urn.rpartition('::')[2])}[/] {screen.plain(one.text)}")
    show(found)
    screen.show_line(f"{name} is as the cloud has it: pulumi up --stack {name}")
