"""`twinlock storage`: what the programs need to know that move data."""

from __future__ import annotations

from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.storage_tools import AT_ONCE, PART_MIB, Tool, endpoint, where
from twinlock.cli.storage_tools import profile as text_of

app = typer.Typer(no_args_is_help=True, help="The storage behind the gateways.")


@app.callback()
def storage() -> None:
    """The storage behind the gateways."""


@app.command(epilog="Example: twinlock -e prod storage profile --for rclone >> ~/.config/rclone/rclone.conf")
def profile(
    ctx: typer.Context,
    tool: Annotated[Tool, typer.Option("--for", help="Which program.")] = Tool.AWS,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Print ready settings for the aws command, rclone or s3fs; no credentials are in them."""
    scope = chosen(ctx, environment, as_json)
    definition = scope.open().registry.definition()
    text = text_of(definition, tool)
    if scope.json:
        facts: dict[str, screen.Json] = {
            "for": tool.value,
            "endpoint": endpoint(definition),
            "region": definition.region,
            "part_mib": PART_MIB,
            "at_once": AT_ONCE,
            "text": text,
        }
        screen.show_json(facts)
        return
    screen.show_text(text)
    screen.show_warning(f"this belongs into {where(tool)}")
