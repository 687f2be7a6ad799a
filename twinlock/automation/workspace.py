"""A folder for each environment, from which the engine runs the program where that lies; and who may be at work."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

import yaml

from components.errors import SettingsError
from components.models import Settings as EnvironmentSpec
from components.settings import OBJECTS, parse
from twinlock.automation.errors import Busy, Invalid
from twinlock.automation.operation import Operation

LOCK_POLL_SECONDS = 0.1


def spec(raw: Mapping[str, object]) -> EnvironmentSpec:
    """An environment from plain values: "environment", "region" and the objects of a stack file. Raises Invalid."""
    try:
        return parse(raw)
    except SettingsError as error:
        raise Invalid(str(error), error.problems) from error


class Workspace:
    """`program` is the folder of Pulumi.yaml; `folder` keeps a folder and a lock for each environment."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program.resolve(), folder.resolve()

    def of(self, name: str) -> Path:
        return self._folder / name

    def prepare(self, wanted: EnvironmentSpec) -> Path:
        """A project folder of the environment's own, which runs the program where that lies."""
        folder = self.of(wanted.environment)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(folder / "Pulumi.yaml", _project(self._program))
        file = folder / f"Pulumi.{wanted.environment}.yaml"
        # The rest of the file is the engine's: the salt of a passphrase.
        before = cast(dict[str, object], yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
        _replace(file, {**before, "config": configuration(wanted)})
        return folder

    @contextmanager
    def alone(self, environment: str, wait: float, operation: Operation) -> Generator[None]:
        """One operation on an environment at a time, of all processes that share the workspace.

        The lock's file names the engine that was started last: killed, who started it leaves it behind at work.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + wait
        with (self._folder / f"{environment}.lock").open("a+") as lock:
            while not _taken(lock):
                if operation.ended_by:
                    raise operation.ended_by(f"ended while waiting for {environment}")
                if time.monotonic() >= until:
                    raise Busy(f"another operation on {environment} is under way")
                time.sleep(LOCK_POLL_SECONDS)

            def note(engine: int) -> None:
                lock.truncate(0)
                lock.write(str(engine))
                lock.flush()

            operation.process.on_start = note
            yield


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    lock.seek(0)
    engine = lock.read().strip()
    return not engine or not _at_work(int(engine))


def _at_work(engine: int) -> bool:
    """Each engine leads a session: another process that has come by the number since hardly does."""
    try:
        return os.getsid(engine) == engine
    except ProcessLookupError:
        return False


def configuration(wanted: EnvironmentSpec) -> dict[str, object]:
    """As a stack file has it. The environment's name is the stack's."""
    plain = cast(dict[str, object], wanted.model_dump(mode="json", exclude_unset=True))
    return {"aws:region": wanted.region, **{f"twinlock:{name}": plain[name] for name in OBJECTS if name in plain}}


def _project(program: Path) -> dict[str, object]:
    """The program's Pulumi.yaml with its paths made absolute."""
    found = cast(dict[str, object], yaml.safe_load((program / "Pulumi.yaml").read_text()))
    runtime = cast(dict[str, dict[str, str]], found["runtime"])
    runtime["options"]["virtualenv"] = str(program / runtime["options"]["virtualenv"])
    plugins = cast(dict[str, list[dict[str, str]]], found.get("plugins", {}))
    for plugin in plugins.get("providers", []):
        plugin["path"] = str((program / plugin["path"]).resolve())
    return {**found, "main": str((program / str(found.get("main", "."))).resolve())}


def _replace(file: Path, content: Mapping[str, object]) -> None:
    new = file.with_suffix(".new")
    new.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    new.replace(file)
