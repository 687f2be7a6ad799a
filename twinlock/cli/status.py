"""`twinlock status`: whether an environment is well."""

from __future__ import annotations

import time
from collections import Counter

import typer

from twinlock.cli import gateway, screen
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.registry.addresses import Room
from twinlock.registry.key_age import aged

_STATES = ("approved", "pending", "expired", "revoked")


def status(ctx: typer.Context, environment: EnvironmentName = None, as_json: AsJson = False) -> None:
    """Show gateways, who serves, what they have made true, and how many peers there are."""
    scope = chosen(ctx, environment, as_json)
    opened = scope.open()
    found = gateway.look(opened)
    registry = opened.registry
    definition, now = registry.definition(), int(time.time())
    tenants = [tenant.name for tenant in definition.tenants]
    generations = registry.generations()
    peers = {tenant: registry.peers(tenant) for tenant in tenants}
    counts = {tenant: Counter(peer.state for peer in some) for tenant, some in peers.items()}
    old = {tenant.name: aged(tenant, peers[tenant.name], now) for tenant in definition.tenants}
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
                "keys": {
                    name: {"due": sum(one.due for one in some), "soon": sum(not one.due for one in some)}
                    for name, some in old.items()
                },
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
    for one in found:
        if one.record is not None and one.record.left_out:
            screen.show_warning(
                f"gateway {one.slot} leaves out {one.record.left_out} peers of the registry: its journal says why"
            )
    for name, some in old.items():
        if some:
            due = sum(one.due for one in some)
            screen.show_warning(
                f"tenant {name}: {due} keys are due for rotation, {len(some) - due} soon: see `twinlock peer list`"
            )
    screen.show_table("", ("TENANT", "CHANGE", "ADDRESSES", *(state.upper() for state in _STATES)), rows)


def _in_use(room: Room) -> str:
    text = f"{room.held} of {room.total}"
    return f"[yellow]{text}[/]" if room.scarce else text
