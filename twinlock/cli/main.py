"""The command `twinlock`. Exit codes: 0 done, 1 failed, 2 bad usage, 3 refused (not allowed, not found, conflict)."""

from __future__ import annotations

import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from typer.core import TyperGroup

from twinlock import __version__
from twinlock.cli import ci, gateway, lab, peer, registry, screen, storage
from twinlock.cli import environment as environments
from twinlock.cli.doctor import doctor
from twinlock.cli.drift import drift
from twinlock.cli.metrics import metrics
from twinlock.cli.options import AsJson, Chosen, EnvironmentName
from twinlock.cli.preview import preview
from twinlock.cli.status import status
from twinlock.registry.errors import NotSignedIn, Refused, RegistryError

_FAILED, _BAD_USAGE, _REFUSED, _INTERRUPTED = 1, 2, 3, 130
# What Typer raises for words that it can't take. It exports none but this one's child.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _OneLineErrors(TyperGroup):
    """The one place where an error becomes a line and an exit code."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        with _one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Generator[None]:
    try:
        yield
    except (Refused, NotSignedIn) as exc:
        raise _ended(exc, str(exc), _REFUSED) from exc
    except RegistryError as exc:
        raise _ended(exc, str(exc), _FAILED) from exc
    except OSError as exc:
        if exc.filename is None:
            raise
        raise _ended(exc, f"can't use {os.fsdecode(exc.filename)}: {exc.strerror}", _REFUSED) from exc
    except _UsageError as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":  # its message is the help
            raise
        raise _ended(exc, _usage(exc), _BAD_USAGE) from exc


def _ended(exc: Exception, line: str, code: int) -> typer.Exit:
    if os.environ.get("TWINLOCK_DEBUG"):
        traceback.print_exception(exc)
    screen.show_error(line)
    return typer.Exit(code)


def _usage(exc: Exception) -> str:
    """Typer's own words, and where to read on."""
    told = exc.format_message() if isinstance(exc, typer.BadParameter) else str(exc)
    where: object = getattr(getattr(exc, "ctx", None), "command_path", None)
    return told.replace("Value error, ", "").rstrip(".") + (f" ({where} --help)" if where else "")


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Private cloud storage through a highly available pair of WireGuard gateways.",
    epilog="Exit codes: 0 done, 1 failed, 2 bad usage, 3 refused. Example: twinlock -e prod status",
)
app.add_typer(peer.app, name="peer")
app.add_typer(ci.app, name="ci")
app.add_typer(gateway.app, name="gateway")
app.add_typer(environments.app, name="environment")
app.add_typer(registry.app, name="registry")
app.add_typer(storage.app, name="storage")
app.add_typer(lab.app, name="lab")
app.command(epilog="Example: twinlock -e prod status")(status)
app.command(epilog="Example: twinlock -e prod metrics > /var/lib/node_exporter/twinlock.prom")(metrics)
app.command(epilog="Example: twinlock -e prod preview --policy-pack policies")(preview)
app.command(epilog="Example: twinlock -e prod drift --json")(drift)
app.command(epilog="Example: sudo twinlock doctor tl-prod --region eu-west-1")(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        screen.show_text(f"twinlock {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    ctx.obj = Chosen(environment, as_json)


def main() -> None:
    """The entry point. Never shows a traceback unless TWINLOCK_DEBUG is set."""
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except Exception as exc:  # noqa: BLE001  (the last resort of a command: a line instead of a traceback)
        if os.environ.get("TWINLOCK_DEBUG"):
            traceback.print_exc()
        screen.show_error(f"{type(exc).__name__}: {exc} (a defect; TWINLOCK_DEBUG=1 shows where)")
        raise SystemExit(_FAILED) from None


if __name__ == "__main__":
    main()
