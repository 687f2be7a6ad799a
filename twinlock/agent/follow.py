"""One look at the registry: the last state becomes the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from twinlock.agent.state import LastState
from twinlock.registry.definition import Definition
from twinlock.registry.model import Peer


class PeerSource(Protocol):
    """The registry, as far as serving peers goes."""

    def definition(self) -> Definition: ...
    def generations(self) -> dict[str, int]: ...
    def changed_names(self, tenant: str, since: int, upto: int) -> frozenset[str] | None: ...
    def served_peers(self, tenant: str, names: Iterable[str] | None = None) -> tuple[Peer, ...]: ...


def read_in_full(registry: PeerSource, last: LastState | None) -> LastState:
    """Everything again: at the start, after a gap, and every few minutes, because a generation is only a hint."""
    definition = registry.definition()
    generations = registry.generations()
    peers = {tenant.name: _by_key(registry.served_peers(tenant.name)) for tenant in definition.tenants}
    kept = last or LastState(definition=definition)
    # Read before the peers: they are at least as new as what is said here.
    known = {tenant: generations.get(tenant, 0) for tenant in peers}
    return replace(kept, definition=definition, generations=known, peers=peers)


def follow(registry: PeerSource, last: LastState) -> LastState:
    """Only what changed since; `last` itself if nothing did."""
    generations = registry.generations()
    tenants = [tenant.name for tenant in last.definition.tenants]
    changed = [tenant for tenant in tenants if generations.get(tenant, 0) != last.generations.get(tenant)]
    if not changed:
        return last
    peers, known = dict(last.peers), dict(last.generations)
    for tenant in changed:
        upto = generations.get(tenant, 0)
        peers[tenant] = _advance(registry, tenant, last, upto)
        known[tenant] = upto
    return replace(last, generations=known, peers=peers)


def _advance(registry: PeerSource, tenant: str, last: LastState, upto: int) -> Mapping[str, Peer]:
    since = last.generations.get(tenant)
    names = None if since is None else registry.changed_names(tenant, since, upto)
    if names is None:
        return _by_key(registry.served_peers(tenant))
    kept = {key: peer for key, peer in last.peers.get(tenant, {}).items() if peer.name not in names}
    return kept | _by_key(registry.served_peers(tenant, names))


def _by_key(peers: Iterable[Peer]) -> dict[str, Peer]:
    return {peer.public_key: peer for peer in peers}
