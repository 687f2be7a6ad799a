"""`twinlock gateway`: the machines that carry the traffic."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, cast

import typer

from twinlock.cli import screen
from twinlock.cli.cloud import Environment
from twinlock.cli.gateway_roll import replace_gateway, roll_order
from twinlock.cli.gateway_rotation import Progress, identity_name, progress
from twinlock.cli.gateway_switch import SWITCH_SECONDS, await_ways, switch, switch_target
from twinlock.cli.options import AsJson, Chosen, EnvironmentName, chosen, duration
from twinlock.registry.health import GatewayHealth, health
from twinlock.registry.model import GatewayRecord
from twinlock.registry.places import HOLDS, is_scarce

app = typer.Typer(no_args_is_help=True, help="List, switch, rotate and replace gateways.")
Force = Annotated[bool, typer.Option("--force", help="Do not wait for ways: clients without one are lost for minutes.")]
Timeout = Annotated[str, typer.Option(help="So long it waits for clients' ways: 40s.")]
SHOWN = 20  # names of peers
COLUMNS = ("SLOT", "ZONE", "INSTANCE", "PUBLIC ADDRESS", "ROLE", "PEERS", "WAYS", "UP", "STATE")


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
    force: Force = False,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Replace gateways by new ones of the newest template; refused while a twin is not well or is replaced itself."""
    scope, seconds = chosen(ctx, environment, as_json), duration(timeout)
    if slot is None and not wait:
        raise typer.BadParameter("replacing all of them goes one after the other: pass --wait, or --slot for one alone")
    opened = scope.open()
    done: list[screen.Json] = []
    for name in roll_order(look(opened), slot):
        began = time.monotonic()
        new = replace_gateway(opened, name, look, seconds if wait else None, force=force)
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
    force: Force = False,
    timeout: Timeout = "40s",
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Have another gateway serve, as soon as clients hold ways to it; they notice a few hundredths of a second."""
    scope, seconds = chosen(ctx, environment, as_json), duration(timeout)
    _switch(scope, to, None, seconds, force=force)


@app.command(epilog="Example: twinlock -e prod gateway drain a")
def drain(
    ctx: typer.Context,
    slot: Annotated[str, typer.Argument(help="The slot whose gateway is to serve nobody.", metavar="SLOT")],
    force: Force = False,
    timeout: Timeout = "40s",
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Have another gateway take what this one serves; it stays as the standby."""
    scope, seconds = chosen(ctx, environment, as_json), duration(timeout)
    _switch(scope, None, slot, seconds, force=force)


def _switch(scope: Chosen, to: str | None, away_from: str | None, seconds: float, *, force: bool) -> None:
    opened = scope.open()
    target = switch_target(look(opened), to, away_from)
    if target is not None and not force:
        await_ways(lambda: look(opened), target, seconds, lambda text: None if scope.json else screen.show_note(text))
    took = None if target is None else round(switch(opened, target, look, SWITCH_SECONDS), 1)
    if scope.json:
        screen.show_json({"switched_to": target, "seconds": took})
    elif target is None:
        screen.show_line("nothing to do: it is so already")
    else:
        screen.show_line(f"gateway {target} serves [dim]{took} s[/]")


@app.command(epilog="Example: twinlock -e prod gateway rotate --window 7d")
def rotate(
    ctx: typer.Context,
    window: Annotated[str, typer.Option(help="How long the old identity is served beside the new one.")] = "7d",
    slot: Annotated[str | None, typer.Option(help="This slot's way; else the service.")] = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Replace the key that peers know the service, or a way, by; nobody loses traffic who takes a new file in time."""
    scope, seconds = chosen(ctx, environment, as_json), duration(window)
    registry = scope.open().registry
    rotation = registry.start_rotation(identity_name(registry.definition(), slot), seconds)
    if scope.json:
        screen.show_json({"name": rotation.name, "number": rotation.number, "until": rotation.until})
    else:
        screen.show_line(
            f"{rotation.name} is rotated until {screen.moment(rotation.until)}: hand out new files "
            "([bold]twinlock peer config[/]); [bold]twinlock gateway rotation[/] shows who has moved"
        )


@app.command(epilog="Example: twinlock -e prod gateway rotation --json")
def rotation(ctx: typer.Context, environment: EnvironmentName = None, as_json: AsJson = False) -> None:
    """Show which peers use a rotated identity already, and who has to take a new file."""
    scope = chosen(ctx, environment, as_json)
    found = progress(scope.open().registry, time.time())
    if scope.json:
        screen.show_json({"rotations": [_rotation_facts(one) for one in found]})
        return
    rows = [
        (
            one.rotation.name,
            str(one.rotation.number),
            "until " + screen.moment(one.rotation.until) if one.open else "ended",
            f"{len(one.moved)} of {len(one.moved) + len(one.waiting)}",
            ", ".join(map(screen.plain, one.waiting[:SHOWN])) + (" …" if len(one.waiting) > SHOWN else ""),
        )
        for one in found
    ]
    screen.show_table("", ("IDENTITY", "NUMBER", "OLD ONE", "MOVED", "WAITED FOR"), rows)


def _rotation_facts(one: Progress) -> dict[str, screen.Json]:
    facts = {"name": one.rotation.name, "number": one.rotation.number, "until": one.rotation.until, "open": one.open}
    return {**facts, "served": one.served, "moved": one.moved, "waiting": one.waiting}


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
    state = {
        "holds": HOLDS,
        "heartbeat_age": one.age,
        "behind": dict(one.behind),
        "well": one.problem is None,
        "problem": one.problem,
    }
    return slot | record | state


def row(one: GatewayHealth) -> tuple[str, ...]:
    state = "[green]well[/]" if one.problem is None else f"[red]{one.problem}[/]"
    if one.record is None:
        return one.slot, one.zone, "-", one.public_address, "-", "-", "-", "-", state
    role = "[bold]serving[/]" if one.record.serving else "standby"
    role += ", floating address" if one.record.floating else ""
    up = screen.span(max(0, int(time.time()) - one.record.booted_at))
    ways = "-" if one.record.ways is None else str(one.record.ways)
    return one.slot, one.zone, one.record.instance_id, one.public_address, role, _held(one.record), ways, up, state


def _held(record: GatewayRecord) -> str:
    if record.peers is None:
        return "-"
    text = f"{record.peers} of {HOLDS}"
    return f"[yellow]{text}[/]" if is_scarce(record.peers) else text
