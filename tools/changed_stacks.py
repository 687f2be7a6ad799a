"""For a workflow: `names=["dev", …]`, the stacks that differ from a commit; all of them where the program does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STACK = re.compile(r"Pulumi\.([a-z0-9-]+)\.yaml")
# Whatever else changes is no part of what is deployed.
PROGRAM = re.compile(r"(__main__\.py|Pulumi\.yaml|requirements\.txt|(components|userdata|twinlock|policies)/.+)")


def stacks(changed: list[str], existing: list[str]) -> list[str]:
    """Both are paths from the repository's root."""
    files = {path: match[1] for path in existing if (match := STACK.fullmatch(path))}
    if any(PROGRAM.fullmatch(path) for path in changed):
        return sorted(files.values())
    return sorted(files[path] for path in changed if path in files)


def changed_since(base: str) -> list[str]:
    """All files where the commit is not known: a first push, or a branch that was written anew."""
    compared = subprocess.run(
        ["git", "diff", "--name-only", base, "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if compared.returncode:
        return ["Pulumi.yaml"]
    return compared.stdout.splitlines()


if __name__ == "__main__":
    print(f"names={json.dumps(stacks(changed_since(sys.argv[1]), [path.name for path in ROOT.glob('Pulumi.*.yaml')]))}")
