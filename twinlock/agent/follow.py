"""One look at the registry: the last state becomes the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from twinlock.agent.overlay import Edits, differences
from twinlock.agent.state import LastState
from twinlock.registry.definition import Definition
from twinlock.registry.model import Peer


class PeerSource(Protocol):
    """The registry, as far as serving peers goes."""

    def definition(self) -> Definition: ...
    def generations(self) -> dict[str, int]: ...
    def changed_names(self, tenant: str, since: int, upto: int) -> frozenset[str] | None: ...
    def served_peers(self, tenant: str, names: Iterable[str] | None = None) -> tuple[Peer, ...]: ...


class Names:
    """Which keys a name has among the peers of a tenant, brought up to date from one version of them to the next."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Mapping[str, Peer], dict[str, tuple[str, ...]]]] = {}

    def learn(self, state: LastState) -> None:
        """All of them: the first change does not wait for that."""
        for tenant, peers in state.peers.items():
            self.keys(tenant, peers, ())

    def keys(self, tenant: str, peers: Mapping[str, Peer], names: Iterable[str]) -> list[str]:
        was, found = self._known.get(tenant, ({}, {}))
        for key in differences(was, peers):
            if (old := was.get(key)) is not None:
                others = tuple(one for one in found.pop(old.name) if one != key)
                found.update({old.name: others} if others else {})
            if (new := peers.get(key)) is not None:
                found[new.name] = (*found.get(new.name, ()), key)
        self._known[tenant] = peers, found
        return [key for name in names for key in found.get(name, ())]


def read_in_full(registry: PeerSource, last: LastState | None) -> LastState:
    """Everything again: at the start, after a gap, and every few minutes, because a generation is only a hint.

    What is as it was is the same object: nothing that follows from it is to be done again.
    """
    definition = registry.definition()
    kept = last or LastState(definition=definition)
    generations = registry.generations()
    peers = {tenant.name: _all(registry, tenant.name, kept) for tenant in definition.tenants}
    # Read before the peers: they are at least as new as what is said here.
    known = {tenant: generations.get(tenant, 0) for tenant in peers}
    definition = kept.definition if kept.definition == definition else definition
    return replace(kept, definition=definition, generations=known, peers=peers)


def follow(registry: PeerSource, last: LastState, names: Names) -> LastState:
    """Only what changed since; `last` itself if nothing did."""
    generations = registry.generations()
    tenants = [tenant.name for tenant in last.definition.tenants]
    changed = [tenant for tenant in tenants if generations.get(tenant, 0) != last.generations.get(tenant)]
    if not changed:
        return last
    peers, known = dict(last.peers), dict(last.generations)
    for tenant in changed:
        upto = generations.get(tenant, 0)
        peers[tenant] = _advance(registry, tenant, last, upto, names)
        known[tenant] = upto
    return replace(last, generations=known, peers=peers)


def _advance(registry: PeerSource, tenant: str, last: LastState, upto: int, names: Names) -> Mapping[str, Peer]:
    since = last.generations.get(tenant)
    changed = None if since is None else registry.changed_names(tenant, since, upto)
    if changed is None:
        return _all(registry, tenant, last)
    before = last.peers.get(tenant, {})
    gone = names.keys(tenant, before, changed)
    return _next(before, gone, registry.served_peers(tenant, changed))


def _all(registry: PeerSource, tenant: str, last: LastState) -> Mapping[str, Peer]:
    found = registry.served_peers(tenant)
    before = last.peers.get(tenant, {})
    return _next(before, before.keys() - {peer.public_key for peer in found}, found)


def _next(before: Mapping[str, Peer], gone: Iterable[str], come: Iterable[Peer]) -> Mapping[str, Peer]:
    peers = Edits(before)
    for key in gone:
        del peers[key]
    for peer in come:
        was = before.get(peer.public_key)
        peers[peer.public_key] = was if was is not None and was == peer else peer
    return peers.done()
