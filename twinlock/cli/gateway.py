"""`twinlock gateway`: the machines that carry the traffic."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, cast

import typer

from twinlock.cli import screen
from twinlock.cli.cloud import Environment
from twinlock.cli.gateway_roll import replace_gateway, roll_order
from twinlock.cli.gateway_switch import switch, switch_target
from twinlock.cli.health import GatewayHealth, health
from twinlock.cli.options import AsJson, Chosen, EnvironmentName, chosen, duration

app = typer.Typer(no_args_is_help=True, help="List and replace gateways.")
COLUMNS = ("SLOT", "ZONE", "INSTANCE", "PUBLIC ADDRESS", "ROLE", "UP", "STATE")


@app.command("list", epilog="Example: twinlock -e prod gateway list --json")
def list_(ctx: typer.Context, environment: EnvironmentName = None, as_json: AsJson = False) -> None:
    """Show each slot's gateway, as it last described itself."""
    scope = chosen(ctx, environment, as_json)
    found = look(scope.open())
    if scope.json:
        screen.show_json({"gateways": [facts(one) for one in found if one.record is not None]})
    else:
        screen.show_table("", COLUMNS, [row(one) for one in found])


@app.command(epilog="Example: twinlock -e prod gateway roll --wait")
def roll(
    ctx: typer.Context,
    slot: Annotated[str | None, typer.Option(help="This slot's gateway alone.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="One by one, each when the one before is well.")] = False,
    timeout: Annotated[str, typer.Option(help="For each gateway: 10m, 90s.")] = "10m",
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Replace gateways by new ones of the newest template; refused while a twin is not well."""
    scope, seconds = chosen(ctx, environment, as_json), duration(timeout)
    if slot is None and not wait:
        raise typer.BadParameter("replacing all of them goes one after the other: pass --wait, or --slot for one alone")
    opened = scope.open()
    done: list[screen.Json] = []
    for name in roll_order(look(opened), slot):
        began = time.monotonic()
        new = replace_gateway(opened, name, look, seconds if wait else None)
        done.append({"slot": name, "instance_id": new, "seconds": round(time.monotonic() - began, 1)})
        if not scope.json:
            told = f"is replaced by {new}" if new else "is being replaced"
            screen.show_line(f"gateway {name} {told} [dim]{time.monotonic() - began:.1f} s[/]")
    if scope.json:
        screen.show_json({"replaced": done})


@app.command("switch", epilog="Example: twinlock -e prod gateway switch --to b")
def switch_(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option(help="The slot that is to serve; else any other that is well.")] = None,
    timeout: Annotated[str, typer.Option(help="So long it may take: 10s.")] = "10s",
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Have another gateway serve; clients notice a few hundredths of a second."""
    scope, seconds = chosen(ctx, environment, as_json), duration(timeout)
    _switch(scope, to, None, seconds)


@app.command(epilog="Example: twinlock -e prod gateway drain a")
def drain(
    ctx: typer.Context,
    slot: Annotated[str, typer.Argument(help="The slot whose gateway is to serve nobody.", metavar="SLOT")],
    timeout: Annotated[str, typer.Option(help="So long it may take: 10s.")] = "10s",
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Have another gateway take what this one serves; it stays as the standby."""
    scope, seconds = chosen(ctx, environment, as_json), duration(timeout)
    _switch(scope, None, slot, seconds)


def _switch(scope: Chosen, to: str | None, away_from: str | None, seconds: float) -> None:
    opened = scope.open()
    target = switch_target(look(opened), to, away_from)
    took = None if target is None else round(switch(opened, target, look, seconds), 1)
    if scope.json:
        screen.show_json({"switched_to": target, "seconds": took})
    elif target is None:
        screen.show_line("nothing to do: it is so already")
    else:
        screen.show_line(f"gateway {target} serves [dim]{took} s[/]")


def look(environment: Environment) -> tuple[GatewayHealth, ...]:
    """How every slot's gateway is now."""
    registry = environment.registry
    definition = registry.definition()
    generations = registry.generations()
    records = registry.gateways(slot.name for slot in definition.slots)
    return health(definition, records, generations, time.time())


def facts(one: GatewayHealth) -> dict[str, screen.Json]:
    record = cast(dict[str, screen.Json], {} if one.record is None else asdict(one.record))
    slot = {"slot": one.slot, "zone": one.zone, "public_address": one.public_address}
    state = {"heartbeat_age": one.age, "behind": dict(one.behind), "well": one.problem is None, "problem": one.problem}
    return slot | record | state


def row(one: GatewayHealth) -> tuple[str, ...]:
    state = "[green]well[/]" if one.problem is None else f"[red]{one.problem}[/]"
    if one.record is None:
        return one.slot, one.zone, "-", one.public_address, "-", "-", state
    role = "[bold]serving[/]" if one.record.serving else "standby"
    up = screen.span(max(0, int(time.time()) - one.record.booted_at))
    return one.slot, one.zone, one.record.instance_id, one.public_address, role, up, state
