"""`twinlock lab`: a cloud on one machine, of the checkout that this command lies in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from twinlock.cli.options import AsJson, chosen
from twinlock.registry.errors import Refused

app = typer.Typer(no_args_is_help=True, help="The lab: this machine as a cloud, to try everything on.")
_CHECKOUT = Path(__file__).resolve().parents[2]


@app.command(epilog="Example: sudo twinlock lab up")
def up() -> None:
    """Start the lab and do the main job in it; leaves it up."""
    _become("up")


@app.command(epilog="Example: sudo twinlock lab down")
def down() -> None:
    """Remove all that the lab made."""
    _become("down")


@app.command(epilog="Example: twinlock lab status --json")
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what is running."""
    _become("status", *(["--json"] if chosen(ctx, None, as_json).json else []))


@app.command(epilog='Example: eval "$(twinlock lab env)"')
def env(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Print the settings that make this command, and aws, speak to the lab."""
    _become("env", *(["--json"] if chosen(ctx, None, as_json).json else []))


@app.command(epilog="Example: sudo twinlock lab shell a; sudo twinlock lab shell ada ping -c1 10.64.0.1")
def shell(
    name: Annotated[str, typer.Argument(help="A gateway's slot or a client.", metavar="NAME")],
    command: Annotated[list[str] | None, typer.Argument(help="Instead of a shell.")] = None,
) -> None:
    """Open a shell in a gateway or a client."""
    _become("shell", name, *(["--", *command] if command else []))


@app.command(epilog="Example: sudo twinlock lab fail kill --during download; sudo twinlock lab heal")
def fail(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(help="kill, hang, agent-stop, cut-off, …; --help of `python -m lab fail`.")],
    during: Annotated[Literal["download", "upload", "idle"], typer.Option(help="What the client does.")] = "idle",
    nat: Annotated[
        Literal["none", "port-restricted", "symmetric"], typer.Option(help="What stands before the client.")
    ] = "symmetric",
    mode: Annotated[Literal["ways", "floating-ip"], typer.Option(help="How the client is reached.")] = "ways",
    as_json: AsJson = False,
) -> None:
    """Break the gateway that serves, and measure what a client loses."""
    _become(
        "fail",
        what,
        "--during",
        during,
        "--nat",
        nat,
        "--mode",
        mode,
        *(["--json"] if chosen(ctx, None, as_json).json else []),
    )


@app.command(epilog="Example: sudo twinlock lab heal")
def heal(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Mend what `fail` broke."""
    _become("heal", *(["--json"] if chosen(ctx, None, as_json).json else []))


def _become(*words: str) -> None:
    if not (_CHECKOUT / "lab" / "__main__.py").is_file():
        raise Refused("the lab is not part of the installed command: run this in a checkout of Twinlock")
    os.chdir(_CHECKOUT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "lab", *words])  # noqa: S606  (becomes the lab's own command)
