"""`twinlock ci`: what pipelines run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.client_file import client_file
from twinlock.cli.cloud import Environment
from twinlock.cli.options import EnvironmentName, Reach, TenantName, chosen, duration
from twinlock.cli.private_key import make_private_key
from twinlock.cli.rotate_due import rotate_due
from twinlock.cli.temporary_peer import Stopped, fresh_name, stoppable, temporary_peer, wait_for_gateways
from twinlock.cli.tunnel import check_tools, tunnel, wait_for_handshake
from twinlock.registry import reach as narrow

app = typer.Typer(no_args_is_help=True, help="What pipelines run.")
app.command(epilog="Example: twinlock -e prod ci rotate-due --tenant backup --keys /run/secrets/keys")(rotate_due)

_GRACE_SECONDS = 10  # for the command to end by itself once it was asked to


@app.command(epilog="Example: twinlock -e prod ci run --tenant ci --ttl 30m --reach storage -- make integration-test")
def run(
    ctx: typer.Context,
    command: Annotated[list[str], typer.Argument(help="What to run, after --.", metavar="COMMAND…")],
    tenant: TenantName,
    ttl: Annotated[str, typer.Option(help="Shut out after this even if nothing revokes it: 30m, 2h.")] = "30m",
    reach: Reach = None,
    netns: Annotated[bool, typer.Option("--netns", help="Only the command uses the tunnel, and nothing else.")] = False,
    no_dns: Annotated[
        bool, typer.Option("--no-dns", help="Without the private names that the gateways answer for.")
    ] = False,
    wait: Annotated[str, typer.Option(help="How long to wait for the gateways.")] = "60s",
    environment: EnvironmentName = None,
) -> None:
    """Run a command with a tunnel of its own: enrolled before it, revoked after it, its exit code is this one's."""
    scope, seconds, patience = chosen(ctx, environment, False), duration(ttl), duration(wait)
    check_tools()
    opened, wanted = scope.open(), narrow.chosen(reach or ())
    with stoppable() as shield:
        try:
            code = _run(
                opened, tenant, seconds, wanted, patience, command, netns=netns, names=not no_dns, shield=shield
            )
        except Stopped as stopped:
            code = 128 + stopped.number
    raise typer.Exit(code)


def _run(
    opened: Environment,
    tenant: str,
    ttl: int,
    reach: tuple[str, ...] | None,
    patience: int,
    command: Sequence[str],
    *,
    netns: bool,
    names: bool,
    shield: Callable[[], None],
) -> int:
    name, key = fresh_name(), make_private_key()
    with temporary_peer(opened, tenant, name, key, ttl, reach, shield) as made:
        screen.show_note(f"{name} has {made.peer.address} until {screen.moment(made.peer.expires_at)}")
        wait_for_gateways(opened, tenant, patience)
        file = client_file(opened, tenant, name, key, made.preshared, names=names)
        with tunnel(name, file, key, namespace=netns) as path:
            try:
                wait_for_handshake(path, file.service_public_key, patience)
                return _watch(path.inside(command))
            finally:
                shield()


def _watch(argv: Sequence[str]) -> int:
    """The command's exit code, as a shell tells it."""
    try:
        child = subprocess.Popen(argv)
    except OSError as exc:
        screen.show_error(f"can't run {argv[0]}: {exc.strerror}")
        return 127
    try:
        code = child.wait()
    except Stopped as stopped:
        return _end(child, stopped.number)
    return code if code >= 0 else 128 - code


def _end(child: subprocess.Popen[bytes], number: int) -> int:
    """Passes a signal on, and does not wait for ever."""
    if number != signal.SIGINT or not sys.stdin.isatty():  # a terminal has told the command itself
        child.send_signal(number)
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return 128 + number
