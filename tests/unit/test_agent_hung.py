"""Whose machine a twin has replaced, and that it is never for a fault of the reporter's own. No process, no socket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import botocore.session
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from tests.registry_samples import gateway_record
from twinlock.agent.aws_groups import report_unhealthy
from twinlock.agent.errors import CloudUnavailable, CommandFailed
from twinlock.agent.health import CHECKS
from twinlock.agent.hung import GAP_SECONDS, HUNG_SECONDS, REPORT_SECONDS, Reporter, Sight, hung, seen
from twinlock.agent.report_time import ReportTime

NEVER = float("inf")


@dataclass(frozen=True)
class Look:
    at: float
    heard: bool
    heartbeat: int
    instance: str
    failing: tuple[str, ...]


looks = st.lists(
    st.tuples(
        st.sampled_from([1.0, 5.0, 5.0, 5.0, 10.0, 14.0, 16.0, 70.0]),  # since the last one
        st.sampled_from([False, False, False, False, True]),
        st.sampled_from([False, False, False, False, True]),  # whether its heart beat
        st.sampled_from([False] * 9 + [True]),  # whether it was replaced
        st.sampled_from([False, True, True, True]),  # whether it says that a tunnel is gone
    ),
    max_size=30,
)


def history(steps) -> list[Look]:
    found, at, beat, number = [], 1000.0, 1, 0
    for wait, heard, beats, replaced, broken in steps:
        at, beat, number = at + wait, beat + beats, number + replaced
        found.append(Look(at, heard, beat, f"i-b{number}", ("interfaces",) if broken else ()))
    return found


def told(past: list[Look]) -> Sight:
    sight = None
    for look in past:
        what = gateway_record(
            "b", instance_id=look.instance, heartbeat_at=look.heartbeat, failing=look.failing, ways=None
        )
        sight = seen(sight, what, look.heard, look.at)
    assert sight is not None
    return sight


def own(at: float, **changes) -> Reporter:
    well = Reporter(instance_id="i-a", failing=frozenset(), checked_at=at, covered=frozenset({"b"}))
    return replace(well, **changes)


def watched(past: list[Look]) -> list[Look]:
    """The looks at this very machine that followed each other without a gap, up to the last."""
    kept = [past[-1]]
    for look in reversed(past[:-1]):
        if kept[0].at - look.at > GAP_SECONDS or look.instance != kept[0].instance:
            break
        kept.insert(0, look)
    return kept


def minute(past: list[Look], holds) -> bool:
    """Whether `holds` did for the last minute's looks, one of which is a minute old at least."""
    kept = watched(past)
    while kept and not holds(kept[-1]):
        return False
    run = []
    for look in reversed(kept):
        if not holds(look):
            break
        run.insert(0, look)
    return past[-1].at - run[0].at >= HUNG_SECONDS


@given(looks)
def test_a_twin_is_reported_when_it_was_watched_to_be_silent_or_broken_for_a_minute_and_never_else(steps):
    past = history(steps)
    for end in range(1, len(past) + 1):
        until = past[:end]
        last = until[-1]
        kept = watched(until)
        beat_at = next(
            (b.at for a, b in reversed(list(pairwise(kept))) if a.heartbeat != b.heartbeat),
            kept[0].at,
        )
        silent = minute(until, lambda look: not look.heard) and last.at - beat_at >= HUNG_SECONDS
        broken = minute(until, lambda look: bool(look.failing)) and last.at - beat_at <= GAP_SECONDS
        found = hung([told(until)], own(last.at), NEVER, last.at)
        assert (found is not None) == (silent or broken), (until, found)
        if found is not None:
            assert (found.slot, found.instance_id) == ("b", last.instance)


SILENT = [Look(1000.0 + 5 * step, False, 7, "i-b", ()) for step in range(13)]
BROKEN = [Look(1000.0 + 5 * step, True, step, "i-b", ("interfaces",)) for step in range(13)]
END = 1060.0


@pytest.mark.parametrize("past", [SILENT, BROKEN])
@given(
    failing=st.one_of(st.none(), st.frozensets(st.sampled_from(sorted(CHECKS)))),
    checked=st.floats(0.0, 40.0),
    since=st.one_of(st.just(NEVER), st.floats(0.0, 2 * REPORT_SECONDS)),
    covered=st.booleans(),
    same=st.booleans(),
)
def test_a_reporter_that_could_be_at_fault_itself_reports_nobody(past, failing, checked, since, covered, same):
    me = own(
        END - checked,
        failing=failing,
        covered=frozenset({"b"} if covered else ()),
        instance_id="i-b" if same else "i-a",
    )
    may = (
        failing is not None
        and failing <= {"clock-source"}
        and checked <= 15
        and since >= REPORT_SECONDS
        and covered
        and not same
    )
    assert (hung([told(past)], me, since, END) is not None) == may


def test_a_twin_that_is_heard_or_whose_heart_beats_is_not_hung():
    assert hung([told(SILENT)], own(END), NEVER, END) is not None
    assert hung([told([*SILENT[:-1], replace(SILENT[-1], heard=True)])], own(END), NEVER, END) is None
    assert hung([told([*SILENT[:-1], replace(SILENT[-1], heartbeat=8)])], own(END), NEVER, END) is None


def test_a_reporter_that_did_not_reach_the_registry_meanwhile_begins_anew():
    back = replace(SILENT[-1], at=END + GAP_SECONDS + 1)
    assert hung([told([*SILENT, back])], own(back.at), NEVER, back.at) is None
    late = END + GAP_SECONDS + 1
    assert hung([told(SILENT)], own(late), NEVER, late) is None, "and what it saw is old by then"


def test_a_report_counts_over_a_restart_of_the_agent_and_over_a_clock_that_was_set_back(tmp_path):
    ticks = [0.0]

    def reports() -> ReportTime:
        return ReportTime(tmp_path, lambda: (tmp_path / "reported").stat().st_mtime + ticks[0])

    assert ReportTime(tmp_path).age() == NEVER
    ReportTime(tmp_path).done()
    assert 0 <= ReportTime(tmp_path).age() < 5
    ticks[0] = -30.0
    assert reports().age() == 30
    ticks[0] = 700.0
    assert reports().age() == 700


def test_a_report_that_can_not_be_remembered_is_not_made(tmp_path):
    with pytest.raises(CommandFailed, match="reported"):
        ReportTime(tmp_path / "gone").done()


def test_the_group_is_told_and_a_refusal_is_one_line():
    config = Config(signature_version="unsigned")
    client = botocore.session.Session().create_client(
        "autoscaling", "eu-west-1", config=config, aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as cloud:
        asked = {"InstanceId": "i-b", "HealthStatus": "Unhealthy", "ShouldRespectGracePeriod": True}
        cloud.add_response("set_instance_health", {}, asked)
        report_unhealthy(client, "i-b")
        cloud.add_client_error("set_instance_health", "AccessDenied", "not\nyours")
        with pytest.raises(CloudUnavailable, match=r"reporting i-b: .*not yours"):
            report_unhealthy(client, "i-b")
