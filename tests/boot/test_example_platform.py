"""The example platform, over real HTTP, deploying to the lab's control plane; killed in the middle, it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lab.paths import ROOT, STACK
from tests.account import held
from tests.cloud import Cloud, config

pytestmark = pytest.mark.timeout(600)
Body = dict[str, object]


@contextmanager
def platform(made: Cloud, folder: Path) -> Generator[tuple[httpx.Client, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "examples.platform", str(STACK), str(folder), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, env=made.environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        with httpx.Client(base_url=process.stdout.readline().strip(), timeout=120, trust_env=False) as client:
            yield client, process
    finally:
        process.terminate()
        process.wait()


def settings(**objects: dict[str, object]) -> Body:
    return {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in config(**objects).items()}


def ask(client: httpx.Client, name: str, verb: str, key: str, body: Body | None = None) -> httpx.Response:
    wanted = {"verb": verb, "settings": body or settings()}
    return client.post(f"/environments/{name}/jobs", json=wanted, headers={"Idempotency-Key": key})


def followed(client: httpx.Client, job: str, after: int = 0) -> Iterator[tuple[int, str, Body]]:
    """The server-sent events of a job: number, kind, body."""
    number = after
    with client.stream("GET", f"/jobs/{job}/events", headers={"Last-Event-ID": str(after)}) as said:
        kind = ""
        for line in said.iter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                number = int(value)
            elif field == "event":
                kind = value
            elif field == "data":
                yield number, kind, json.loads(value)


@pytest.mark.long
def test_a_platform_that_is_killed_in_the_middle_of_a_deployment_goes_on_when_it_starts_again(
    made: Cloud, tmp_path: Path
):
    with platform(made, tmp_path / "platform") as (client, process):
        first = ask(client, "team", "deploy", "key-1").json()
        assert ask(client, "team", "deploy", "key-1").json()["id"] == first["id"]
        seen = 0
        for number, kind, _ in followed(client, first["id"]):
            seen = number
            if kind == "Done" and number > 60:
                break
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert held(made, "team")
    with platform(made, tmp_path / "platform") as (client, _):
        rest = list(followed(client, first["id"], after=seen))
        assert rest[0][0] == seen + 1  # nothing is told twice, nothing is left out
        end = rest[-1][2]
        assert (rest[-1][1], end["state"], end["starts"], end["error"]) == ("End", "done", 2, None)
        assert max(held(made, "team").values()) == 1  # nothing is there twice
        gone = ask(client, "team", "destroy", "key-2").json()
        assert list(followed(client, gone["id"]))[-1][2]["state"] == "done"
    assert not held(made, "team")
    kept = b"".join(file.read_bytes() for file in (tmp_path / "platform").glob("jobs.sqlite*"))
    assert made.control.admin.secret.encode() not in kept and b"PASSPHRASE" not in kept


def test_one_key_is_one_job_and_one_environment_has_one_job_at_a_time(made: Cloud, tmp_path: Path):
    with platform(made, tmp_path / "platform") as (client, _):
        first = ask(client, "shared", "preview", "a").json()
        assert ask(client, "shared", "preview", "a").json()["id"] == first["id"]
        other = ask(client, "shared", "preview", "b")
        assert other.status_code == 409
        assert other.json() | {"reason": ""} == {"kind": "Busy", "reason": "", "job": first["id"]}
        events = list(followed(client, first["id"]))
        assert sum(kind == "Started" for _, kind, _ in events) > 50
        assert events[-1][2]["state"] == "done"
        reused = ask(client, "shared", "destroy", "a")
        assert (reused.status_code, reused.json()["kind"]) == (409, "KeyReused")
        assert not held(made, "shared")


def test_a_mistake_in_the_settings_is_named_before_there_is_a_job(made: Cloud, tmp_path: Path):
    with platform(made, tmp_path / "platform") as (client, _):
        wrong = ask(client, "wrong", "deploy", "a", settings(network={"cidr": "10.0.0.0/30"}))
        assert (wrong.status_code, wrong.json()["kind"]) == (422, "Invalid")
        assert {problem["key"] for problem in wrong.json()["problems"]} == {"twinlock:network.cidr"}
        assert client.get("/jobs/none").json() == {"kind": "Unknown", "reason": "there is no job none"}
        keyless = client.post("/environments/wrong/jobs", json={"verb": "explode", "settings": {}})
        assert (keyless.status_code, keyless.json()["kind"]) == (422, "Malformed")
        assert "body.verb" in keyless.json()["reason"] and "header.idempotency-key" in keyless.json()["reason"]


def test_the_services_own_description_names_every_error_that_it_gives(made: Cloud, tmp_path: Path):
    with platform(made, tmp_path / "platform") as (client, _):
        paths = client.get("/openapi.json").json()["paths"]
    told = {(verb, path): set(one["responses"]) for path, verbs in paths.items() for verb, one in verbs.items()}
    assert told == {
        ("post", "/environments/{environment}/jobs"): {"202", "409", "422"},
        ("get", "/jobs/{name}"): {"200", "404", "422"},
        ("get", "/jobs/{name}/events"): {"200", "404", "422"},
    }


def test_a_refusal_ends_a_job_with_resource_and_mend(made: Cloud, tmp_path: Path):
    with platform(made, tmp_path / "platform") as (client, _):
        body = settings(network={"vpc_id": "vpc-0123456789abcdef0", "cidr6": "2001:db8:1::/56"})
        job = ask(client, "refused", "preview", "a", body).json()
        end = list(followed(client, job["id"]))[-1][2]
        assert end["state"] == "failed"
        error = end["error"]
        assert isinstance(error, dict) and error["kind"] == "Refused" and "vpc-0123456789abcdef0" in error["reason"]
        assert "log" not in error
