"""`twinlock preview`: what a deployment would change, for people and for pull requests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinlock.change import Report, report
from twinlock.cli import screen, stack_file
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.preview_comment import comment, summary
from twinlock.registry.errors import Refused, RegistryError

if TYPE_CHECKING:
    from twinlock.automation import Automation, EnvironmentSpec

StackFileOption = Annotated[
    Path | None, typer.Option("--file", help="The stack file. Default: Pulumi.ENVIRONMENT.yaml here.")
]
PolicyPack = Annotated[Path | None, typer.Option("--policy-pack", help="The folder of a policy pack.")]
PolicyConfig = Annotated[
    Path | None,
    typer.Option(
        "--policy-config", help="Levels of the pack's rules. Default: ENVIRONMENT.json in its folder, if any."
    ),
]


@contextmanager
def described(file: Path, environment: str) -> Generator[EnvironmentSpec]:
    """What the stack file asks for."""
    try:
        from twinlock.automation import Invalid, spec
    except ImportError as exc:
        raise Refused("this needs a checkout of Twinlock with Pulumi: pip install -r requirements.txt there") from exc
    try:
        yield spec(stack_file.read(file, environment).values)
    except Invalid as exc:
        raise typer.BadParameter(exc.reason) from exc


@contextmanager
def opened(file: Path, environment: str) -> Generator[tuple[Automation, EnvironmentSpec]]:
    """The program in the stack file's folder, and what the file asks for."""
    with described(file, environment) as wanted, tempfile.TemporaryDirectory(prefix="twinlock-") as folder:
        from twinlock.automation import Automation

        # The salt of a passphrase stands in the file.
        (Path(folder) / environment).mkdir(mode=0o700)
        shutil.copyfile(file, Path(folder) / environment / f"Pulumi.{environment}.yaml")
        yield Automation(file.resolve().parent, Path(folder)), wanted


def preview(
    ctx: typer.Context,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a comment for a pull request.")] = False,
    policy_pack: PolicyPack = None,
    policy_config: PolicyConfig = None,
    file: StackFileOption = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Show what a deployment would change, and what the policy pack says to it."""
    scope = chosen(ctx, environment, as_json)
    name = scope.named()
    with opened(file or Path(f"Pulumi.{name}.yaml"), name) as (automation, wanted):
        from twinlock.automation import AutomationError, Wishes

        levels = policy_config or _levels(policy_pack, name)
        operation = automation.start("preview", wanted, Wishes(policy_pack=policy_pack, policy_config=levels))
        failure = ""
        try:
            found = operation.result()
        except AutomationError as exc:
            found, failure = report(operation.events), str(exc)
    if scope.json:
        screen.show_json(facts(found))
    elif markdown:
        screen.show_text(comment(name, found, policy=policy_pack is not None, failure=failure))
    else:
        show(found)
        if found.changed:
            screen.show_line(summary(found))
    if failure:
        raise RegistryError(f"the preview of {name} failed: {failure}")


def _levels(pack: Path | None, environment: str) -> Path | None:
    """What a development environment may be without."""
    found = None if pack is None else pack / f"{environment}.json"
    return found if found is not None and found.is_file() else None


def show(found: Report) -> None:
    rows = [(one.action, one.name, one.type, ", ".join(one.properties)) for one in found.changed]
    if rows:
        screen.show_table("", ("", "RESOURCE", "TYPE", "WHAT"), [[screen.plain(cell) for cell in row] for row in rows])
    else:
        screen.show_line("no changes")
    for finding in found.findings:
        screen.show_line(f"{finding.level} [bold]{finding.rule}[/]: {screen.plain(finding.last_line)}")


def facts(found: Report) -> screen.Json:
    return {
        "counts": {str(action): count for action, count in found.counts().items()},
        "changes": [
            {"action": one.action, "name": one.name, "type": one.type, "properties": list(one.properties)}
            for one in found.changed
        ],
        "findings": [{"rule": one.rule, "level": one.level, "text": one.text} for one in found.findings],
    }
