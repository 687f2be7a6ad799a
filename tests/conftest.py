"""What all tiers share: unit tests can't touch the machine, so that a fast test stays one."""

from __future__ import annotations

import functools
import gc
import os
import socket
import subprocess
from pathlib import Path

import botocore.httpsession  # tries once, as it is imported, whether this machine has IPv6
import botocore.loaders
import pytest
import typer.testing
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# A busy machine is no mistake of what is tested: pytest has a limit of its own.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")

# What a command does once in its life, a tier would do a thousand times: put the command line together from its
# functions' types, and read a service's model for each client. Nobody changes either, but botocore that of S3.
typer.testing._get_command = functools.cache(typer.testing._get_command)
_read_anew = botocore.loaders.JSONFileLoader._load_file
_read_once = functools.cache(functools.partial(_read_anew, botocore.loaders.JSONFileLoader()))
botocore.loaders.JSONFileLoader._load_file = lambda self, path, how: (
    _read_anew(self, path, how) if f"{os.sep}s3{os.sep}" in path else _read_once(path, how)
)


def pytest_collection_finish() -> None:
    """The SDKs and botocore's models are hundreds of megabytes that stay: looking through them for garbage again and
    again was a third of the unit tier's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class TouchedTheMachine(BaseException):
    """Not an Exception: nothing under test may catch it."""


@pytest.fixture(autouse=True)
def _unit_tests_stay_inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "unit" not in request.path.relative_to(ROOT / "tests").parts:
        return

    def refuse(what: str):
        def refused(*args: object, **kwargs: object) -> None:
            raise TouchedTheMachine(f"a unit test tried to {what}: {args[1:]!r}")

        return refused

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse("start a process"))
    monkeypatch.setattr(socket.socket, "connect", refuse("open a connection"))
    monkeypatch.setattr(socket.socket, "bind", refuse("listen"))
