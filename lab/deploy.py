"""Runs the real Pulumi engine on this very program, against the lab's control plane."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab import project
from lab.paths import CONTROL, LAB, ROOT, STACK, STATE, TOOLS
from lab.remote import LabError

STACK_NAME = "lab"
# Nothing in the lab takes minutes; the engine would wait ten for a group that can't launch.
ENOUGH_SECONDS = 180


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What `pulumi up` did. `outputs` are the stack's."""

    version: str
    provider: str
    resources: int
    outputs: Mapping[str, object]


def environment(aws: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment: tools and virtual environment first on PATH, state in `.lab`, AWS as given."""
    path = os.pathsep.join((str(TOOLS / "bin"), str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PULUMI_"))},
        **aws,
        "PATH": path,
        "PULUMI_BACKEND_URL": STATE,
        "PULUMI_CONFIG_PASSPHRASE": "lab",
        "PULUMI_HOME": str(LAB / "pulumi"),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Compiled once, whatever this machine's settings say, and not into the checkout's packages.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(TOOLS / "pycache"),
    }


def pulumi(
    aws: Mapping[str, str],
    *words: str,
    on_line: Callable[[str], None] | None = None,
    accept: tuple[int, ...] = (0,),
    folder: Path = STACK,
) -> str:
    """Runs the CLI in a project folder and returns what it printed; LabError with its last lines on failure."""
    (LAB / "state").mkdir(parents=True, exist_ok=True)
    command = [str(TOOLS / "bin" / "pulumi"), *words, "--non-interactive", "--color", "never"]
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=environment(aws), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101
        deadline = threading.Timer(ENOUGH_SECONDS, process.terminate)
        deadline.start()
        for line in process.stdout:
            lines.append(line)
            if on_line and line.strip():
                on_line(line.strip())
        deadline.cancel()
    printed = "".join(lines)
    (CONTROL / f"pulumi-{words[0]}.log").write_text(printed)
    if process.returncode not in accept:
        raise LabError(f"pulumi {words[0]} ended with {process.returncode}:\n{''.join(lines[-40:])}")
    return printed


def select_stack(aws: Mapping[str, str]) -> None:
    pulumi(aws, "stack", "select", "--create", "--stack", STACK_NAME)


def up(aws: Mapping[str, str], *, floating: bool = False) -> Deployment:
    """`pulumi up`; what it made is read back from the stack itself. `floating`: with the endpoint mode floating-ip."""
    select_stack(aws)
    more = ("--config-file", str(_with_floating_ip())) if floating else ()
    pulumi(aws, "up", "--yes", "--skip-preview", "--stack", STACK_NAME, *more)
    state = json.loads(pulumi(aws, "stack", "export", "--stack", STACK_NAME))
    return Deployment(
        version=pulumi(aws, "version").strip(),
        provider="the lab's own (lab/provider)",
        resources=len(state["deployment"].get("resources", [])),
        outputs=json.loads(pulumi(aws, "stack", "output", "--json", "--stack", STACK_NAME)),
    )


def _with_floating_ip() -> Path:
    document = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())
    document["config"]["twinlock:gateway"]["endpoints"] = ["ways", "floating-ip"]
    file = LAB / "Pulumi.floating.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def preview(aws: Mapping[str, str], file: Path | None = None) -> str:
    """Of the lab's own environment, or of that of a stack file."""
    if file is None:
        select_stack(aws)
        return pulumi(aws, "preview", "--stack", STACK_NAME)
    name, config = project.stack_file(file)
    with tempfile.TemporaryDirectory(prefix="twinlock-") as folder:
        place = project.write(Path(folder), name, config)
        pulumi(aws, "stack", "select", "--create", "--stack", name, folder=place)
        return pulumi(aws, "preview", "--stack", name, folder=place)
