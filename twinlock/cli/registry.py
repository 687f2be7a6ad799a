"""`twinlock registry`: what is done to the registry as a whole."""

from __future__ import annotations

import time

import typer

from twinlock.cli import screen
from twinlock.cli.cloud import Environment
from twinlock.cli.options import AsJson, EnvironmentName, TenantName, chosen
from twinlock.registry.data_keys import SealedDataKey
from twinlock.registry.errors import Refused
from twinlock.registry.ground import tenant_of

app = typer.Typer(no_args_is_help=True, help="The registry as a whole.")


@app.callback()
def _group() -> None:
    pass


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
