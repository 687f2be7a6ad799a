"""What the gateway last knew of the registry, and its words on disk. Pure; state_file.py writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar, cast

from twinlock.agent.overlay import Edits, differences
from twinlock.registry.definition import Definition, definition_from_json, definition_to_json
from twinlock.registry.model import Peer
from twinlock.registry.preshared import PresharedKey, preshared_key_from_text

STATE_FOLDER = Path("/var/lib/twinlock")
_PEER_FIELDS = {"tenant", "name", "public_key", "address", "state", "enrolled_by", "enrolled_at", "approved_by",
                "expires_at", "replaces", "grace", "retires_at", "preshared", "reach", "others"}  # fmt: skip

Document = Mapping[str, object]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LastState:
    """The registry as it was last read. `generations` are those that `peers` contains, by tenant."""

    definition: Definition
    generations: Mapping[str, int] = field(default_factory=dict[str, int])
    peers: Mapping[str, Mapping[str, Peer]] = field(default_factory=dict[str, Mapping[str, Peer]])  # tenant -> key ->
    storage_prefixes: tuple[str, ...] = ()
    serving: frozenset[int] = frozenset()  # shards
    preshared: Mapping[str, PresharedKey] = field(default_factory=dict[str, PresharedKey])  # public key ->


def whole(state: LastState) -> Document:
    return {
        "definition": definition_to_json(state.definition),
        "generations": dict(state.generations),
        "peers": {tenant: list(map(_words, peers.values())) for tenant, peers in state.peers.items()},
        "storage_prefixes": state.storage_prefixes,
        "serving": sorted(state.serving),
        # Opened: a gateway that starts without the cloud has nobody to ask. The file is root's alone.
        "preshared": {public: key.reveal() for public, key in state.preshared.items()},
    }


def change(was: LastState, state: LastState) -> Document | None:
    """What became of `was`; None where that is more than who is a peer and who serves.

    Peers that stayed are the same objects (overlay.py): it costs what changed.
    """
    if (was.definition, was.storage_prefixes, was.peers.keys()) != (
        state.definition, state.storage_prefixes, state.peers.keys(),
    ):  # fmt: skip
        return None
    told: dict[str, tuple[list[str], list[Document]]] = {}
    for tenant, peers in state.peers.items():
        before = was.peers[tenant]
        keys = differences(before, peers)
        told[tenant] = [key for key in keys if key in before], [_words(peers[key]) for key in keys if key in peers]
    keys = differences(was.preshared, state.preshared)
    return {
        "generations": dict(state.generations),
        "serving": sorted(state.serving),
        "gone": {tenant: gone for tenant, (gone, _) in told.items() if gone},
        "come": {tenant: come for tenant, (_, come) in told.items() if come},
        "shut": [key for key in keys if key not in state.preshared],
        "preshared": {key: state.preshared[key].reveal() for key in keys if key in state.preshared},
    }


def weight(change: Document) -> int:
    """How much a change costs whoever reads it: peers, and one for itself."""
    tenants = (cast(Mapping[str, list[object]], change[what]) for what in ("gone", "come"))
    return 1 + sum(map(len, chain.from_iterable(tenant.values() for tenant in tenants)))


def state_from(document: Document) -> LastState:
    """What `whole` told. Raises ValueError, KeyError, TypeError, AttributeError, Refused or DefinitionError."""
    return LastState(
        definition=definition_from_json(cast(str, document["definition"])),
        generations=_generations(document),
        peers={tenant: _peers(entries) for tenant, entries in cast(_Entries, document["peers"]).items()},
        storage_prefixes=tuple(map(str, cast(list[object], document["storage_prefixes"]))),
        serving=_shards(document),
        preshared=_preshared(document),
    )


def changed(state: LastState, document: Document) -> LastState:
    """What `change` told of it; raises as `state_from` does."""
    peers = dict(state.peers)
    gone, come = cast(Mapping[str, list[str]], document["gone"]), cast(_Entries, document["come"])
    for tenant in gone.keys() | come.keys():
        peers[tenant] = _edited(peers[tenant], gone.get(tenant, ()), _peers(come.get(tenant, [])))
    opened = _edited(state.preshared, cast(list[str], document["shut"]), _preshared(document))
    serving, generations = _shards(document), _generations(document)
    return replace(state, peers=peers, preshared=opened, serving=serving, generations=generations)


def _edited(some: Mapping[str, T], gone: Iterable[str], come: Mapping[str, T]) -> Mapping[str, T]:
    edits = Edits(some)
    for key in gone:
        del edits[key]
    edits.update(come)
    return edits.done()


_Entries = Mapping[str, list[Mapping[str, object]]]


def _generations(document: Document) -> dict[str, int]:
    generations = cast(Mapping[str, object], document["generations"])
    return {tenant: int(cast(int, number)) for tenant, number in generations.items()}


def _shards(document: Document) -> frozenset[int]:
    return frozenset(int(cast(int, shard)) for shard in cast(list[object], document["serving"]))


def _preshared(document: Document) -> dict[str, PresharedKey]:
    keys = cast(Mapping[str, str], document["preshared"])
    return {public: preshared_key_from_text(text, "the state") for public, text in keys.items()}


def _peers(entries: list[Mapping[str, object]]) -> dict[str, Peer]:
    return {peer.public_key: peer for peer in map(_peer, entries)}


def _words(peer: Peer) -> Document:
    return vars(peer) | {"others": ()}


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
        reach=None if entry["reach"] is None else tuple(map(str, cast(list[object], entry["reach"]))),
    )
