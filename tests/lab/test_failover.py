"""What a client loses when something fails: each fault once, as `twinlock lab fail` does it.

Bounds are wide: this runs beside other things on few cores. `make bench` measures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import cast

import pytest

from lab import calls, fail
from lab.clients import Client
from tests.within import within


@pytest.fixture
def steady(lab) -> Iterator[None]:
    """One gateway serves and the other is heard before, everything is mended after."""
    fail.settle()
    try:
        yield
    finally:
        fail.heal()
        fail.settle()


@pytest.mark.usefixtures("steady")
def test_a_crash_costs_a_client_less_than_a_second_and_its_upload_nothing(lab) -> None:
    seen = fail.fail("kill", "upload")
    print(seen)
    assert seen.served_by[0] != seen.served_by[1]
    assert seen.outage_seconds < 1.5, seen
    assert seen.transfer is not None
    assert seen.transfer["ok"], seen
    assert seen.redundant_seconds is not None, "the replacement has every client's way"
    assert seen.redundant_seconds < 20, seen
    taker = next(one for one in fail.gateways() if one.slot == seen.served_by[1])
    lines = calls.run(taker.machine, "journalctl", "--output=json", "TWINLOCK_EVENT=takeover").printed.splitlines()
    fields = json.loads(lines[-1])
    detection = int(fields["TWINLOCK_DETECTION_MS"])
    assert 0 < detection < 1500, fields
    assert int(fields["TWINLOCK_LEASE_MS"]) + int(fields["TWINLOCK_CALLS_MS"]) < 1500, fields
    # The registry hears of it with a heartbeat; until then it knows of an older one.
    within(10, lambda: lab.twinlock("status")["last_takeover"].get("detection_ms") == detection, "status tells of it")
    told = lab.twinlock("status")["last_takeover"]
    assert (told["slot"], told["switch"]) == (taker.slot, 0)
    assert 0 <= told["answers_ms"] < 3000, told


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        pytest.param("hang", 1.5, marks=pytest.mark.long),
        ("agent-stop", 2.2),  # shut within 1.2 s, then called
        pytest.param("wireguard-stop", 3.0, marks=pytest.mark.long),
        pytest.param("cut-off-internet", 1.5, marks=pytest.mark.long),
        pytest.param("zone-down", 1.5, marks=pytest.mark.long),
    ],
)
def test_a_gateway_that_is_gone_in_any_way_is_replaced_by_its_twin_at_once(what: str, seconds: float) -> None:
    seen = fail.fail(what, patience=0)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < seconds, seen


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", ["hang", "wireguard-stop"])
def test_a_gateway_that_hangs_is_reported_by_its_twin_and_a_new_machine_fills_its_slot(what: str) -> None:
    """The status checks of the cloud see nothing: the machine is on. Reported after a minute, and never twice."""
    before = {one.slot: one.machine for one in fail.gateways()}
    for machine in before.values():  # what another test had reported is not of this one
        calls.run(machine, "rm", "-f", "/var/lib/twinlock/reported")
    seen = fail.fail(what, patience=120)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.redundant_seconds is not None, "every client has a way to the new machine"
    assert 60 < seen.redundant_seconds < 115, seen
    after = {one.slot: one.machine for one in fail.gateways()}
    changed = [slot for slot in before if before[slot] != after[slot]]
    assert changed == [seen.served_by[0]], (before, after)


@pytest.mark.usefixtures("steady")
def test_a_gateway_that_is_alive_and_forwards_nothing_hands_over() -> None:
    """It answers handshakes and holds its lease: nothing but the proof of a transfer tells."""
    seen = fail.fail("no-forward", patience=0)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 12, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", ["clock-back", "clock-ahead"])
def test_a_gateway_whose_time_source_lies_is_not_ready_and_hands_over(what: str) -> None:
    seen = fail.fail(what, patience=0)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 1.5, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
def test_a_gateway_with_a_full_disk_hands_over_unnoticed() -> None:
    seen = fail.fail("disk-full", patience=0)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 0.5, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
def test_a_gateway_that_is_cut_off_but_reaches_its_clients_does_not_take_them_back() -> None:
    """For longer than WireGuard's own 15 s, in which a client would turn to whoever answers."""
    seen = fail.fail("cut-off", patience=0)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 1.5, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
def test_a_download_that_only_waits_is_told_that_its_gateway_is_gone() -> None:
    """It sends nothing that could be answered, and would wait for its read timeout: 60 s in AWS's SDKs."""
    seen = fail.fail("kill", "download")
    print(seen)
    assert seen.transfer is not None
    assert seen.transfer["ok"], seen
    assert cast(float, seen.transfer["seconds"]) < 30, seen


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("during", ["download", pytest.param("upload", marks=pytest.mark.long)])
def test_gateways_that_lose_each_other_do_not_pull_a_client_to_and_fro(during) -> None:
    """What the old owner sends until it knows, a download's packets, moves the client back: bounded by the gate."""
    seen = fail.fail("partition-pair", during, patience=0)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 2.5, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("what", ["partition-registry", "api-down", "api-slow"])
def test_what_only_the_control_plane_misses_costs_a_client_nothing(what: str) -> None:
    seen = fail.fail(what)
    print(seen)
    assert seen.served_by[0] == seen.served_by[1], seen
    assert max(seen.outage_seconds, seen.out_seconds, seen.in_seconds) < 0.5, seen
    assert seen.redundant_seconds == 0, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("nat", ["none", "port-restricted"])
def test_a_crash_without_the_clouds_api_costs_no_more_whatever_nat_the_client_is_behind(nat) -> None:
    fail.fail("api-down", nat=nat)
    seen = fail.fail("kill", nat=nat)
    print(seen)
    assert seen.served_by[0] != seen.served_by[1], seen
    assert seen.outage_seconds < 1.5, seen


@pytest.mark.long
@pytest.mark.usefixtures("steady")
def test_when_all_gateways_lose_their_power_clients_are_back_with_the_first_that_boots() -> None:
    """And not at their next rekey, up to two minutes later."""
    seen = fail.fail("both")
    print(seen)
    assert seen.outage_seconds < 30, seen


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


def _burn(machine: str) -> None:
    """Four loops for each CPU, of a service of their own."""
    loop = "for i in $(seq $((4 * $(nproc)))); do (while :; do :; done) & done; wait"
    assert calls.run(machine, "systemd-run", "--unit=burn", "sh", "-c", loop).code == 0


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("steady")
def test_two_minutes_of_full_cpu_load_without_a_fault_change_no_role(ada: Client) -> None:
    before = {one.slot: one.machine for one in fail.gateways()}
    serving, at = fail.serving(fail.gateways()), time.time()
    try:
        for machine in before.values():
            _burn(machine)
        with fail.watched(ada, 120) as watch:
            pass
        for machine in before.values():
            assert calls.run(machine, "systemctl", "is-active", "burn").printed.strip() == "active"
    finally:
        for machine in before.values():
            calls.run(machine, "systemctl", "stop", "burn")
    for slot, machine in before.items():
        journal = calls.run(machine, "journalctl", "--unit=twinlock-agent", f"--since=@{int(at)}").printed
        assert "serving shard" not in journal, (slot, journal)
        assert "let go" not in journal, (slot, journal)
        listed = calls.run(machine, "ps", "-eo", "cls,args").printed.splitlines()
        assert any(line.split()[0] == "RR" and "keepalived" in line for line in listed), listed
    assert fail.serving(fail.gateways()) == serving
    print(f"loaded: {watch.seen.longest_gap(at)[0]:.3f} s")
