"""The language host beside a Pulumi CLI that was built here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from tests.killed_engine import ENGINE, child, ends_with_its_engine, gone

ROOT = Path(__file__).parents[2]
HOST = [sys.executable, "-u", str(ROOT / "tools" / "pulumi" / "language_host.py"), "127.0.0.1:1"]


def test_an_engine_that_is_killed_leaves_no_language_host_behind():
    ends_with_its_engine(HOST)


def test_nor_a_package_of_components_that_the_host_runs_for_it():
    package = str(ROOT / "package")
    info = language_pb2.ProgramInfo(root_directory=package, program_directory=package, entry_point=".")
    asked = language_pb2.RunPluginRequest(
        pwd=package, args=["127.0.0.1:1"], env=[f"PATH={os.environ['PATH']}"], info=info, kind="resource"
    )
    with (
        subprocess.Popen([sys.executable, "-c", ENGINE, *HOST], stdout=subprocess.PIPE, text=True) as engine,
        grpc.insecure_channel(f"127.0.0.1:{int(engine.stdout.readline())}") as channel,
    ):
        printed = language_pb2_grpc.LanguageRuntimeStub(channel).RunPlugin(asked)
        assert int(next(iter(printed)).stdout) > 0, "its port"
        host = child(engine.pid)
        plugin = child(host)
        engine.send_signal(signal.SIGKILL)
        gone(plugin)
    gone(host)
