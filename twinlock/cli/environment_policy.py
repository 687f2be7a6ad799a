"""`twinlock environment policy`: what whoever deploys must be allowed, and the boundary of the gateways' roles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import typer

from twinlock.cli import screen
from twinlock.cli.aws import account_of_caller
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.preview import StackFileOption, described


def policy(
    ctx: typer.Context,
    account: Annotated[
        str | None, typer.Option(help="The account's twelve digits. Default: the caller's.", metavar="NUMBER")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for four files, instead of printing them.", file_okay=False)
    ] = None,
    file: StackFileOption = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Print the least policies with which the environment can be deployed, made from its stack file."""
    scope = chosen(ctx, environment, as_json)
    name = scope.named()
    if account is not None and not (account.isdigit() and len(account) == 12):
        raise typer.BadParameter(f"--account {account}: an account has twelve digits")
    path = file or Path(f"Pulumi.{name}.yaml")
    with described(path, name) as wanted:
        from twinlock.automation.rights import rights

        found = rights(wanted, account or account_of_caller())
        unbounded = wanted.gateway.permissions_boundary is None
    if out is None:
        screen.show_json(cast(screen.Json, dict(found)))
    else:
        out.mkdir(parents=True, exist_ok=True)
        for part, document in found.items():
            # A managed policy holds 6,144 characters.
            (out / f"twinlock-{name}-{part}.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
        screen.show_line(f"{len(found)} policies are in {screen.plain(str(out))}")
    if unbounded:
        screen.show_warning(
            f"{path} names no twinlock:gateway.permissions_boundary: these policies let roles be made without one"
        )
