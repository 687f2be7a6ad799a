"""The engine's command, run so that it can be interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import cache

import semver
from pulumi.automation import CommandError, CommandResult, PulumiCommand
from pulumi.automation.errors import create_command_error

# After an interrupt the engine ends what is under way and writes its state.
GRACE_SECONDS = 60.0


class Engine(PulumiCommand):
    """The engine's command, which can be interrupted."""

    def __init__(self, command: str) -> None:
        # Not the SDK's own: it looks for the command on this process's PATH, and asks its version each time.
        self.command, self.version = command, _version(command)
        self._running: subprocess.Popen[str] | None = None
        self._ended = threading.Event()
        self.on_start: Callable[[int], object] | None = None  # is told each process that is started

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> CommandResult:
        if self._ended.is_set():
            raise CommandError(CommandResult(stdout="", stderr="cancelled", code=1))
        command = [self.command, *args, "--non-interactive"]
        with subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        ) as process:  # fmt: skip
            self._running = process
            if self.on_start:
                self.on_start(process.pid)
            if self._ended.is_set():
                self._interrupt(process)
            out, err = process.communicate()
            self._running = None
        result = CommandResult(stdout=out, stderr=err, code=process.returncode)
        if process.returncode:
            raise create_command_error(result)
        return result

    def end(self) -> None:
        """The engine stops after what it is doing, and at once when it takes too long over it."""
        self._ended.set()
        if process := self._running:
            self._interrupt(process)

    def _interrupt(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)
        last = threading.Timer(GRACE_SECONDS, process.kill)
        last.daemon = True
        last.start()


@cache
def _version(command: str) -> semver.VersionInfo | None:
    said = subprocess.run([command, "version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v?(\d+\.\d+\.\d+)", said.strip())
    return semver.VersionInfo.parse(found[1]) if found else None
