"""After an engine was killed: its lock goes, and what it made and did not write down enters the state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from twinlock.automation.engine import Engine
from twinlock.automation.errors import Refused
from twinlock.change import Message

_ROOT = Path(__file__).resolve().parents[2]


def settle(name: str, folder: Path, process: Engine, environ: Mapping[str, str]) -> list[Message]:
    """Without the values of secrets, which stay encrypted in what goes out and in."""
    process.run(["cancel", "--yes", "--stack", name], str(folder), environ)
    state = process.run(["stack", "export", "--stack", name], str(folder), environ).stdout
    if '"pending_operations"' not in state:
        return []
    # In a process of its own, because the credentials are in `environ`.
    done = subprocess.run(
        [sys.executable, "-m", "twinlock.recovery"], input=state, capture_output=True, text=True, check=False,
        env={**os.environ, **environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Refused(f"what was interrupted could not be looked up: {reason}", log=done.stderr)
    answer = cast(dict[str, object], json.loads(done.stdout))
    mended = folder / "state.mended"
    mended.write_text(json.dumps(answer["state"]))
    process.run(["stack", "import", "--stack", name, "--file", str(mended)], str(folder), environ)
    mended.unlink()
    return [_settled(each) for each in cast(list[dict[str, str]], answer["settled"])]


def mend_sidecars(backend: str) -> None:
    """A local backend replaces a state whole, but writes the file of attributes beside it in place: half of one, and
    the engine can't read the state. It does without."""
    if backend.startswith("file://"):
        place = Path(backend.removeprefix("file://").partition("?")[0]).expanduser() / ".pulumi"
        for file in place.rglob("*.attrs"):
            if not _is_json(file):
                file.unlink()


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except ValueError:
        return False
    return True


def _settled(told: dict[str, str]) -> Message:
    words = {
        "adopted": f"was made, and is in the state now as {told['id']}",
        "undone": "was made, and is made again by the next deployment",
        "again": "is made again by the next deployment, over what there may be",
        "absent": "was not made",
        "unknown": "may have been made: find it, and `pulumi refresh` in a terminal asks what to do with it",
    }
    severity = "warning" if told["outcome"] == "unknown" else "info"
    return Message(severity=severity, text=words[told["outcome"]], urn=told["urn"])
