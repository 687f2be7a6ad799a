"""The last state on disk, so that a gateway goes on (and starts) without the registry.

One file has all of it, and beside it another has what changed since, a line each: a change among ten thousand peers
costs its own line. Each line names the file that it belongs to, so that a crash between writing the one and removing
the other leaves nothing that could be mistaken.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from twinlock.agent.atomic_file import sync_folder, write_private
from twinlock.agent.errors import BadState
from twinlock.agent.state import Document, LastState, change, changed, state_from, weight, whole
from twinlock.registry.definition import DefinitionError
from twinlock.registry.errors import Refused

_VERSION = 5
_LEAST = 100  # of weight, before a new whole file is worth it
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, DefinitionError, Refused)


class StateFile:
    """Of one process. Raises BadState for what can't be read: it is never taken as empty."""

    def __init__(self, folder: Path) -> None:
        self._whole, self._changes = folder / "state.json", folder / "state.changes"
        self._mark = ""  # of the whole file
        self._weight = 0  # of the lines beside it: reading costs that much more
        self._saved: LastState | None = None  # what both say together, if that is known

    def load(self) -> LastState | None:
        """None only if there is no such file."""
        if not self._whole.exists():
            return None
        with _without_collections():
            return self._load()

    def _load(self) -> LastState:
        try:
            document = cast(Document, json.loads(self._whole.read_text()))
            if document["version"] != _VERSION:
                raise BadState(f"{self._whole} is of version {document['version']}, this agent reads {_VERSION}")
            state, self._mark, self._weight = state_from(document), str(document["mark"]), 0
            lines, is_complete = self._lines()
            for line in lines:
                state = changed(state, line)
                self._weight += weight(line)
            self._saved = state if is_complete else None
        except _UNREADABLE as exc:
            raise BadState(
                f"{self._whole} can't be read ({type(exc).__name__}): "
                "delete it, and the next start reads the registry in full"
            ) from exc
        return state

    def save(self, state: LastState) -> None:
        """On disk before it returns."""
        if state is self._saved:
            return
        told = None if self._saved is None else change(self._saved, state)
        if told is None or self._weight + weight(told) > max(_LEAST, sum(map(len, state.peers.values())) // 10):
            self._save_whole(state)
        else:
            self._append(told)
        self._saved = state

    def _save_whole(self, state: LastState) -> None:
        self._mark, self._weight = secrets.token_hex(8), 0
        write_private(self._whole, json.dumps({"version": _VERSION, "mark": self._mark, **whole(state)}))
        self._changes.unlink(missing_ok=True)

    def _append(self, told: Document) -> None:
        line = json.dumps({"mark": self._mark, **told}) + "\n"
        try:
            descriptor = os.open(self._changes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if not self._weight:
                sync_folder(self._changes.parent)
        except OSError:
            self._saved = None  # half a line may be there: the next one is a whole file
            raise
        self._weight += weight(told)

    def _lines(self) -> tuple[list[Document], bool]:
        """Those of this whole file, and whether the last one has its end.

        Without that it is one whose writing was broken off, and nobody was told that it is on disk.
        """
        if not self._changes.exists():
            return [], True
        *texts, rest = self._changes.read_text().split("\n")
        lines = (cast(Document, json.loads(text)) for text in texts)
        return [line for line in lines if line["mark"] == self._mark], not rest


@contextmanager
def _without_collections() -> Generator[None]:
    """All that is made here stays: to look for garbage among tens of thousands, ever again, would take as long."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
