"""Serves a plugin: prints its port, then answers the engine until it is stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent import futures
from types import FrameType

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from .answers import OneLineErrors
from .engine import command, words
from .servicer import Provider

# The engine sends whole zipapps and policies as values; grpc's own 4 MB would refuse a large one.
_OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


def _end(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _end_with(engine: int) -> None:
    """An engine that was killed ends nobody: it is looked at each second."""
    while os.getppid() == engine:
        time.sleep(1)
    os._exit(0)


def serve(package: str) -> None:
    """Serves one of the packages `aws` and `random`."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    provider = Provider(package, command(words(os.getppid())))
    server = grpc.server(futures.ThreadPoolExecutor(32), interceptors=[OneLineErrors()], options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # The engine, which gives each plugin a process group of its own, ends it by an interrupt and waits 5 s for that.
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGTERM, _end)
    print(port, flush=True)
    server.wait_for_termination()
