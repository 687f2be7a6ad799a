"""The engine's events and errors as plain values."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import cast

from pulumi.automation import CommandError, EngineEvent, StepEventMetadata

from twinlock.automation.errors import Refused
from twinlock.automation.mends import mend
from twinlock.change import ACTIONS, RETAINED, Done, Event, Failed, Finding, Message, ResourceChange, Started


def told(event: EngineEvent) -> Generator[Event]:
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
    if metadata.old is not None and metadata.old.retain_on_delete:
        action = RETAINED.get(action, action)
    detailed = cast(Mapping[str, object], metadata.detailed_diff or {})
    properties = detailed or dict.fromkeys(metadata.diffs or ())
    return ResourceChange(action=action, urn=metadata.urn, properties=tuple(sorted(properties)))


def _plain(text: str) -> str:
    """Without the engine's marks for colours."""
    parts = text.split("<{%")
    return (parts[0] + "".join(part.split("%}>", 1)[-1] for part in parts[1:])).strip()


def refused(error: CommandError, events: Sequence[Event]) -> Refused:
    """The first error that names a resource says more than the last line of the log."""
    messages = [event for event in events if isinstance(event, Message) and event.severity == "error"]
    findings = [event for event in events if isinstance(event, Finding) and event.level == "mandatory"]
    told = next((one for one in messages if one.urn and "pulumi:pulumi:Stack" not in one.urn), None)
    if findings and told is None:
        return Refused("\n".join(one.text for one in findings), resource=findings[0].urn, log=str(error))
    if told is not None:
        return Refused(told.text, resource=told.urn, mend=mend(told.text), log=str(error))
    return Refused(messages[0].text if messages else str(error)[-500:], log=str(error))
