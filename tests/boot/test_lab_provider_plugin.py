"""The plugin as the engine starts it: an executable, from any folder, that prints its port."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.proto import provider_pb2_grpc

from lab.provider.values import encode
from tests.killed_engine import ends_with_its_engine

PLUGIN = Path(__file__).resolve().parents[2] / "lab" / "provider" / "aws" / "pulumi-resource-aws"


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    with subprocess.Popen([str(PLUGIN), "127.0.0.1:1"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
        process.terminate()


def test_the_plugin_starts_from_any_folder_and_takes_secrets(plugin):
    assert plugin.Handshake(pb.ProviderHandshakeRequest()).accept_secrets
    assert plugin.Configure(pb.ConfigureRequest(args=encode({"region": "eu-west-1"}))).supportsPreview


def test_an_error_is_one_line_that_names_the_resource_and_its_type(plugin):
    urn = "urn:pulumi:lab::twinlock::twinlock:aws:Gateway$aws:ec2/instance:Instance::gateway-a"
    with pytest.raises(grpc.RpcError) as refused:
        plugin.Check(pb.CheckRequest(urn=urn))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details().startswith("gateway-a (aws:ec2/instance:Instance): the lab's provider does not know")
    assert "\n" not in refused.value.details()


def test_a_schema_is_refused_clearly(plugin):
    with pytest.raises(grpc.RpcError) as refused:
        plugin.GetSchema(pb.GetSchemaRequest())
    assert "has no schema" in refused.value.details()


def test_a_plugin_ends_at_the_engines_interrupt_instead_of_being_waited_for(tmp_path: Path):
    with subprocess.Popen([str(PLUGIN), "127.0.0.1:1"], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.send_signal(signal.SIGINT)
        try:
            # The engine would kill it after 5 s, at the end of each preview and update.
            assert process.wait(4) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("package", ["aws", "random"])
def test_an_engine_that_is_killed_leaves_no_plugin_behind(package: str):
    ends_with_its_engine([str(PLUGIN.parents[1] / package / f"pulumi-resource-{package}"), "127.0.0.1:1"])
