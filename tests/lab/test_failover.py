"""What a client loses when its gateway fails: each fault once, as `twinlock lab fail` does it.

Bounds are wide: this runs beside other things on few cores. `make bench` measures.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from lab import fail
from lab.clients import Client
from lab.remote import LabError


@pytest.fixture
def steady(lab, ada: Client) -> Iterator[None]:
    """One gateway serves and the other is heard before, everything is mended after."""
    _settle(lab, ada)
    try:
        yield
    finally:
        fail.heal()
        _settle(lab, ada)


def _settle(lab, ada: Client) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with contextlib.suppress(LabError, AssertionError):
            rows = lab.twinlock("gateway", "list")["gateways"]
            fail.serving(fail.gateways())
            if len(rows) == 2 and all(row["heartbeat_age"] < 10 for row in rows) and _has_ways(rows, ada):
                return
        time.sleep(0.3)
    raise AssertionError("the pair did not come back")


def _has_ways(rows, ada: Client) -> bool:
    """Both gateways hold a way of the client's that shook hands with this very machine."""
    return all(fail.handshake(row["instance_id"], ada) > time.time() - 170 for row in rows)


@pytest.mark.usefixtures("steady")
def test_a_crash_costs_a_client_less_than_a_second_and_its_upload_nothing() -> None:
    seen = fail.fail("kill", "upload")
    assert seen.served_by[0] != seen.served_by[1]
    assert seen.outage_seconds < 1.5, seen
    assert seen.transfer is not None
    assert seen.transfer["ok"], seen


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", ["hang", "agent-stop", "wireguard-stop"])
def test_a_gateway_that_hangs_is_shut_and_its_twin_serves(what: str) -> None:
    seen = fail.fail(what, "idle")
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 4, seen


@pytest.mark.usefixtures("steady")
def test_a_switch_and_back_is_not_noticed(lab, ada: Client) -> None:
    for _ in range(2):
        before = fail.serving(fail.gateways())
        at = time.time()
        with fail.watched(ada, 6) as watch:
            lab.twinlock("gateway", "drain", before)
        print(f"switch: {watch.seen.longest_gap(at)[0]:.3f} s")
        assert watch.seen.longest_gap(at)[0] < 0.5
        assert fail.serving(fail.gateways()) != before
