"""`pulumi preview` of the whole stack against an empty program on the same engine, and with 2 and with 20 tenants."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from bench.figure import Figure
from lab import calls, deploy, life
from lab.paths import ROOT, STACK, TOOLS
from lab.project import write

ROUNDS = 7
TENANTS = 20


def measure() -> list[Figure]:
    life.down()
    life.start_daemon()
    try:
        calls.start(rootless=True, tables=False)
        environment = deploy.environment(calls.environment())
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(folder), environment)
    finally:
        life.down()


def _measure(folder: Path, environment: Mapping[str, str]) -> list[Figure]:
    projects = {
        "empty": _empty(folder / "empty"),
        "two": _stack(folder / "two", 2),
        "twenty": _stack(folder / "twenty", TENANTS),
    }
    (folder / "state").mkdir()
    own = {**environment, "PULUMI_BACKEND_URL": f"file://{folder / 'state'}"}
    for name, project in projects.items():
        _pulumi(project, own, "stack", "init", name)
    times: dict[str, list[float]] = {name: [] for name in projects}
    for turn in range(ROUNDS + 1):
        for name, project in projects.items():
            seconds = _pulumi(project, own, "preview", "--stack", name)
            if turn:  # the first fills the caches
                times[name].append(seconds)
    return [
        Figure(
            name="preview", what="pulumi preview, whole stack against an empty program", unit="s",
            ours=tuple(times["two"]), other=tuple(times["empty"]), compare="difference", bound=2.0, better="below",
        ),
        Figure(
            name="preview_tenants", what=f"pulumi preview, {TENANTS} tenants against 2", unit="s",
            ours=tuple(times["twenty"]), other=tuple(times["two"]), compare="ratio", bound=1.1, better="below",
            note="flat: the number of tenants changes no number of resources",
        ),
    ]  # fmt: skip


def _pulumi(project: Path, environment: Mapping[str, str], *words: str) -> float:
    started = time.monotonic()
    command = [str(TOOLS / "bin" / "pulumi"), *words, "--non-interactive"]
    done = subprocess.run(command, cwd=project, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pulumi {' '.join(words)} in {project}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - started


def _empty(project: Path) -> Path:
    project.mkdir()
    settings = {"name": "empty", "runtime": {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}}}
    (project / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    (project / "__main__.py").write_text("import pulumi\n")
    return project


def _stack(project: Path, tenants: int) -> Path:
    """The lab's own project with as many tenants, each a /24 of the tunnel's range."""
    config = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())["config"]
    first = next(iter(config["twinlock:tenants"].values()))
    prefix = ".".join(config["twinlock:tunnel"]["range"].split(".")[:2])
    config["twinlock:tenants"] = {f"tenant{n}": {**first, "range": f"{prefix}.{n}.0/24"} for n in range(1, tenants + 1)}
    return write(project, project.name, config)
