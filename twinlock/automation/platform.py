"""`Automation`: the one who carries operations out."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from pulumi.automation import (
    CommandError,
    ConcurrentUpdateError,
    EngineEvent,
    LocalWorkspaceOptions,
    Stack,
    create_or_select_stack,
)

from components.models import Settings as EnvironmentSpec
from twinlock.automation.engine import Engine
from twinlock.automation.errors import AutomationError, Busy, Cancelled, Invalid, Refused, TimedOut
from twinlock.automation.events import refused, told
from twinlock.automation.operation import PLAIN, Operation, Wishes
from twinlock.automation.outputs import Outputs, outputs
from twinlock.automation.settling import mend_sidecars, settle
from twinlock.automation.workspace import Workspace
from twinlock.change import Report
from twinlock.remains import left

Verb = Literal["preview", "deploy", "drift", "repair", "destroy", "recover"]


class Automation:
    """`program` is the folder of Pulumi.yaml. `workspace` keeps a folder and a lock for each environment.

    `environ` is for the engine: PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE, the cloud's credentials.
    """

    def __init__(self, program: Path, workspace: Path, environ: Mapping[str, str] | None = None) -> None:
        self._workspace, self._environ = Workspace(program, workspace), dict(environ or {})
        found = shutil.which("pulumi", path=self._environ.get("PATH"))
        if found is None:
            raise Invalid("there is no pulumi on PATH: install it, or put its folder on PATH")
        self._command = found

    def preview(self, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Report:
        return self.start("preview", wanted, wishes).result()

    def deploy(self, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Report:
        return self.start("deploy", wanted, wishes).result()

    def drift(self, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Report:
        """What a deployment would mend, after a look at the cloud."""
        return self.start("drift", wanted, wishes).result()

    def repair(self, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Report:
        """A deployment after a look at the cloud."""
        return self.start("repair", wanted, wishes).result()

    def destroy(self, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Report:
        """All but what is protected; `Report.left` is what stays, and what it costs."""
        return self.start("destroy", wanted, wishes).result()

    def recover(self, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Report:
        """After an engine was killed: takes its lock away, finds what it made and did not write down, looks at the
        cloud. Nobody may be at work on the environment. What became of each creation is a Message."""
        return self.start("recover", wanted, wishes).result()

    def outputs(self, wanted: EnvironmentSpec) -> Outputs | None:
        """None before the first deployment is through."""
        try:
            found = self._stack(wanted, Engine(self._command)).outputs()
        except CommandError as error:
            raise refused(error, []) from error
        return outputs({name: cast(object, output.value) for name, output in found.items()})

    def start(self, verb: Verb, wanted: EnvironmentSpec, wishes: Wishes = PLAIN) -> Operation:
        """Begins in a thread of its own and returns at once."""
        operation = Operation(Engine(self._command), wishes)
        threading.Thread(target=self._carry_out, args=(operation, verb, wanted), daemon=True).start()
        return operation

    def _carry_out(self, operation: Operation, verb: Verb, wanted: EnvironmentSpec) -> None:
        wishes = operation.wishes
        error: AutomationError | None = None
        timer = threading.Timer(wishes.timeout or 0, operation.end, (TimedOut,))
        timer.daemon = True
        if wishes.timeout is not None:
            timer.start()
        try:
            with self._workspace.alone(wanted.environment, wishes.wait, operation):
                self._run(operation, verb, wanted)
            # The engine may have been done before it took note of the interrupt: late is late.
            error = _ended(operation, "it came to its end all the same")
        except AutomationError as exc:
            error = exc
        except ConcurrentUpdateError as exc:
            error = Busy(f"{wanted.environment} is locked in the state's backend", log=str(exc))
        except CommandError as exc:
            error = _ended(operation, str(exc)) or refused(exc, operation.events)
        except Exception as exc:  # noqa: BLE001 - whoever waits for the result gets it, whatever it is
            error = Refused(f"{type(exc).__name__}: {exc}")
        finally:
            timer.cancel()
        operation.finish(error)

    def _run(self, operation: Operation, verb: Verb, wanted: EnvironmentSpec) -> None:
        name, wishes = wanted.environment, operation.wishes
        if verb == "recover":
            said = operation.process.run(
                ["whoami", "--json"], str(self._workspace.prepare(wanted)), self._environ
            ).stdout
            mend_sidecars(str(cast(dict[str, object], json.loads(said))["url"]))
        stack = self._stack(wanted, operation.process)

        def heard(event: EngineEvent) -> None:
            for said in told(event):
                operation.say(said)

        packs = [str(wishes.policy_pack)] if wishes.policy_pack else None
        configs = [str(wishes.policy_config)] if wishes.policy_config else None
        match verb:
            case "preview" | "drift":
                stack.preview(on_event=heard, refresh=verb == "drift", policy_packs=packs, policy_pack_configs=configs)
            case "deploy" | "repair":
                stack.up(on_event=heard, refresh=verb == "repair", policy_packs=packs, policy_pack_configs=configs)
            case "destroy":
                before = self._state(name, operation.process)
                stack.destroy(on_event=heard, exclude_protected=True)
                for remnant in left(before, self._state(name, operation.process)):
                    operation.say(remnant)
            case "recover":
                for message in settle(name, self._workspace.of(name), operation.process, self._environ):
                    operation.say(message)
                stack.refresh(on_event=heard)

    def _state(self, name: str, process: Engine) -> dict[str, object]:
        """Secrets stay encrypted in it."""
        command = ["stack", "export", "--stack", name]
        said = process.run(command, str(self._workspace.of(name)), self._environ).stdout
        return cast(dict[str, object], json.loads(said))

    def _stack(self, wanted: EnvironmentSpec, process: Engine) -> Stack:
        folder = self._workspace.prepare(wanted)
        options = LocalWorkspaceOptions(work_dir=str(folder), env_vars=self._environ, pulumi_command=process)
        return create_or_select_stack(wanted.environment, work_dir=str(folder), opts=options)


def _ended(operation: Operation, log: str) -> AutomationError | None:
    if operation.ended_by is None:
        return None
    reason = "cancelled" if operation.ended_by is Cancelled else f"not done in {operation.wishes.timeout} s"
    return operation.ended_by(reason, log=log)
