"""`twinlock peer apply` and `peer export`: many peers from a file, and back into one."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.cloud import Environment
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.peers_file import read_roster, roster_text
from twinlock.cli.places import check_gateways
from twinlock.cli.preshared_file import check_folder, made_for_some
from twinlock.registry.errors import Refused
from twinlock.registry.ground import tenant_of
from twinlock.registry.model import Peer, Wanted
from twinlock.registry.people import BULK
from twinlock.registry.reach import check_reach
from twinlock.registry.roster import Roster, Step, batches, check_unowned, steps
from twinlock.registry.store import Registry

_SIGN = {"enrol": "[green]+", "revoke": "[red]-", "kept": "[dim] "}
_SHOWN = 200  # lines of a difference on a screen

Tenant = Annotated[str | None, typer.Option("--tenant", "-t", help="Of this tenant alone.", metavar="TENANT")]


def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="peers.yaml, as `peer export` writes it.", metavar="FILE")],
    preshared_keys: Annotated[
        Path | None,
        typer.Option(help="Where a tenant has pre-shared keys: the folder for new ones, TENANT.NAME.psk of 0600."),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Revoke peers of the file's tenants not in it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply without asking.")] = False,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Show what a file of peers would change; with --yes, or when you say so, do it."""
    scope, roster = chosen(ctx, environment, as_json), read_roster(file)
    opened = scope.open()
    found = _difference(opened.registry, roster, prune=prune)
    work = [step for step in found if step.act != "kept"]
    if not scope.json:
        _show(found, pruned=prune)
    if work and not yes and not scope.json and sys.stdin.isatty():
        yes = typer.confirm("Apply this?")
    done = _apply(opened, work, preshared_keys) if yes else []
    if scope.json:
        screen.show_json({"steps": [_facts(step) for step in found], "applied": len(done)})
    elif yes or not work:
        pending = sum(peer.state == "pending" for peer in done)
        waits = f"; {pending} wait for somebody else's [bold]twinlock peer approve --file {file}[/]" if pending else ""
        screen.show_line(f"{len(done)} of {len(work)} changed{waits}")
    else:
        screen.show_line("nothing was changed: pass [bold]--yes[/] to apply this")


def approve_listed(opened: Environment, file: Path) -> list[Peer]:
    """Approves those of the file that are pending, if their keys and ends are the file's; Refused otherwise."""
    roster, actor, done = read_roster(file), opened.actor(), list[Peer]()
    live = {tenant: _live(opened.registry, tenant) for tenant in roster}
    steps(roster, live, prune=False)
    names = {tenant: {one.name for one in listed} for tenant, listed in roster.items()}
    waiting = {
        tenant: [peer.name for peer in peers if peer.state == "pending" and peer.name in names[tenant]]
        for tenant, peers in live.items()
    }
    check_gateways(opened.registry, sum(map(len, waiting.values())))
    for tenant, pending in waiting.items():
        for at in range(0, len(pending), BULK):
            done += opened.registry.approve_some(actor, tenant, pending[at : at + BULK])
    return done


def export(
    ctx: typer.Context, tenant: Tenant = None, environment: EnvironmentName = None, as_json: AsJson = False
) -> None:
    """Print the pending and approved peers as a file for `peer apply`."""
    scope = chosen(ctx, environment, as_json)
    registry = scope.open().registry
    names = [found.name for found in registry.definition().tenants] if tenant is None else [tenant]
    peers = [peer for name in names for peer in _live(registry, name)]
    if scope.json:
        screen.show_json({"peers.yaml": roster_text(peers)})
    else:
        screen.show_text(roster_text(peers).rstrip("\n"))


def _live(registry: Registry, tenant: str) -> list[Peer]:
    """Each name once: not what waits to replace a key, nor what was rotated away."""
    found = [peer for peer in registry.peers(tenant) if peer.state in ("pending", "approved")]
    return [peer for peer in found if peer.retires_at is None and not (peer.state == "pending" and peer.replaces)]


def _difference(registry: Registry, roster: Roster, *, prune: bool) -> tuple[Step, ...]:
    """Everything that can be known before is refused before."""
    definition = registry.definition()
    for tenant, listed in roster.items():
        for one in listed:
            check_reach(tenant_of(definition, tenant), one.reach)
    found = steps(roster, {tenant: _live(registry, tenant) for tenant in roster}, prune=prune)
    check_unowned(found, registry.owners(step.public_key for step in found if step.act == "enrol"))
    acts = Counter(step.act for step in found)
    check_gateways(registry, acts["enrol"] - acts["revoke"])
    for tenant in roster:
        more = sum(step.act == "enrol" and step.tenant == tenant for step in found)
        room = registry.room(tenant)
        if more > room.total - room.held:
            raise Refused(
                f"tenant {tenant} has {room.total - room.held} free addresses and the file adds {more} peers: "
                "widen its range"
            )
    return found


def _apply(opened: Environment, work: list[Step], preshared_keys: Path | None) -> list[Peer]:
    check_folder(opened, {step.tenant for step in work if step.act == "enrol"}, preshared_keys)
    actor, registry, done = opened.actor(), opened.registry, list[Peer]()
    for tenant, some in batches(work, "revoke", BULK):
        done += registry.revoke_some(actor, tenant, [step.name for step in some])
    for tenant, some in batches(work, "enrol", BULK):
        wanted = [
            Wanted(name=step.name, public_key=step.public_key, expires_at=step.expires_at, reach=step.reach)
            for step in some
        ]
        with made_for_some(opened, tenant, wanted, preshared_keys) as sealed:
            done += registry.enrol_some(actor, tenant, sealed)
    return done


def _show(found: tuple[Step, ...], *, pruned: bool) -> None:
    for step in found[:_SHOWN]:
        note = " (not in the file; --prune revokes it)" if step.act == "kept" else ""
        ends = f" until {screen.moment(step.expires_at)}" if step.expires_at is not None else ""
        reach = f" to {screen.plain(', '.join(step.reach))} alone" if step.reach is not None else ""
        what = f"{step.tenant}/{step.name} {screen.short(step.public_key)}{reach}{ends}{note}"
        screen.show_line(f"{_SIGN[step.act]} {what}[/]")
    if len(found) > _SHOWN:
        screen.show_line(f"… and {len(found) - _SHOWN} more")


def _facts(step: Step) -> dict[str, screen.Json]:
    return {
        "act": step.act,
        "tenant": step.tenant,
        "name": step.name,
        "public_key": step.public_key,
        "expires_at": step.expires_at,
        "reach": step.reach,
    }
