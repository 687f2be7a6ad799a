"""The peers' pre-shared keys on a gateway: opened when the registry tells of a peer, and kept with the last state.

Whoever has one and can't be told its key yet is left out until it can be: without it, no handshake would succeed
anyway, and with another one a protection would be gone. Nobody else waits for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.overlay import Edits, differences
from twinlock.agent.state import LastState
from twinlock.registry.data_keys import Envelope, SealedDataKey
from twinlock.registry.definition import Definition
from twinlock.registry.errors import Corrupt, RegistryError
from twinlock.registry.model import Peer
from twinlock.registry.preshared import DataKey, PresharedKey, data_key_number

Opened = Mapping[str, PresharedKey]


class DataKeyStore(Protocol):
    """The registry's data keys."""

    def all(self, tenant: str) -> tuple[SealedDataKey, ...]: ...
    def claim(self, first: SealedDataKey) -> None: ...


class PresharedKeys:
    def __init__(
        self, store: DataKeyStore, envelope: Callable[[Definition], Envelope], now: Callable[[], float]
    ) -> None:
        self._store, self._envelope, self._now = store, envelope, now
        self._opened: dict[tuple[str, int], DataKey] = {}
        self._complete: LastState | None = None
        self._made: set[str] = set()  # tenants that have a data key
        self._trouble: list[str] = []

    def unlocked(self, state: LastState) -> LastState:
        """With every pre-shared key that can be known now. `check` says afterwards what could not."""
        if state is self._complete:
            return state
        self._trouble = []
        self._make_missing(state.definition)
        changed = _changed(self._complete or LastState(definition=state.definition), state)
        wanted = {
            key: peer for held in state.peers.values() for key in held.keys() & changed if (peer := held[key]).preshared
        }
        opened = Edits(state.preshared)
        for key in (changed - wanted.keys()) & opened.keys():
            del opened[key]
        opened.update(self._open(state.definition, (peer for key, peer in wanted.items() if key not in opened)))
        known = opened.done()
        done = state if known is state.preshared else replace(state, preshared=known)
        self._complete = None if self._trouble else done
        return done

    def check(self) -> None:
        """Raises CloudUnavailable if something was missing at the last look."""
        if self._trouble:
            raise CloudUnavailable("; ".join(dict.fromkeys(self._trouble)))

    def _make_missing(self, definition: Definition) -> None:
        """The first data key of a tenant: sealed by KMS before anybody has seen it."""
        wanted = {tenant.name for tenant in definition.tenants if tenant.preshared_keys}
        for tenant in sorted(wanted - self._made):
            try:
                if not self._store.all(tenant):
                    self._store.claim(self._envelope(definition).new(tenant, 1, int(self._now())))
                self._made.add(tenant)
            except RegistryError as exc:
                self._trouble.append(str(exc))

    def _open(self, definition: Definition, peers: Iterable[Peer]) -> dict[str, PresharedKey]:
        found: dict[str, PresharedKey] = {}
        failed: set[tuple[str, int]] = set()
        for peer in peers:
            try:
                wanted = peer.tenant, data_key_number(peer.preshared or "")
                if wanted not in failed:
                    failed.add(wanted)
                    key = self._data_key(definition, *wanted)
                    failed.discard(wanted)
                    found[peer.public_key] = key.unwrap(peer.preshared or "", peer.public_key)
            except RegistryError as exc:
                self._trouble.append(str(exc))
        return found

    def _data_key(self, definition: Definition, tenant: str, number: int) -> DataKey:
        if (tenant, number) not in self._opened:
            sealed = next((key for key in self._store.all(tenant) if key.number == number), None)
            if sealed is None:
                raise Corrupt(f"data key {number} of tenant {tenant} is not in the registry")
            self._opened[tenant, number] = self._envelope(definition).open(sealed)
        return self._opened[tenant, number]


def _changed(was: LastState, state: LastState) -> set[str]:
    """Public keys whose peer or opened key is not what it was."""
    none: Mapping[str, Peer] = {}
    found = differences(was.preshared, state.preshared)
    for tenant in {*was.peers, *state.peers}:
        found |= differences(was.peers.get(tenant, none), state.peers.get(tenant, none))
    return found
