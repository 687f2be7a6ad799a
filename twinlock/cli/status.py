"""`twinlock status`: whether an environment is well."""

from __future__ import annotations

from collections import Counter

import typer

from twinlock.cli import gateway, screen
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.registry.addresses import Room

_STATES = ("approved", "pending", "expired", "revoked")


def status(ctx: typer.Context, environment: EnvironmentName = None, as_json: AsJson = False) -> None:
    """Show gateways, who serves, what they have made true, and how many peers there are."""
    scope = chosen(ctx, environment, as_json)
    opened = scope.open()
    found = gateway.look(opened)
    registry = opened.registry
    tenants = [tenant.name for tenant in registry.definition().tenants]
    generations = registry.generations()
    counts = {tenant: Counter(peer.state for peer in registry.peers(tenant)) for tenant in tenants}
    rooms = {tenant: registry.room(tenant) for tenant in tenants}
    if scope.json:
        screen.show_json(
            {
                "environment": opened.name,
                "region": opened.region,
                "serving": [one.slot for one in found if one.record is not None and one.record.serving],
                "well": all(one.problem is None for one in found),
                "gateways": [gateway.facts(one) for one in found],
                "generations": generations,
                "addresses": {name: {"held": one.held, "total": one.total} for name, one in rooms.items()},
                "peers": {tenant: {state: counts[tenant][state] for state in _STATES} for tenant in tenants},
            }
        )
        return
    screen.show_table(
        f"[bold]{opened.name}[/] in {opened.region}", gateway.COLUMNS, [gateway.row(one) for one in found]
    )
    rows = [
        (name, str(generations.get(name, 0)), _in_use(rooms[name]), *(str(counts[name][state]) for state in _STATES))
        for name in tenants
    ]
    screen.show_table("", ("TENANT", "CHANGE", "ADDRESSES", *(state.upper() for state in _STATES)), rows)


def _in_use(room: Room) -> str:
    text = f"{room.held} of {room.total}"
    return f"[yellow]{text}[/]" if room.scarce else text
