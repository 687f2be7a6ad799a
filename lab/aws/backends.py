"""The processes behind the front: moto twice (S3; all the rest) and Amazon's DynamoDB Local."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.aws import dynamodb_local
from lab.aws.seeds import images_document

ROOT = Path(__file__).parents[2]
BackendName = Literal["s3", "rest", "dynamodb"]
STARTING_SECONDS = 60.0


class BackendError(Exception):
    """A process behind the front did not start or does not answer."""


@dataclass
class Backend:
    """A running process and the loopback port that it listens on."""

    name: BackendName
    process: subprocess.Popen[bytes]
    port: int

    def stop(self) -> None:
        """Ends the process by letting go of its standard input, and by its id when that is not heard."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def backend_of(service: str) -> BackendName:
    """Which process answers a service."""
    if service == "s3":
        return "s3"
    return "dynamodb" if service == "dynamodb" else "rest"


def start(state: Path, *, tables: bool = True) -> dict[BackendName, Backend]:
    """All of them, side by side; back when each answers. `tables`: with DynamoDB, which wants Java. BackendError."""
    images = state / "images.json"
    images.write_text(images_document())
    port = _free_port()
    dynamodb = [sys.executable, "-m", "lab.aws.tethered", *dynamodb_local.command(port)]
    moto = [sys.executable, "-m", "lab.aws.moto_process"]
    processes: dict[BackendName, subprocess.Popen[bytes]] = {
        **({"dynamodb": _spawn(dynamodb, state / "dynamodb.log")} if tables else {}),
        "s3": _spawn([*moto, "s3", str(images)], state / "s3.log"),
        "rest": _spawn([*moto, "rest", str(images)], state / "rest.log"),
    }
    try:
        running: dict[BackendName, Backend] = {name: Backend(name, one, port) for name, one in processes.items()}
        moto_names: tuple[BackendName, ...] = ("s3", "rest")
        for name in moto_names:
            running[name].port = _announced_port(processes[name], state / f"{name}.log")
        if tables:
            _await_answer(running["dynamodb"], state / "dynamodb.log")
    except BackendError:
        for name, one in processes.items():
            Backend(name, one, 0).stop()
        raise
    return running


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    announces = "lab.aws.moto_process" in command
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if announces else output,
            stderr=output,
            start_new_session=True,  # an interrupt at the terminal is for the front, which stops these
        )


def _announced_port(process: subprocess.Popen[bytes], log: Path) -> int:
    line = process.stdout.readline() if process.stdout else b""
    if not line.strip().isdigit():
        raise BackendError(f"moto did not start: see {log}")
    return int(line)


def _await_answer(backend: Backend, log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline and backend.process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise BackendError(f"DynamoDB Local did not answer: see {log} (Java 17 and its jars in {dynamodb_local.JARS})")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
