"""The agent as one executable file, the same bytes for the same sources: its digest is its name."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

_ROOT = Path(__file__).parent.parent
_SHEBANG = b"#!/usr/bin/python3 -I\n"
_MAIN = b'import sys\nfrom twinlock.agent.main import main\nsys.exit(main(sys.argv[1:], globals().get("session")))\n'
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say


@dataclass(frozen=True, kw_only=True)
class AgentArchive:
    """An executable zip file and its digest (hex)."""

    path: Path
    sha256: str


def build_agent_archive(destination: Path) -> AgentArchive:
    """Writes the zipapp of twinlock.agent and twinlock.registry to the file `destination` (its folder is made).

    Stored, not deflated: zlib's output differs between its versions, and the digest must not. Several deployments from
    one checkout may write it at once.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=destination.parent, suffix=".part", delete=False) as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in _entries():
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                entry.create_system = 3
                archive.writestr(entry, content)
    partial = Path(file.name)
    partial.chmod(0o755)
    partial.replace(destination)
    return AgentArchive(path=destination, sha256=hashlib.sha256(destination.read_bytes()).hexdigest())


def _entries() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN
    package = _ROOT / "twinlock"
    sources = [package / "__init__.py", *(package / "agent").rglob("*.py"), *(package / "registry").rglob("*.py")]
    for source in sorted(sources):
        yield source.relative_to(_ROOT).as_posix(), source.read_bytes()
