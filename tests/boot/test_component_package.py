"""Twinlock's components in the programs of others: the package as the engine starts it, and a program that uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import yaml
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import provider_pb2_grpc

from components.models import Dns, Gateway, Network, Registry, Service, Settings, Storage, Tenant, Tunnel
from components.package_inputs import camel
from tests.account import held
from tests.cloud import LAB_CONFIG, Cloud, cloud, project, pulumi
from twinlock import __version__

pytestmark = pytest.mark.timeout(400)

PACKAGE = Path(__file__).parents[2] / "package"
MODELS = (Dns, Gateway, Network, Registry, Service, Storage, Tenant, Tunnel)
COMPONENT = "twinlock:index:Environment"
# What a program's SDK for the package would send: the schema's names, as every language has them.
CONSUMER = """
import json
import pathlib
import pulumi


class Environment(pulumi.ComponentResource):
    def __init__(self, name, inputs):
        outputs = dict.fromkeys(("endpoints", "gateways", "table", "agentBucket"))
        super().__init__("twinlock:index:Environment", name, {**outputs, **inputs}, None, remote=True)


made = Environment("ours", json.loads(pathlib.Path("inputs.json").read_text()))
for name in ("endpoints", "gateways", "table", "agentBucket"):
    pulumi.export(name, getattr(made, name))
"""


@pytest.fixture(scope="module")
def package() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    command = [sys.executable, "-u", str(PACKAGE), "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
        process.terminate()


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Path]]:
    with cloud(tmp_path_factory.mktemp("cloud")) as running:
        folder = project(running.folder / "consumer", "dev", {"aws:region": "eu-west-1"}, main=Path())
        settings = yaml.safe_load((folder / "Pulumi.yaml").read_text())
        settings["name"] = "somebodys"
        settings["plugins"]["providers"].append({"name": "twinlock", "path": str(PACKAGE)})
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
        (folder / "__main__.py").write_text(CONSUMER)
        pulumi(running, folder, "stack", "init", "dev")
        yield running, folder


def inputs(**changes: object) -> dict[str, object]:
    """The lab's environment in the schema's names."""
    found = {
        name.removeprefix("twinlock:"): value for name, value in LAB_CONFIG.items() if name.startswith("twinlock:")
    }
    gateway, storage = found["gateway"], found["storage"]
    return {
        "environment": "theirs",
        **found,
        "gateway": {"image": gateway["image"], "stockImage": False},
        "storage": {"buckets": ["data"], "breakGlass": storage["break_glass"], "protect": False},
        **changes,
    }


def test_every_input_and_output_is_typed_and_described_as_the_models_say(package):
    schema = json.loads(package.GetSchema(pb.GetSchemaRequest()).schema)
    resource, types = schema["resources"][COMPONENT], schema["types"]
    assert set(types) == {f"twinlock:index:{each.__name__}" for each in MODELS}
    everything = [resource["inputProperties"], resource["properties"], *(each["properties"] for each in types.values())]
    for properties in everything:
        for name, told in properties.items():
            assert ("type" in told or "$ref" in told) and told["description"], name
    for model in MODELS:
        found = types[f"twinlock:index:{model.__name__}"]
        assert set(found["properties"]) == {camel(name) for name in model.model_fields}
        assert set(found.get("required", ())) == {
            camel(name) for name, field in model.model_fields.items() if field.is_required()
        }
    assert set(resource["inputProperties"]) == set(Settings.model_fields) - {"region"}
    assert types["twinlock:index:Network"]["properties"]["zones"] == {
        "type": "array",
        "plain": True,
        "items": {"type": "string", "plain": True},
        "description": Network.model_fields["zones"].description,
    }
    assert resource["inputProperties"]["tenants"]["additionalProperties"]["$ref"] == "#/types/twinlock:index:Tenant"


def test_the_engine_finds_the_package_and_its_schema_by_its_folder(consumer):
    running, folder = consumer
    schema = json.loads(pulumi(running, folder, "package", "get-schema", str(PACKAGE)))
    assert list(schema["resources"]) == [COMPONENT] and schema["version"] == __version__


def test_a_mistake_is_told_in_the_models_words_and_nothing_is_made(consumer):
    running, folder = consumer
    wrong = {"range": "10.90.0.0/16", "port": 80, "clientRange": ["203.0.113.0/24"]}
    (folder / "inputs.json").write_text(json.dumps(inputs(tunnel=wrong)))
    told = failing(running, folder, "up", "--yes", "--skip-preview")
    assert "the configuration has 2 mistakes:" in told and str(PACKAGE.parent / "components") not in told, told
    for place, problem in (
        ("property tunnel.port ", "has a problem: 80: "),
        ("property tunnel.clientRange ", 'has a problem: ["203.0.113.0/24"]: is not a known'),
    ):
        assert sum(place in line and problem in line for line in told.splitlines()) == 1, told
    assert not held(running, "theirs")


@pytest.mark.long
def test_a_program_of_somebody_else_makes_an_environment_and_takes_it_down(consumer):
    running, folder = consumer
    (folder / "inputs.json").write_text(json.dumps(inputs()))
    previewed = pulumi(running, folder, "preview", "--stack", "dev")
    assert (
        f"{COMPONENT} ours create" in previewed and "aws:autoscaling:Group twinlock-theirs-gateway-b-group" in previewed
    )
    pulumi(running, folder, "up", "--yes", "--skip-preview", "--stack", "dev")
    outputs = json.loads(pulumi(running, folder, "stack", "output", "--json", "--stack", "dev"))
    assert outputs["table"] == "twinlock-theirs" and outputs["agentBucket"].startswith("twinlock-theirs-agent-")
    assert outputs["endpoints"] == [f"{outputs['gateways'][slot]}:51820" for slot in "ab"]
    made = held(running, "theirs")
    assert made["Tables twinlock-theirs"] == 1 and made["Groups twinlock-theirs-gateway-a"] == 1, made
    pulumi(running, folder, "preview", "--expect-no-changes", "--stack", "dev")
    pulumi(running, folder, "destroy", "--yes", "--skip-preview", "--stack", "dev")
    assert not held(running, "theirs")


def failing(running: Cloud, folder: Path, *words: str) -> str:
    return pulumi(running, folder, *words, "--stack", "dev", code=1)
