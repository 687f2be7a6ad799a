"""`twinlock environment`: what belongs to an environment as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.aws import newest_image
from twinlock.cli.environment_destroy import destroy
from twinlock.cli.environment_file import check, new
from twinlock.cli.environment_policy import policy
from twinlock.cli.environment_recover import recover
from twinlock.cli.image_pin import moved, pinned
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.registry.errors import Refused

app = typer.Typer(no_args_is_help=True, help="The environment as a whole.")
app.command(epilog="Example: twinlock environment new dev --region eu-west-1 --image ami-… --no-protect")(new)
app.command(epilog="Example: twinlock -e prod environment check")(check)
app.command(epilog="Example: twinlock -e dev environment destroy --yes")(destroy)
app.command(epilog="Example: twinlock -e prod environment policy --account 123456789012 --out policies-of-prod")(policy)
app.command(epilog="Example: twinlock -e prod environment recover && pulumi up --stack prod")(recover)


@app.command(epilog="Example: twinlock -e prod environment image --update && pulumi up")
def image(
    ctx: typer.Context,
    update: Annotated[bool, typer.Option("--update", help="Move the pin to the newest image.")] = False,
    file: Annotated[Path | None, typer.Option(help="The stack file. Default: Pulumi.ENVIRONMENT.yaml here.")] = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Compare the image that gateways boot with Debian's newest."""
    scope = chosen(ctx, environment, as_json)
    path = file or Path(f"Pulumi.{scope.named()}.yaml")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"can't read the stack file {path}: pass it with --file") from exc
    old, new = pinned(text, str(path)), newest_image()
    if update and old != new:
        path.write_text(moved(text, new), "utf-8")
    if scope.json:
        screen.show_json({"file": str(path), "pinned": new if update else old, "newest": new, "was": old})
    elif old == new:
        screen.show_line(f"{old} is Debian's newest")
    elif update:
        screen.show_line(f"{screen.plain(str(path))} now pins {new} (was {old}): pulumi up; gateways follow one by one")
    else:
        screen.show_line(f"{old} is pinned, and {new} is newer: [bold]twinlock environment image --update[/]")
