"""Calls from the lab's commands to its daemon: one socket in `.lab`, one call a connection."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Connection, Listener

from lab.paths import ROOT, SOCKET

Method = Callable[..., object]


class LabError(Exception):
    """One line for the user. `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message, code)
        self.message, self.code = message, code

    def __str__(self) -> str:
        return self.message


def call(method: str, **arguments: object) -> object:
    """Has the daemon run a method; its LabError is raised here."""
    os.chdir(ROOT)
    try:
        with Client(SOCKET, "AF_UNIX") as connection:
            connection.send((method, arguments))
            worked, value = connection.recv()
    except (FileNotFoundError, ConnectionRefusedError, EOFError) as error:
        raise LabError("the lab is not up: `make lab` starts it") from error
    except PermissionError as error:
        raise LabError("the lab was started by root, and answers root alone: put sudo before the command", 3) from error
    if isinstance(value, LabError):
        raise value
    if not worked:
        raise LabError(str(value))
    return value


def serve(methods: Mapping[str, Method]) -> Listener:
    """Answers calls, each in a thread of its own, until the listener is closed."""
    os.chdir(ROOT)
    listener = Listener(SOCKET, "AF_UNIX", backlog=16)
    threading.Thread(target=_accept, args=(listener, methods), daemon=True, name="remote").start()
    return listener


def _accept(listener: Listener, methods: Mapping[str, Method]) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, methods), daemon=True).start()


def _answer(connection: Connection, methods: Mapping[str, Method]) -> None:
    with connection:
        method, arguments = connection.recv()
        try:
            answer = (True, methods[method](**arguments))
        except LabError as error:
            answer = (False, error)
        except Exception as error:  # noqa: BLE001 - the caller raises it
            answer = (False, f"{method}: {type(error).__name__}: {error}")
        connection.send(answer)
