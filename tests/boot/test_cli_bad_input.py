"""Bad input against a real table, and people who are not signed in: fakes lie below boto3."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.bad_input import TREE, lay_files, run, tries, wrong_with
from tests.registry_samples import public_key
from twinlock.cli.cloud import open_environment

# Those that ask the registry and nothing else.
_ASKING = [path for path in TREE if path[0] in ("peer", "gateway", "registry", "status", "storage")]


@pytest.mark.parametrize("path", _ASKING, ids=" ".join)
def test_a_real_table_is_asked_nothing_that_it_can_not_take(path, cloud, monkeypatch, tmp_path):
    lay_files(tmp_path)
    opened = open_environment("lab")
    monkeypatch.setattr("twinlock.cli.options.open_environment", lambda name: opened)
    told = []
    for bad, words in tries(path):
        if "environment" not in bad and (wrong := wrong_with(run(*words))):
            told.append(f"{bad}: {wrong}")
    assert not told, "\n".join(told)


_PROFILES = "[default]\naws_access_key_id = x\n"


@pytest.mark.parametrize(
    ("settings", "files", "says"),
    [
        ({}, {}, "no AWS credentials found; sign in"),
        ({"AWS_PROFILE": "nobody"}, {}, "set AWS_PROFILE to one of your profiles"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "half"}, {"half": _PROFILES}, "no AWS credentials found; sign in"),
        ({"AWS_CONFIG_FILE": "broken"}, {"broken": "what is [this\n"}, "mend that file"),
        ({"AWS_CONFIG_FILE": "folder"}, {}, "no AWS credentials found; sign in"),
        ({"AWS_REGION": "", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}, {}, "set AWS_REGION"),
        ({"AWS_REGION": "../x", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}, {}, "Set AWS_REGION"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, {}, "mend AWS_ENDPOINT_URL"),
    ],
    ids=[
        "none",
        "unknown profile",
        "half a profile",
        "a broken file",
        "a folder",
        "no region",
        "no such region",
        "no URL",
    ],
)
def test_who_is_not_signed_in_is_told_how_to(cloud, monkeypatch, tmp_path, settings, files, says):
    lay_files(tmp_path)
    for name, text in files.items():
        Path(name).write_text(text)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    nowhere = {"AWS_CONFIG_FILE": "nothing", "AWS_SHARED_CREDENTIALS_FILE": "nothing"}
    for name, value in (nowhere | settings).items():
        monkeypatch.setenv(name, value)
    said = run("-e", "lab", "peer", "enrol", "laptop", "-t", "red", "-k", public_key(1))
    assert (said.code, len(said.err.splitlines()), said.out) == (3, 1, "")
    assert says in said.err
    assert cloud.registry.generations() == {}


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_aws_does_not_take_are_refused_in_one_line(cloud, monkeypatch, code):
    def refused(*args, **named):
        raise ClientError({"Error": {"Code": code, "Message": "The token is\nno good"}}, "GetParameter")

    with monkeypatch.context() as patched:
        patched.setattr("botocore.client.BaseClient._make_api_call", refused)
        said = run("-e", "lab", "status")
    assert (said.code, len(said.err.splitlines())) == (3, 1)
    assert "credentials" in said.err
