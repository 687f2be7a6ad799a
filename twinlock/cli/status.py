"""`twinlock status`: whether an environment is well."""

from __future__ import annotations

import time

import typer

from twinlock.cli import gateway, screen
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.standing import STATES, Standing, standing
from twinlock.registry.addresses import Room
from twinlock.registry.rolling import Progress
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
    for line in _rolling_lines(found.rolling):
        screen.show_warning(line)
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
        "rolling": _rolling_facts(found.rolling),
        "gateways": [gateway.facts(one) for one in found.gateways],
        "shut_out": _still_sending(found),
        "generations": {name: one.generation for name, one in tenants.items() if one.generation},
        "addresses": {name: {"held": one.room.held, "total": one.room.total} for name, one in tenants.items()},
        "keys": {name: {"due": one.keys_due, "soon": one.keys_soon} for name, one in tenants.items()},
        "peers": {name: {state: one.peers[state] for state in STATES} for name, one in tenants.items()},
    }


def _rolling_facts(found: Progress) -> dict[str, screen.Json]:
    facts: dict[str, screen.Json] = {"outdated": list(found.outdated), "slot": found.slot, "stopped": found.stopped}
    return {**facts, "seconds": found.seconds, "why": found.why, "next": _next(found)}


def _rolling_lines(found: Progress) -> list[str]:
    """What somebody who looks at a rolling update wants to know."""
    lines = [f"gateway {slot} is not of the template that its group launches now" for slot in found.outdated]
    if found.why is not None:
        state = "the rolling update has stopped" if found.stopped else "a rolling update is under way"
        lines.append(f"{state}: {found.why}, since {screen.span(found.seconds)}")
    return [*lines, *filter(None, [_next(found)])]


def _next(found: Progress) -> str | None:
    """What to do about a rolling update that has stopped."""
    if not found.stopped or found.slot is None:
        return None
    return (
        f"no other gateway is replaced until gateway {found.slot} is well: read its machine's journal or console (aws "
        f"ec2 get-console-output), mend the stack, `pulumi up`, then `twinlock gateway roll --slot {found.slot}`; "
        "the others follow by themselves"
    )


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
