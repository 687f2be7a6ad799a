"""What the gateway last knew, on disk, so that it goes on (and starts) without the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from twinlock.agent.atomic_file import write_private
from twinlock.agent.errors import BadState
from twinlock.registry.definition import Definition, DefinitionError, definition_from_json, definition_to_json
from twinlock.registry.errors import Refused
from twinlock.registry.model import Peer
from twinlock.registry.preshared import PresharedKey, preshared_key_from_text

STATE_FOLDER = Path("/var/lib/twinlock")
_VERSION = 3
_PEER_FIELDS = {"tenant", "name", "public_key", "address", "state", "enrolled_by", "enrolled_at", "approved_by",
                "expires_at", "replaces", "grace", "retires_at", "preshared", "others"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LastState:
    """The registry as it was last read. `generations` are those that `peers` contains, by tenant."""

    definition: Definition
    generations: Mapping[str, int] = field(default_factory=dict[str, int])
    peers: Mapping[str, Mapping[str, Peer]] = field(default_factory=dict[str, Mapping[str, Peer]])  # tenant -> key ->
    storage_prefixes: tuple[str, ...] = ()
    serving: bool = False
    preshared: Mapping[str, PresharedKey] = field(default_factory=dict[str, PresharedKey])  # public key ->


def save(state: LastState, path: Path) -> None:
    document = {
        "version": _VERSION,
        "definition": definition_to_json(state.definition),
        "generations": dict(state.generations),
        "peers": {
            tenant: [vars(peer) | {"others": ()} for peer in peers.values()] for tenant, peers in state.peers.items()
        },
        "storage_prefixes": state.storage_prefixes,
        "serving": state.serving,
        # Opened: a gateway that starts without the cloud has nobody to ask. The file is root's alone.
        "preshared": {public: key.reveal() for public, key in state.preshared.items()},
    }
    write_private(path, json.dumps(document))


def load(path: Path) -> LastState | None:
    """None only if there is no such file. Raises BadState for one that can't be read: it is never taken as empty."""
    if not path.exists():
        return None
    try:
        document = cast(Mapping[str, object], json.loads(path.read_text()))
        if document["version"] != _VERSION:
            raise BadState(f"{path} is of version {document['version']}, this agent reads {_VERSION}")
        return _state(document)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DefinitionError, Refused) as exc:
        raise BadState(
            f"{path} can't be read ({type(exc).__name__}): delete it, and the next start reads the registry in full"
        ) from exc


def _state(document: Mapping[str, object]) -> LastState:
    generations = cast(Mapping[str, object], document["generations"])
    peers = cast(Mapping[str, list[Mapping[str, object]]], document["peers"])
    return LastState(
        definition=definition_from_json(cast(str, document["definition"])),
        generations={tenant: int(cast(int, number)) for tenant, number in generations.items()},
        peers={tenant: {peer.public_key: peer for peer in map(_peer, entries)} for tenant, entries in peers.items()},
        storage_prefixes=tuple(map(str, cast(list[object], document["storage_prefixes"]))),
        serving=document["serving"] is True,
        preshared={
            public: preshared_key_from_text(text, "the state")
            for public, text in cast(Mapping[str, str], document["preshared"]).items()
        },
    )


def _peer(entry: Mapping[str, object]) -> Peer:
    if set(entry) != _PEER_FIELDS or entry["state"] != "approved":
        raise ValueError("not a served peer")
    expires = entry["expires_at"]
    return Peer(
        tenant=str(entry["tenant"]),
        name=str(entry["name"]),
        public_key=str(entry["public_key"]),
        address=str(entry["address"]),
        state="approved",
        enrolled_by=str(entry["enrolled_by"]),
        enrolled_at=int(cast(int, entry["enrolled_at"])),
        approved_by=tuple(map(str, cast(list[object], entry["approved_by"]))),
        expires_at=None if expires is None else int(cast(int, expires)),
        replaces=None if entry["replaces"] is None else str(entry["replaces"]),
        grace=int(cast(int, entry["grace"])),
        retires_at=None if entry["retires_at"] is None else int(cast(int, entry["retires_at"])),
        preshared=None if entry["preshared"] is None else str(entry["preshared"]),
    )
