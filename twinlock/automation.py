"""Deploys environments from a program: `Automation(program, workspace).deploy(spec)`. Prints nothing.

The program is a folder with Pulumi.yaml: a checkout of Twinlock, or the lab's `lab/stack`. An EnvironmentSpec is the
model that the program reads its configuration into, so there is no second schema. This is the only file that imports
`pulumi.automation`, and the only one of `twinlock` that knows `components`.

AutomationError
├── Invalid      the environment can't be as it is asked for; nothing was tried
├── Busy         somebody else is at work on this environment
├── Cancelled    by `Operation.cancel`
├── TimedOut     after `timeout` seconds
└── Refused      the engine, the cloud or the policy pack said no; what was done until then stands
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, cast

import semver
import yaml
from pulumi.automation import (
    CommandError,
    CommandResult,
    ConcurrentUpdateError,
    EngineEvent,
    LocalWorkspaceOptions,
    PulumiCommand,
    Stack,
    StepEventMetadata,
    create_or_select_stack,
)
from pulumi.automation.errors import create_command_error

# The program's packages lie beside this one in a checkout; the command is installed without them.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from components.errors import Problem, SettingsError
from components.models import Settings as EnvironmentSpec
from components.settings import OBJECTS, parse
from twinlock.change import ACTIONS, Done, Event, Failed, Finding, Message, Report, ResourceChange, Started, report

__all__ = ["Automation", "AutomationError", "Busy", "Cancelled", "EnvironmentSpec", "Invalid", "Operation", "Refused",
           "TimedOut", "spec"]  # fmt: skip

Verb = Literal["preview", "deploy", "drift", "repair", "destroy", "recover"]
# After an interrupt the engine ends what is under way and writes its state.
GRACE_SECONDS = 60.0
LOCK_POLL_SECONDS = 0.1


class AutomationError(Exception):
    """`resource` is a URN or empty, `reason` one line or several for a person, `log` what the engine printed."""

    def __init__(self, reason: str, *, resource: str = "", log: str = "") -> None:
        super().__init__(reason)
        self.reason, self.resource, self.log = reason, resource, log


class Invalid(AutomationError):  # noqa: N818
    """`problems` are the mistakes of a configuration, each with key, value, rule and mend."""

    def __init__(self, reason: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(reason)
        self.problems = problems


class Busy(AutomationError):  # noqa: N818
    pass


class Cancelled(AutomationError):  # noqa: N818
    pass


class TimedOut(AutomationError):  # noqa: N818
    pass


class Refused(AutomationError):  # noqa: N818
    pass


def spec(raw: Mapping[str, object]) -> EnvironmentSpec:
    """An environment from plain values: "environment", "region" and the objects of a stack file. Raises Invalid."""
    try:
        return parse(raw)
    except SettingsError as error:
        raise Invalid(str(error), error.problems) from error


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How an operation is to be carried out. `wait`: seconds to wait for another one on the same environment."""

    on_event: Callable[[Event], None] | None = None
    timeout: float | None = None
    wait: float = 0.0
    policy_pack: Path | None = None
    policy_config: Path | None = None


class Engine(PulumiCommand):
    """The engine's command, which can be interrupted."""

    def __init__(self, command: str) -> None:
        # Not the SDK's own: it looks for the command on this process's PATH, and asks its version each time.
        self.command, self.version = command, _version(command)
        self._running: subprocess.Popen[str] | None = None
        self._ended = threading.Event()

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


@dataclass
class Operation:
    """One thing under way. `async for event in operation` tells it as it happens; `result` waits for its end."""

    process: Engine
    events: list[Event] = field(default_factory=list[Event])
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _report: Report | None = None
    _error: AutomationError | None = None
    ended_by: type[AutomationError] | None = None  # why it was ended, if it was

    def cancel(self) -> None:
        """Asks for the end; `result` raises Cancelled when it has come. What was done until then stands."""
        self.end(Cancelled)

    def result(self) -> Report:
        """Waits. Raises AutomationError."""
        with self._changed:
            self._changed.wait_for(self._over)
        if self._error:
            raise self._error
        assert self._report is not None  # noqa: S101 - one of both, once it is over
        return self._report

    async def __aiter__(self) -> AsyncIterator[Event]:
        seen = 0
        while True:
            with self._changed:
                fresh, over = self.events[seen:], self._over()
            for event in fresh:
                yield event
            seen += len(fresh)
            if over and not fresh:
                return
            if not fresh:
                await asyncio.sleep(0.05)

    def _over(self) -> bool:
        return self._report is not None or self._error is not None

    def end(self, reason: type[AutomationError]) -> None:
        with self._changed:
            if self._over() or self.ended_by:
                return
            self.ended_by = reason
        self.process.end()

    def say(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)

    def finish(self, error: AutomationError | None) -> None:
        with self._changed:
            self._error = error
            self._report = None if error else report(self.events)
            self._changed.notify_all()


class Automation:
    """`program` is the folder of Pulumi.yaml. `workspace` keeps a folder and a lock for each environment.

    `environ` is for the engine: PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE, the cloud's credentials.
    """

    def __init__(self, program: Path, workspace: Path, environ: Mapping[str, str] | None = None) -> None:
        self._program, self._workspace, self._environ = program.resolve(), workspace.resolve(), dict(environ or {})
        found = shutil.which("pulumi", path=self._environ.get("PATH"))
        if found is None:
            raise Invalid("there is no pulumi on PATH: install it, or set PATH in `environ`")
        self._command = found

    def preview(self, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Report:
        return self.start("preview", wanted, wishes).result()

    def deploy(self, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Report:
        return self.start("deploy", wanted, wishes).result()

    def drift(self, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Report:
        """What a deployment would mend, after a look at the cloud."""
        return self.start("drift", wanted, wishes).result()

    def repair(self, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Report:
        """A deployment after a look at the cloud."""
        return self.start("repair", wanted, wishes).result()

    def destroy(self, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Report:
        """All but what is protected."""
        return self.start("destroy", wanted, wishes).result()

    def recover(self, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Report:
        """After an engine was killed: takes its lock away, finds what it made and did not write down, looks at the
        cloud. Nobody may be at work on the environment. What became of each creation is a Message."""
        return self.start("recover", wanted, wishes).result()

    def outputs(self, wanted: EnvironmentSpec) -> dict[str, object]:
        """The stack's outputs; empty before the first deployment."""
        try:
            found = self._stack(wanted, Engine(self._command)).outputs()
        except CommandError as error:
            raise _refused(error, []) from error
        return {name: cast(object, output.value) for name, output in found.items()}

    def start(self, verb: Verb, wanted: EnvironmentSpec, wishes: Wishes = Wishes()) -> Operation:
        """Begins in a thread of its own and returns at once."""
        operation = Operation(Engine(self._command))
        threading.Thread(target=self._carry_out, args=(operation, verb, wanted, wishes), daemon=True).start()
        return operation

    def _carry_out(self, operation: Operation, verb: Verb, wanted: EnvironmentSpec, wishes: Wishes) -> None:
        error: AutomationError | None = None
        timer = threading.Timer(wishes.timeout or 0, operation.end, (TimedOut,))
        timer.daemon = True
        if wishes.timeout is not None:
            timer.start()
        try:
            with self._alone(wanted.environment, wishes.wait, operation):
                self._run(operation, verb, wanted, wishes)
        except AutomationError as exc:
            error = exc
        except ConcurrentUpdateError as exc:
            error = Busy(f"{wanted.environment} is locked in the state's backend", log=str(exc))
        except CommandError as exc:
            error = _ended(operation, wishes, exc) or _refused(exc, operation.events)
        except Exception as exc:  # noqa: BLE001 - whoever waits for the result gets it, whatever it is
            error = Refused(f"{type(exc).__name__}: {exc}")
        finally:
            timer.cancel()
        operation.finish(error)

    def _run(self, operation: Operation, verb: Verb, wanted: EnvironmentSpec, wishes: Wishes) -> None:
        if verb == "recover":
            said = operation.process.run(["whoami", "--json"], str(self._folder(wanted)), self._environ).stdout
            _mend_sidecars(str(cast(dict[str, object], json.loads(said))["url"]))
        stack = self._stack(wanted, operation.process)

        def heard(event: EngineEvent) -> None:
            for said in _events(event):
                operation.say(said)
                if wishes.on_event:
                    wishes.on_event(said)

        packs = [str(wishes.policy_pack)] if wishes.policy_pack else None
        configs = [str(wishes.policy_config)] if wishes.policy_config else None
        match verb:
            case "preview" | "drift":
                stack.preview(on_event=heard, refresh=verb == "drift", policy_packs=packs, policy_pack_configs=configs)
            case "deploy" | "repair":
                stack.up(on_event=heard, refresh=verb == "repair", policy_packs=packs, policy_pack_configs=configs)
            case "destroy":
                stack.destroy(on_event=heard, exclude_protected=True)
            case "recover":
                for told in self._settle(wanted.environment, operation.process):
                    operation.say(told)
                    if wishes.on_event:
                        wishes.on_event(told)
                stack.refresh(on_event=heard)

    def _settle(self, name: str, process: Engine) -> list[Message]:
        """Without the values of secrets, which stay encrypted in what goes out and in."""
        folder = str(self._workspace / name)
        process.run(["cancel", "--yes", "--stack", name], folder, self._environ)
        state = process.run(["stack", "export", "--stack", name], folder, self._environ).stdout
        if '"pending_operations"' not in state:
            return []
        # In a process of its own, because the credentials are in `environ`.
        done = subprocess.run(
            [sys.executable, "-m", "twinlock.recovery"], input=state, capture_output=True, text=True, check=False,
            env={**os.environ, **self._environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Refused(f"what was interrupted could not be looked up: {reason}", log=done.stderr)
        answer = cast(dict[str, object], json.loads(done.stdout))
        mended = Path(folder) / "state.mended"
        mended.write_text(json.dumps(answer["state"]))
        process.run(["stack", "import", "--stack", name, "--file", str(mended)], folder, self._environ)
        mended.unlink()
        return [_settled(each) for each in cast(list[dict[str, str]], answer["settled"])]

    def _stack(self, wanted: EnvironmentSpec, process: Engine) -> Stack:
        folder = self._folder(wanted)
        options = LocalWorkspaceOptions(work_dir=str(folder), env_vars=self._environ, pulumi_command=process)
        return create_or_select_stack(wanted.environment, work_dir=str(folder), opts=options)

    def _folder(self, wanted: EnvironmentSpec) -> Path:
        """A project folder of the environment's own, which runs the program where that lies."""
        folder = self._workspace / wanted.environment
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(folder / "Pulumi.yaml", _project(self._program))
        file = folder / f"Pulumi.{wanted.environment}.yaml"
        # The rest of the file is the engine's: the salt of a passphrase.
        before = cast(dict[str, object], yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
        _replace(file, {**before, "config": configuration(wanted)})
        return folder

    @contextmanager
    def _alone(self, environment: str, wait: float, operation: Operation) -> Generator[None]:
        """One operation on an environment at a time, of all processes that share the workspace."""
        self._workspace.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + wait
        with (self._workspace / f"{environment}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if operation.ended_by:
                        raise operation.ended_by(f"ended while waiting for {environment}") from error
                    if time.monotonic() >= until:
                        raise Busy(f"another operation on {environment} is under way") from error
                    time.sleep(LOCK_POLL_SECONDS)
            yield


def _mend_sidecars(backend: str) -> None:
    """A local backend replaces a state whole, but writes the file of attributes beside it in place: half of one, and
    the engine can't read the state. It does without."""
    if backend.startswith("file://"):
        place = Path(backend.removeprefix("file://").partition("?")[0]).expanduser() / ".pulumi"
        for file in place.rglob("*.attrs"):
            if not _is_json(file):
                file.unlink()


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except ValueError:
        return False
    return True


def _settled(told: dict[str, str]) -> Message:
    words = {
        "adopted": f"was made, and is in the state now as {told['id']}",
        "undone": "was made, and is made again by the next deployment",
        "again": "is made again by the next deployment, over what there may be",
        "absent": "was not made",
        "unknown": "may have been made: find it, and `pulumi refresh` in a terminal asks what to do with it",
    }
    severity = "warning" if told["outcome"] == "unknown" else "info"
    return Message(severity=severity, text=words[told["outcome"]], urn=told["urn"])


@cache
def _version(command: str) -> semver.VersionInfo | None:
    said = subprocess.run([command, "version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v?(\d+\.\d+\.\d+)", said.strip())
    return semver.VersionInfo.parse(found[1]) if found else None


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


def _events(event: EngineEvent) -> Generator[Event]:
    """What of the engine's events is of use to others."""
    if (before := event.resource_pre_event) and (change := _change(before.metadata)):
        yield Started(change=change)
    if (after := event.res_outputs_event) and (change := _change(after.metadata)):
        yield Done(change=change)
    if failed := event.res_op_failed_event:
        yield Failed(urn=failed.metadata.urn)
    if (said := event.diagnostic_event) and said.severity in ("info", "info#err", "warning", "error"):
        severity = "info" if said.severity == "info#err" else said.severity
        yield Message(severity=severity, text=_plain(said.message), urn=said.urn or "")
    if found := event.policy_event:
        yield Finding(
            rule=found.policy_name, level=str(found.enforcement_level), text=_plain(found.message),
            urn=found.resource_urn or "",
        )  # fmt: skip


def _change(metadata: StepEventMetadata) -> ResourceChange | None:
    action = ACTIONS.get(str(metadata.op.value))
    if action is None:
        return None
    detailed = cast(Mapping[str, object], metadata.detailed_diff or {})
    properties = detailed or dict.fromkeys(metadata.diffs or ())
    return ResourceChange(action=action, urn=metadata.urn, properties=tuple(sorted(properties)))


def _plain(text: str) -> str:
    """Without the engine's marks for colours."""
    parts = text.split("<{%")
    return (parts[0] + "".join(part.split("%}>", 1)[-1] for part in parts[1:])).strip()


def _ended(operation: Operation, wishes: Wishes, error: CommandError) -> AutomationError | None:
    if operation.ended_by is None:
        return None
    reason = "cancelled" if operation.ended_by is Cancelled else f"not done in {wishes.timeout} s"
    return operation.ended_by(reason, log=str(error))


def _refused(error: CommandError, events: list[Event]) -> Refused:
    """The first error that names a resource says more than the last line of the log."""
    messages = [event for event in events if isinstance(event, Message) and event.severity == "error"]
    findings = [event for event in events if isinstance(event, Finding) and event.level == "mandatory"]
    told = next((one for one in messages if one.urn and "pulumi:pulumi:Stack" not in one.urn), None)
    if findings and told is None:
        return Refused("\n".join(one.text for one in findings), resource=findings[0].urn, log=str(error))
    said = told or (messages[0] if messages else Message(severity="error", text=str(error)[-500:]))
    return Refused(said.text, resource=said.urn, log=str(error))
