"""`twinlock drift`: whether what runs is still what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import gateway, screen
from twinlock.cli.aws import find_strangers, remove_strangers
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.preview import StackFileOption, facts, opened, show
from twinlock.registry.errors import RegistryError

_DRIFTED = 1


def drift(
    ctx: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Make the infrastructure again what was asked for.")] = False,
    infrastructure_only: Annotated[
        bool, typer.Option("--infrastructure-only", help="Don't ask the registry about the gateways.")
    ] = False,
    file: StackFileOption = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Compare the cloud with the stack file, and each gateway with the registry. Exit code 1 where they differ.

    Rules and routes that somebody added are found too; --repair takes them away.
    """
    scope = chosen(ctx, environment, as_json)
    name = scope.named()
    with opened(file or Path(f"Pulumi.{name}.yaml"), name) as (automation, wanted):
        from twinlock.automation import AutomationError

        try:
            found = automation.repair(wanted) if repair else automation.drift(wanted)
        except AutomationError as exc:
            raise RegistryError(f"{name} could not be compared: {exc}") from exc
    unknown = find_strangers(name)
    if repair:
        remove_strangers(unknown)
    found_gateways = () if infrastructure_only else gateway.look(scope.open())
    behind = [one for one in found_gateways if one.problem is not None]
    strays = [(one.slot, text) for one in found_gateways if one.record for text in one.record.strays]
    if scope.json:
        gateways: list[screen.Json] = [{"slot": one.slot, "problem": one.problem} for one in behind]
        peers: list[screen.Json] = [{"slot": slot, "text": text} for slot, text in strays]
        screen.show_json(
            {
                "repaired": repair,
                "infrastructure": facts(found),
                "unknown": [one.text for one in unknown],
                "gateways": gateways,
                "peers": peers,
            }
        )
    else:
        show(found)
        for one in unknown:
            screen.show_line(screen.plain(f"{one.text}{', taken away' if repair else ''}"))
        for one in behind:
            screen.show_line(f"gateway {one.slot}: {screen.plain(str(one.problem))}")
        for slot, text in strays:
            screen.show_line(f"gateway {slot}: {screen.plain(text)}")
    if behind or ((found.changed or unknown or strays) and not repair):
        raise typer.Exit(_DRIFTED)
