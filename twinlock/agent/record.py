"""What bootstrap leaves for run: this gateway's own record, as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

from twinlock.agent.atomic_file import write_private
from twinlock.agent.errors import BadState
from twinlock.registry.model import GatewayRecord

FILE = "gateway.json"
_TEXTS = ("slot", "instance_id", "zone", "private_address", "public_address", "service_public_key", "way_public_key",
          "pair_public_key", "agent_version", "agent_sha256", "template")  # fmt: skip


def save_record(record: GatewayRecord, folder: Path) -> None:
    write_private(folder / FILE, json.dumps(asdict(record)))


def load_record(folder: Path) -> GatewayRecord:
    """As it was at the last bootstrap: nothing applied, not serving. Raises BadState."""
    path = folder / FILE
    try:
        found = cast(Mapping[str, object], json.loads(path.read_text()))
        texts = {name: str(found[name]) for name in _TEXTS}
        booted = int(cast(int, found["booted_at"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise BadState(f"{path} can't be read ({type(exc).__name__}): run `twinlock-agent bootstrap`") from exc
    return GatewayRecord(
        **texts,
        booted_at=booted,
        heartbeat_at=booted,
        applied={},
        storage_prefixes=(),
        serving=False,
        strays=(),
        failing=(),
        ways=0,
        traffic=None,
        peers=None,
        phases={},
        left_out=0,
        shut_out={},
        floating=None,
        shards=None,
    )
