"""Temporary peers: `twinlock ci run` on a machine of the internet, with real tunnels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import calls, clients
from lab.aws.names import SERVICE_ADDRESSES
from lab.echo import ADDRESS as ECHO
from lab.fabric.kernel import RESOLVERS
from lab.measure import echo
from tests.within import within

PRIVATE = "ip-10-20-0-10.eu-west-1.compute.internal"
STORAGE = SERVICE_ADDRESSES["s3"]
PROBE = str(Path(__file__).with_name("job_probe.py"))


def job(*words: str, **more: object) -> subprocess.Popen[str]:
    """`twinlock ci run …` as a pipeline's machine runs it, with an enroller's credentials and nothing else."""
    namespace = calls.client("runner", "port-restricted")
    if "--netns" not in words:
        words = ("--no-dns", *words)  # a machine's systemd-resolved is one for all of its namespaces
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, clients.TWINLOCK, "-e", "lab", "ci", "run", "-t", "jobs", *words],
        env=clean | calls.credentials("lab-enroller-jobs"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def jobs(lab, *states: str) -> list[str]:
    found = lab.twinlock("peer", "list", "--tenant", "jobs")["peers"]
    return [peer["public_key"] for peer in found if peer["state"] in states]


def on_gateways(lab, key: str) -> bool:
    return any(
        key in lab.on_gateway(slot, "wg", "show", interface, "peers")
        for slot in ("a", "b") for interface in ("wg-service", "wg-way")
    )  # fmt: skip


def reached(*words: str) -> dict[str, object]:
    """Which of the tenant's destinations answer such a job, by its file and whatever it routes (job_probe.py)."""
    with echo():
        done = job(*words, "--netns", "--", clients.PYTHON, PROBE, STORAGE, ECHO)
        said, told = done.communicate(timeout=90)
    assert done.returncode == 0, told
    return json.loads(said)


def test_a_job_reaches_what_its_tenant_does_in_a_namespace_of_its_own_and_leaves_nothing(lab) -> None:
    everything = {"storage": True, "echo": True}
    assert reached("--ttl", "5m") == {**everything, "widened": everything}
    assert jobs(lab, "approved", "pending") == []
    key = jobs(lab, "revoked")[-1]
    within(10, lambda: not on_gateways(lab, key), "the gateways forget it")
    assert not list(Path("/run/netns").glob("ci-*"))


def test_a_narrowed_job_reaches_what_was_named_and_nothing_else_whatever_it_routes(lab) -> None:
    alone = {"storage": False, "echo": True}
    assert reached("--reach", "echo") == {**alone, "widened": alone}
    refused = job("--reach", "nfs", "--", "true")
    said, told = refused.communicate(timeout=30)
    assert (refused.returncode, said, told.strip()) == (
        3, "", "twinlock: tenant jobs does not reach nfs; it reaches storage, echo",
    )  # fmt: skip
    assert jobs(lab, "approved", "pending") == []


def test_a_job_in_a_namespace_of_its_own_finds_private_names_at_the_gateway_and_no_others(lab) -> None:
    for name, address in ((PRIVATE, "10.20.0.10"), ("example.com", "")):
        found = job("--netns", "--", "sh", "-c", f"getent ahostsv4 {name} | sed -n 's/ .*//p;q'")
        said, told = found.communicate(timeout=90)
        assert (found.returncode, said.strip()) == (0, address), told
    assert not list(RESOLVERS.glob("ci-*"))


def test_the_commands_exit_code_is_the_jobs_and_its_end_revokes(lab) -> None:
    done = job("--", "sh", "-c", "exit 7")
    assert done.wait(90) == 7
    assert jobs(lab, "approved") == []
    missing = job("--", "no-such-command")
    assert missing.wait(90) == 127
    assert jobs(lab, "approved") == []


def test_a_job_that_is_told_to_stop_revokes_its_peer(lab) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        running = job("--", "sh", "-c", "echo up; exec sleep 60")
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        assert len(jobs(lab, "approved")) == 1
        running.send_signal(number)
        assert running.wait(30) == 128 + number
        assert jobs(lab, "approved") == []


# Ends when the gateway no longer knows the key, and tells when that was.
GONE = 'while wg show wg-way peers | grep -qF "$0"; do sleep 0.1; done; date +%s.%N'


@pytest.mark.long
def test_a_job_that_is_killed_hard_is_shut_out_by_its_end_even_without_the_registry(lab) -> None:
    running = job("--ttl", "45s", "--", "sh", "-c", "echo up; exec sleep 90")
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    [peer] = [p for p in lab.twinlock("peer", "list", "--tenant", "jobs")["peers"] if p["state"] == "approved"]
    running.kill()
    running.wait()
    cut = SERVICE_ADDRESSES["dynamodb"]
    for slot in ("a", "b"):
        lab.on_gateway(slot, "ip", "route", "add", "blackhole", cut)
    try:
        with ThreadPoolExecutor(2) as pool:
            gone = list(
                pool.map(lambda slot: float(lab.on_gateway(slot, "sh", "-c", GONE, peer["public_key"])), ("a", "b"))
            )
    finally:
        for slot in ("a", "b"):
            lab.on_gateway(slot, "ip", "route", "del", "blackhole", cut)
    late = [at - peer["expires_at"] for at in gone]
    print(f"shut out {late} s after its end")
    assert all(0 <= seconds < 2 for seconds in late)
