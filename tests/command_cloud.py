"""The command's surroundings: DynamoDB Local and moto's SSM, STS and Auto Scaling, and `twinlock` as people type it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from typer.testing import CliRunner, Result

from tests.registry_samples import definition, gateway_record, public_key, write_definition
from twinlock.cli.main import app
from twinlock.registry.dynamodb import DynamoTable
from twinlock.registry.kms import KmsEnvelope
from twinlock.registry.model import Identity
from twinlock.registry.store import Registry

REGION = "eu-west-1"


@dataclass(frozen=True)
class Cloud:
    url: str
    registry: Registry
    become: Callable[[str], None]

    def client(self, service: str):
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(monkeypatch, moto_url, dynamodb, dynamodb_process, registry_table, tmp_path) -> Cloud:
    for name in tuple(os.environ):
        if name.startswith(("AWS_", "TWINLOCK_")) or name.lower() in ("http_proxy", "https_proxy"):
            monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_process,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "200",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    write_definition(dynamodb, registry_table, definition())
    record = {"version": 1, "environment": "lab", "region": REGION, "table": registry_table}

    def become(name: str) -> None:
        iam = cloud.client("iam")
        if name not in {role["RoleName"] for role in iam.list_roles()["Roles"]}:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        role = f"arn:aws:iam::123456789012:role/{name}"
        answer = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", answer["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", answer["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", answer["SessionToken"])

    cloud = Cloud(moto_url, Registry(DynamoTable(registry_table, dynamodb)), become)
    cloud.client("ssm").put_parameter(
        Name="/twinlock/lab/discovery", Value=json.dumps(record), Type="String", Overwrite=True
    )
    return cloud


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["--environment", "lab", *words])


def facts(*words: str) -> dict:
    result = run("--json", *words)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def gateways_are_up(registry: Registry, now: int, **changes) -> None:
    for name in ("service", "way#a", "way#b"):
        seed = name.replace("#", " ")
        registry.claim_identity(Identity(name=name, public_key=public_key(seed), secret_version="v1", claimed_at=1))
    for slot in "ab":
        registry.put_gateway(gateway_record(slot, heartbeat_at=now, serving=slot == "a", **changes))


@pytest.fixture
def envelope(cloud, dynamodb, registry_table) -> KmsEnvelope:
    """Tenants red and auto have pre-shared keys, and a gateway has made their data keys."""
    gateways_are_up(cloud.registry, 1)
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    tenants = tuple(replace(one, preshared_keys=one.name in ("red", "auto")) for one in definition().tenants)
    write_definition(dynamodb, registry_table, replace(definition(), tenants=tenants, key=key))
    made = KmsEnvelope(kms, "lab", key)
    for tenant in ("red", "auto"):
        cloud.registry.data_keys.claim(made.new(tenant, 1, 1))
    return made


def enrolled(name: str, tenant: str, *words: str) -> dict:
    made = facts("peer", "keygen", "--out", f"{name}.key")
    return facts("peer", "enrol", name, "-t", tenant, "-k", made["public_key"], *words)
