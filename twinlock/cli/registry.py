"""`twinlock registry`: what is done to the registry as a whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.client_output import read_file
from twinlock.cli.cloud import Environment
from twinlock.cli.options import AsJson, EnvironmentName, TenantName, chosen
from twinlock.cli.private_key import write_private
from twinlock.registry import backup as backups
from twinlock.registry.data_keys import SealedDataKey
from twinlock.registry.errors import Refused
from twinlock.registry.ground import tenant_of

app = typer.Typer(no_args_is_help=True, help="The registry as a whole.")


@app.command("rotate-data-key", epilog="Example: twinlock -e prod registry rotate-data-key --tenant red")
def rotate_data_key(
    ctx: typer.Context, tenant: TenantName, environment: EnvironmentName = None, as_json: AsJson = False
) -> None:
    """Wrap a tenant's pre-shared keys with a new data key, and drop the old one; peers notice nothing."""
    scope = chosen(ctx, environment, as_json)
    opened = scope.open()
    tenant_of(opened.registry.definition(), tenant)
    old, new = _pair(opened, tenant)
    envelope = opened.envelope()
    count = opened.registry.rewrap(opened.actor(), envelope.open(old), envelope.open(new))
    opened.registry.data_keys.drop(old)
    if scope.json:
        screen.show_json({"tenant": tenant, "number": new.number, "wrapped": count})
    else:
        screen.show_line(f"data key {new.number} of tenant {tenant} wraps its {count} pre-shared keys")


@app.command(epilog="Example: twinlock -e prod registry backup prod.registry")
def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write, 0600; never overwritten.", metavar="FILE")],
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Write all peers, and what people said of them, into a file."""
    scope = chosen(ctx, environment, as_json)
    registry = scope.open().registry
    taken = backups.take(registry.table, registry.definition(), int(time.time()))
    write_private(file, backups.to_text(taken).encode(), replace=False)
    if scope.json:
        screen.show_json({"file": str(file), "items": len(taken.items)})
    else:
        screen.show_line(f"{screen.plain(str(file))} holds {len(taken.items)} items of {taken.environment}")


@app.command(epilog="Example: twinlock -e prod2 registry restore prod.registry")
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `registry backup` wrote.", metavar="FILE")],
    without: Annotated[
        bool, typer.Option("--without-preshared-keys", help="Leave out the peers that have one: they enrol again.")
    ] = False,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Fill an environment's empty registry from a backup, also of another region; clients then take new files."""
    scope = chosen(ctx, environment, as_json)
    found = backups.from_text(read_file(file), str(file))
    opened = scope.open()
    backups.check(found, opened.registry.table, opened.registry.definition())
    left_out: tuple[str, ...] = ()
    if without:
        found, left_out = backups.without_preshared(found)
    elif found.key:
        old = opened.envelope_of(found.region, found.environment, found.key)
        found = backups.resealed(found, old, opened.envelope())
    count = backups.put_back(found, opened.registry.table)
    if scope.json:
        screen.show_json({"items": count, "left_out": left_out})
    else:
        screen.show_line(f"{count} items are restored; every client takes a new file of `peer config`")
        for name in left_out:
            screen.show_warning(f"{name} was left out with its pre-shared key: enrol it again")


def _pair(opened: Environment, tenant: str) -> tuple[SealedDataKey, SealedDataKey]:
    """The old one and the new one; those of a rotation that was broken off, if there was one."""
    data_keys = opened.registry.data_keys
    held = data_keys.all(tenant)
    if not held:
        raise Refused(f"tenant {tenant} has no data key: a gateway makes it once the tenant has pre-shared keys")
    old, *others = held
    if others:
        return old, others[-1]
    new = opened.envelope().new(tenant, old.number + 1, int(time.time()))
    data_keys.replace(old, new)
    return old, new
