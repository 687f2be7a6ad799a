"""What platforms build on: the same settings, and events as plain values."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path

import pytest
from pulumi.automation import EngineEvent, OpType, StepEventMetadata
from pulumi.automation.events import (
    DiagnosticEvent,
    PolicyEvent,
    ResourcePreEvent,
    ResOutputsEvent,
    StepEventStateMetadata,
)

from components.package_inputs import camel
from components.settings import parse
from tests.unit.program_build import CONFIG, build, changed
from twinlock.automation import Automation, Invalid, TimedOut, Wishes, configuration, engine, events, settling, spec
from twinlock.automation.operation import Operation
from twinlock.automation.outputs import outputs
from twinlock.change import Done, Event, Finding, Message, ResourceChange, Started, report

BUCKET = "urn:pulumi:dev::twinlock::twinlock:aws:Storage$aws:s3/bucket:Bucket::data"
GROUP = "urn:pulumi:dev::twinlock::aws:autoscaling/group:Group::a"
COMPONENT = "urn:pulumi:dev::twinlock::twinlock:aws:Storage::x"


def heard(**event: object) -> list[Event]:
    return list(events.told(EngineEvent(sequence=1, timestamp=1, **event)))


def step(action: OpType, urn: str, **more: object) -> StepEventMetadata:
    return StepEventMetadata(op=action, urn=urn, type=urn.split("$")[-1], provider="", **more)


def test_a_stack_file_says_just_what_the_spec_says():
    wanted = spec(CONFIG)
    written = configuration(wanted)
    assert written["aws:region"] == "eu-west-1"
    read = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in written.items()}
    assert parse({"environment": "test", **read}) == wanted


def test_a_wrong_spec_is_told_before_anything_is_tried():
    with pytest.raises(Invalid, match=r"twinlock:tunnel\.mtu = 900") as caught:
        spec(changed(tunnel={"mtu": 900}))
    assert "1280 to 8921" in caught.value.reason and caught.value.resource == ""


def test_the_engines_steps_become_changes_and_a_replacement_counts_once():
    steps = [
        step(OpType.CREATE_REPLACEMENT, BUCKET, diffs=["bucket"]),
        step(OpType.REPLACE, BUCKET, diffs=["bucket"]),
        step(OpType.SAME, GROUP),
        step(OpType.CREATE, COMPONENT),
    ]
    events = [event for one in steps for event in heard(resource_pre_event=ResourcePreEvent(metadata=one))]
    events += heard(res_outputs_event=ResOutputsEvent(metadata=steps[1]))
    replaced = ResourceChange(action="replace", urn=BUCKET, properties=("bucket",))
    assert replaced in [event.change for event in events if isinstance(event, Started)]
    assert [event.change for event in events if isinstance(event, Done)] == [replaced]
    assert report(events).changed == (replaced,) and report(events).counts() == {"replace": 1}


def test_what_is_taken_into_the_stack_and_let_go_of_it_is_neither_made_nor_lost():
    stays = StepEventStateMetadata("", BUCKET, "data", "", "", retain_on_delete=True)
    steps = [
        step(OpType.IMPORT, BUCKET),
        step(OpType.DELETE, BUCKET, old=stays),
        step(OpType.REPLACE, BUCKET, old=stays),
        step(OpType.DELETE, BUCKET, old=StepEventStateMetadata("", BUCKET, "data", "", "")),
    ]
    told = [event for one in steps for event in heard(resource_pre_event=ResourcePreEvent(metadata=one))]
    changes = [event.change for event in told if isinstance(event, Started)]
    assert [(one.action, one.loses_data) for one in changes] == [
        ("import", False), ("forget", False), ("import", False), ("delete", True),
    ]  # fmt: skip


def test_what_holds_data_is_known_when_it_goes():
    assert ResourceChange(action="delete", urn=BUCKET).loses_data
    assert not ResourceChange(action="update", urn=BUCKET).loses_data
    assert not ResourceChange(action="delete", urn=GROUP).loses_data
    assert (ResourceChange(action="same", urn=BUCKET).type, ResourceChange(action="same", urn=BUCKET).name) == (
        "aws:s3/bucket:Bucket", "data",
    )  # fmt: skip


def test_messages_and_findings_are_plain_text():
    text = "<{%fg 1%}>no room<{%reset%}>\n"
    said = heard(diagnostic_event=DiagnosticEvent(message=text, color="never", severity="error", urn=GROUP))
    assert said == [Message(severity="error", text="no room", urn=GROUP)]
    assert heard(diagnostic_event=DiagnosticEvent(message=text, color="never", severity="debug")) == []
    found = heard(policy_event=PolicyEvent(text, "never", "tags", "twinlock", "1", "1", "mandatory", BUCKET))
    assert found == [Finding(rule="tags", level="mandatory", text="no room", urn=BUCKET)]


def test_outputs_are_typed_and_there_is_none_before_the_first_deployment_is_through():
    assert outputs({}) is None
    said = build(CONFIG).outputs
    lists = {"endpoints": ["192.0.2.1:51820"], "buckets": ["data"]}
    plain = {**lists, "gateways": {"a": "192.0.2.1"}, "policies": {"reader": "arn"}}
    told = outputs({name: plain.get(name, name) for name in said})
    assert told is not None and (told.endpoints, told.table) == (("192.0.2.1:51820",), "table")
    assert {camel(field.name) for field in fields(told)} >= set(said)


def test_half_of_a_file_beside_a_local_state_goes_and_whole_ones_stay(tmp_path: Path):
    stacks = tmp_path / ".pulumi" / "stacks"
    stacks.mkdir(parents=True)
    for name, text in (
        ("torn.json.attrs", ""),
        ("half.json.attrs", '{"user'),
        ("whole.json.attrs", "{}"),
        ("s.json", ""),
    ):
        (stacks / name).write_text(text)
    settling.mend_sidecars(f"file://{tmp_path}?metadata=1")
    assert {file.name for file in stacks.iterdir()} == {"whole.json.attrs", "s.json"}


class HeedlessEngine(Automation):
    """What it is asked for comes to its end, interrupted or not."""

    def _run(self, operation: Operation, *_: object) -> None:
        while operation.ended_by is None:
            time.sleep(0.01)


def test_what_comes_to_its_end_in_spite_of_the_interrupt_is_late_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "_version", lambda _: None)
    (tmp_path / "pulumi").write_text("#!/bin/sh\n")
    (tmp_path / "pulumi").chmod(0o755)
    platform = HeedlessEngine(tmp_path, tmp_path / "work", {"PATH": str(tmp_path)})
    with pytest.raises(TimedOut, match=r"not done in 0\.1 s"):
        platform.preview(spec(CONFIG), Wishes(timeout=0.1))
