"""`twinlock status`: whether an environment is well."""

from __future__ import annotations

import time

import typer

from twinlock.cli import gateway, screen
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.standing import STATES, Standing, standing
from twinlock.registry.addresses import Room
from twinlock.registry.traffic import still_sending


def status(ctx: typer.Context, environment: EnvironmentName = None, as_json: AsJson = False) -> None:
    """Show gateways, who serves, what they have made true, and how many peers there are."""
    scope = chosen(ctx, environment, as_json)
    found = standing(scope.open(), int(time.time()))
    if scope.json:
        screen.show_json(_facts(found))
        return
    screen.show_table(
        f"[bold]{found.environment}[/] in {found.region}", gateway.COLUMNS, [gateway.row(one) for one in found.gateways]
    )
    rows = [
        (name, str(one.generation), _in_use(one.room), *(str(one.peers[state]) for state in STATES))
        for name, one in found.tenants.items()
    ]
    for one in found.gateways:
        if one.record is not None and one.record.left_out:
            screen.show_warning(
                f"gateway {one.slot} leaves out {one.record.left_out} peers of the registry: its journal says why"
            )
    for name, packets in _still_sending(found).items():
        screen.show_warning(f"{screen.plain(name)} is shut out and still sends: {packets:,} packets in the last hour")
    for name, one in found.tenants.items():
        if one.keys_due or one.keys_soon:
            due = f"{one.keys_due} keys are due for rotation, {one.keys_soon} soon"
            screen.show_warning(f"tenant {name}: {due}: see `twinlock peer list`")
    screen.show_table("", ("TENANT", "CHANGE", "ADDRESSES", *(state.upper() for state in STATES)), rows)


def _facts(found: Standing) -> dict[str, screen.Json]:
    tenants = found.tenants
    return {
        "environment": found.environment,
        "region": found.region,
        "serving": [one.slot for one in found.gateways if one.record is not None and one.record.serving],
        "floating": [one.slot for one in found.gateways if one.record is not None and one.record.floating],
        "well": all(one.problem is None for one in found.gateways),
        "last_takeover": _last_takeover(found),
        "gateways": [gateway.facts(one) for one in found.gateways],
        "shut_out": _still_sending(found),
        "generations": {name: one.generation for name, one in tenants.items() if one.generation},
        "addresses": {name: {"held": one.room.held, "total": one.room.total} for name, one in tenants.items()},
        "keys": {name: {"due": one.keys_due, "soon": one.keys_soon} for name, one in tenants.items()},
        "peers": {name: {state: one.peers[state] for state in STATES} for name, one in tenants.items()},
    }


def _still_sending(found: Standing) -> dict[str, int]:
    return still_sending(one.record.shut_out for one in found.gateways if one.record is not None)


def _last_takeover(found: Standing) -> screen.Json:
    """The newest taking, a switch or not; None where no gateway remembers one."""
    taken = [
        (one.record.phases["taken_at"], one.slot, one.record.phases)
        for one in found.gateways
        if one.record is not None and "taken_at" in one.record.phases
    ]
    if not taken:
        return None
    _, slot, phases = max(taken, key=lambda one: one[0])
    return {"slot": slot, **phases}


def _in_use(room: Room) -> str:
    text = f"{room.held} of {room.total}"
    return f"[yellow]{text}[/]" if room.scarce else text
