"""The only file that starts processes: an argument list, never a shell; secrets by standard input only."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from twinlock.agent.errors import CommandFailed

# Arguments and standard input in, standard output back. Tests put theirs in its place, below every parser.
Run = Callable[[Sequence[str], str], str]
_SECONDS = 30


def run(arguments: Sequence[str], stdin: str = "") -> str:
    """Standard output. Raises CommandFailed with the command's own words; standard input is never repeated."""
    what = " ".join(arguments[:3])
    try:
        done = subprocess.run(
            list(arguments), input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandFailed(f"{what} could not run: {type(exc).__name__}") from exc
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:400]
        raise CommandFailed(f"{what} ended with {done.returncode}: {said}")
    return done.stdout
