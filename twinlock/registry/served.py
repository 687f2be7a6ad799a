"""The registry as a gateway follows it: what changed since when, and which peers it may serve."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from twinlock.registry import items, keys, transitions
from twinlock.registry.definition import Tenant
from twinlock.registry.ground import Clock, Ground
from twinlock.registry.model import Peer
from twinlock.registry.table import Item, Key, Table, key_of, number, text, texts
from twinlock.registry.versions import VERSION_KEY

_log = logging.getLogger(__name__)


class Served(Ground):
    """What a gateway reads; it believes nothing that an item claims."""

    def __init__(self, table: Table, clock: Clock | None = None) -> None:
        super().__init__(table, clock)
        # Whose approvals stood at the last full read: an attestation that was once there stays, so that reading
        # thousands of peers again costs a query and not three reads for each.
        self._stood: dict[str, frozenset[Peer]] = {}

    def generations(self) -> dict[str, int]:
        """The number of each tenant's last change; a tenant that never had one is not there."""
        found = {text(item, keys.SORT): number(item, "generation") for item in self._table.query(keys.META)}
        found.pop(VERSION_KEY[1], None)
        return found

    def changed_names(self, tenant: str, since: int, upto: int) -> frozenset[str] | None:
        """Names of the peers that the generations after `since`, up to `upto`, changed; None: unknown, read all."""
        if upto < since:
            return None
        if upto == since:
            return frozenset()
        found = list(self._table.query(keys.change(tenant), items.change_sort(since + 1), items.change_sort(upto)))
        if len(found) != upto - since:
            return None
        return frozenset(name for item in found for name in texts(item, "names"))

    def served_peers(self, tenant: str, names: Iterable[str] | None = None) -> tuple[Peer, ...]:
        """The approved, unexpired peers (of these names) whose approvals hold, sorted by name.

        What an item claims is checked against the attestations of the people whom it names. An item that does not
        stand, or can't be read, is left out and logged: nobody's broken item may keep the others out.
        """
        rules = self._tenant(tenant)
        everyone = names is None
        found = self._table.query(keys.peer(tenant)) if names is None else self._named(keys.peer(tenant), names)
        peers = [peer for item in found if (peer := self._readable(item)) is not None and peer.state == "approved"]
        peers = self._not_revoked(tenant, peers, everyone=everyone)
        served = self._proven(rules, peers, self._stood.get(tenant, frozenset()) if everyone else frozenset())
        if everyone:
            self._stood[tenant] = frozenset(served)
        return tuple(sorted(served, key=lambda peer: peer.name))

    def _not_revoked(self, tenant: str, peers: Sequence[Peer], *, everyone: bool) -> list[Peer]:
        """Never from memory. With those that they replace, as long as these are accepted."""
        if everyone:
            past = {key_of(item): item for item in self._table.query(keys.revoked(tenant))}
        else:
            replaced = [(keys.revoked(tenant), f"{peer.name}#{peer.replaces}") for peer in peers if peer.replaces]
            past = self._table.get_many([*map(transitions.revocation_key, peers), *replaced])
        retiring = {key: peer for key, item in past.items() if (peer := self._readable(item)) and peer.retires_at}
        kept = [peer for peer in peers if transitions.revocation_key(peer) not in past.keys() - retiring.keys()]
        wanted = ((keys.revoked(tenant), f"{peer.name}#{peer.replaces}") for peer in kept if peer.replaces)
        return kept + [peer for key in wanted if (peer := retiring.get(key)) and peer.state == "approved"]

    def _proven(self, rules: Tenant, peers: Sequence[Peer], stood: frozenset[Peer]) -> list[Peer]:
        unknown = [peer for peer in peers if peer not in stood]
        proofs = self._table.get_many(key for peer in unknown for key in transitions.attestation_keys(peer))
        return [peer for peer in peers if peer in stood or _stands(rules, peer, proofs)]


def _stands(tenant: Tenant, peer: Peer, proofs: Mapping[Key, Item]) -> bool:
    if transitions.attested(tenant, peer, proofs):
        return True
    _log.warning("not served: %s of tenant %s: its approvals do not stand", peer.name, peer.tenant)
    return False
