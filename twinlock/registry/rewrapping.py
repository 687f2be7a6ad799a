"""Rotating a tenant's data key: what was wrapped with the old one is wrapped with the new one."""

from __future__ import annotations

from collections.abc import Sequence

from twinlock.registry import items, keys, transitions
from twinlock.registry.model import Actor
from twinlock.registry.people import BULK, People
from twinlock.registry.preshared import DataKey, data_key_number
from twinlock.registry.table import Item, Key, key_of, text
from twinlock.registry.transitions import Change, Moment


class Rewrapping(People):
    def rewrap(self, actor: Actor, old: DataKey, new: DataKey) -> int:
        """Wraps with `new` what is live and wrapped with `old`; how many pre-shared keys that were."""
        done = 0
        while found := self._wrapped_with(old):
            for at in range(0, len(found), BULK):
                done += len(self._rewrap_some(actor, found[at : at + BULK], old, new))
        return done

    def _rewrap_some(self, actor: Actor, some: Sequence[Key], old: DataKey, new: DataKey) -> Sequence[object]:
        return self._change(actor, old.tenant, lambda moment, _: self._rewrapped(moment, some, old, new))

    def _wrapped_with(self, old: DataKey) -> list[Key]:
        parts = (keys.pending(old.tenant), keys.peer(old.tenant), keys.revoked(old.tenant))
        return [key_of(item) for part in parts for item in self._table.query(part) if self._lives_by(item, old)]

    def _lives_by(self, item: Item, key: DataKey) -> bool:
        """What has ended stays as it is, and opens no more."""
        wrapped = text(item, "preshared") if "preshared" in item else ""
        live = items.peer_from(item, self._now()).state in ("pending", "approved")
        return live and wrapped != "" and data_key_number(wrapped) == key.number

    def _rewrapped(self, moment: Moment, wanted: Sequence[Key], old: DataKey, new: DataKey) -> list[Change]:
        found = [item for item in self._table.get_many(wanted).values() if self._lives_by(item, old)]
        changes: list[Change] = []
        for peer in (items.peer_from(item, moment.now) for item in found):
            key = old.unwrap(peer.preshared or "", peer.public_key)
            changes.append(transitions.rewrap(peer, new.wrap(key, peer.public_key), moment.actor.user_id))
        return changes
