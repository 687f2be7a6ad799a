"""The script that fetches the agent: nothing runs that the user data did not name by digest."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

SOURCE = Path(__file__).parents[2] / "userdata" / "files" / "fetch-agent.py"
AGENT = b"#!/usr/bin/python3\nprint('agent')\n"


@pytest.fixture
def fetching(tmp_path):
    spec = importlib.util.spec_from_file_location("fetch_agent", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.TARGET = tmp_path / "twinlock-agent"
    return module


def _boot(content: bytes = AGENT) -> dict[str, str]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"agent_bucket": "agents", "agent_key": f"agent/{sha256}/twinlock-agent.pyz", "agent_sha256": sha256}


def test_the_right_agent_is_installed_executable(fetching):
    fetching.fetch = lambda boot, session: AGENT
    assert fetching.attempt(_boot(), None) == ""
    assert fetching.TARGET.read_bytes() == AGENT
    assert fetching.TARGET.stat().st_mode & 0o777 == 0o755


def test_an_agent_of_another_digest_never_lies_where_it_could_run(fetching):
    fetching.fetch = lambda boot, session: AGENT + b"import os\n"
    assert "not the SHA-256 that the user data names" in fetching.attempt(_boot(), None)
    assert list(fetching.TARGET.parent.iterdir()) == []


def test_a_store_that_does_not_answer_is_one_line_with_the_object(fetching):
    def fails(boot, session):
        raise EndpointConnectionError(endpoint_url="https://agents.s3.eu-west-1.amazonaws.com/")

    fetching.fetch = fails
    reason = fetching.attempt(_boot(), None)
    assert reason.startswith(f"s3://agents/{_boot()['agent_key']}: ")
    assert "\n" not in reason


def test_an_old_agent_stays_until_the_new_one_is_whole(fetching):
    fetching.TARGET.write_bytes(b"old")
    fetching.fetch = lambda boot, session: b"half"
    fetching.attempt(_boot(), None)
    assert fetching.TARGET.read_bytes() == b"old"
