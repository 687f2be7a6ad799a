"""`twinlock storage profile`: each program's settings, as that program reads them."""

from __future__ import annotations

import configparser

import botocore.session

from tests.registry_samples import definition
from twinlock.cli.storage_tools import Tool, profile


def test_the_aws_tools_read_endpoint_parts_and_concurrency(tmp_path, monkeypatch):
    file = tmp_path / "config"
    file.write_text(profile(definition(), Tool.AWS))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    name = f"twinlock-{definition().environment}"
    session = botocore.session.Session(profile=name)
    client = session.create_client("s3", aws_access_key_id="A", aws_secret_access_key="B")
    assert client.meta.endpoint_url == f"https://s3.{definition().region}.amazonaws.com"
    assert client.meta.config.s3["addressing_style"] == "virtual"
    scoped = session.get_scoped_config()
    assert scoped["s3"] == {
        "addressing_style": "virtual", "multipart_threshold": "64MB", "multipart_chunksize": "32MB",
        "max_concurrent_requests": "8",
    }  # fmt: skip
    assert scoped["max_attempts"] == "10"


def test_rclone_gets_one_remote_without_credentials_and_makes_no_bucket():
    parsed = configparser.ConfigParser()
    parsed.read_string(profile(definition(), Tool.RCLONE))
    (name,) = parsed.sections()
    remote = dict(parsed[name])
    assert name == f"twinlock-{definition().environment}"
    assert (remote["type"], remote["env_auth"], remote["no_check_bucket"]) == ("s3", "true", "true")
    assert remote["endpoint"].endswith(f".{definition().region}.amazonaws.com")
    assert not {"access_key_id", "secret_access_key"} & remote.keys()


def test_s3fs_gets_one_word_of_options():
    text = profile(definition(), Tool.S3FS)
    assert " " not in text and "\n" not in text
    options = dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)
    assert options["url"] == f"https://s3.{definition().region}.amazonaws.com"
    assert options["multipart_size"] == "32"
