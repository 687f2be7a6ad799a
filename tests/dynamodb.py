"""Amazon's own DynamoDB Local for tests, on a free loopback port: in memory, gone with the process.

The process is started once a session; each test gets a table of its own. tests/boot/conftest.py has the fixtures.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from lab.aws import dynamodb_local
from twinlock.registry import keys


@pytest.fixture(scope="session")
def dynamodb_process(tmp_path_factory) -> Iterator[str]:
    """The endpoint's URL."""
    assert shutil.which("java"), "DynamoDB Local needs Java 17: `make test` installs it"
    assert list(dynamodb_local.JARS.glob("DynamoDBLocal-*.jar")), (
        f"no DynamoDB Local in {dynamodb_local.JARS}: `make test` fetches it"
    )
    port = _free_port()
    log = (tmp_path_factory.mktemp("dynamodb") / "log").open("wb")
    process = subprocess.Popen(
        dynamodb_local.command(port), stdout=log, stderr=subprocess.STDOUT, cwd=Path(log.name).parent
    )
    try:
        _wait_until_it_listens(process, port, Path(log.name))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        log.close()


def client_of(url: str):
    """A client that depends on nothing in the environment."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, max_pool_connections=64),
    )


@pytest.fixture(scope="session")
def dynamodb(dynamodb_process):
    return client_of(dynamodb_process)


def make_table(client, name: str | None = None) -> str:
    """A table with the registry's keys; its name."""
    name = name or f"registry-{uuid.uuid4().hex[:12]}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (keys.PARTITION, keys.SORT)],
        KeySchema=[
            {"AttributeName": keys.PARTITION, "KeyType": "HASH"},
            {"AttributeName": keys.SORT, "KeyType": "RANGE"},
        ],
    )
    return name


@pytest.fixture
def registry_table(dynamodb) -> Iterator[str]:
    name = make_table(dynamodb)
    yield name
    dynamodb.delete_table(TableName=name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _wait_until_it_listens(process: subprocess.Popen, port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, f"DynamoDB Local ended: {log.read_text()}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"DynamoDB Local does not listen: {log.read_text()}")
