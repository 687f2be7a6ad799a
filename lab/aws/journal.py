"""What was called and what was refused, a line of JSON each: calls.jsonl and refused.jsonl in the state folder.

Roles are written from the first; the second says why a call was refused.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One call. `needs`: the IAM actions and resources that it was checked for."""

    service: str
    action: str
    caller: str  # ARN, or "anonymous"
    source: str
    endpoint: str | None
    needs: tuple[tuple[str, str], ...]
    allowed: bool
    status: int
    ms: float
    reason: str


class Journal:
    """Appends entries from any thread."""

    def __init__(self, folder: Path) -> None:
        self._calls = (folder / "calls.jsonl").open("a", buffering=1, encoding="utf-8")
        self._refused = (folder / "refused.jsonl").open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, entry: Entry) -> None:
        line = json.dumps(asdict(entry)) + "\n"
        with self._lock:
            if self._calls.closed:
                return  # a call that was under way when the cloud was stopped
            self._calls.write(line)
            if not entry.allowed:
                self._refused.write(line)

    def close(self) -> None:
        with self._lock:
            self._calls.close()
            self._refused.close()
