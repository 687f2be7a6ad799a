"""Tenants' data keys in the registry: sealed, by number. New pre-shared keys take the newest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from twinlock.registry import keys
from twinlock.registry.errors import Refused
from twinlock.registry.preshared import DataKey
from twinlock.registry.table import Check, Delete, Item, LostRace, Put, Table, absent, equals, key_of, number, text

_CURRENT, _RETIRING = "current", "retiring"


@dataclass(frozen=True, kw_only=True)
class SealedDataKey:
    """What KMS made of a data key: opened by envelope.py."""

    tenant: str
    number: int  # from 1
    sealed: str  # base64
    made_at: int  # epoch seconds
    retiring: bool = False  # another has replaced it: it opens what is wrapped with it, and wraps nothing


class Envelope(Protocol):
    """Seals and opens data keys with the environment's key, bound to environment and tenant.

    Raises Refused, Unavailable or Corrupt.
    """

    def new(self, tenant: str, number: int, made_at: int) -> SealedDataKey:
        """A data key that nobody has seen yet."""
        ...

    def seal(self, key: DataKey, made_at: int) -> SealedDataKey:
        """One that is known already, as after a move from another environment."""
        ...

    def open(self, sealed: SealedDataKey) -> DataKey: ...


class DataKeys:
    def __init__(self, table: Table) -> None:
        self._table = table

    def all(self, tenant: str) -> tuple[SealedDataKey, ...]:
        """By number; several while one is being replaced."""
        return tuple(sealed_from(item) for item in self._table.query(keys.data_key(tenant)))

    def current(self, tenant: str) -> SealedDataKey | None:
        return next((key for key in reversed(self.all(tenant)) if not key.retiring), None)

    def claim(self, first: SealedDataKey) -> None:
        """A tenant's first one; nothing happens if another gateway was quicker."""
        self._table.put(sealed_item(first), absent())

    def replace(self, old: SealedDataKey, new: SealedDataKey) -> None:
        """From now on `new` wraps. Raises Refused if somebody else replaces it just now."""
        unchanged = equals("state", _CURRENT)
        try:
            self._table.transact(
                [Put(sealed_item(replace(old, retiring=True)), unchanged), Put(sealed_item(new), absent())]
            )
        except LostRace as exc:
            raise Refused(f"somebody else rotates the data key of tenant {old.tenant} just now: try later") from exc

    def drop(self, old: SealedDataKey) -> None:
        """Once nothing is wrapped with it any more."""
        self._table.transact([Delete(_key(old.tenant, old.number), equals("state", _RETIRING))])


def still_current(tenant: str, number: int) -> Check:
    """That the data key with which something was wrapped is not being replaced meanwhile."""
    return Check(_key(tenant, number), equals("state", _CURRENT))


def _key(tenant: str, number: int) -> tuple[str, str]:
    return keys.data_key(tenant), f"{number:06d}"


def sealed_item(key: SealedDataKey) -> Item:
    partition, sort = _key(key.tenant, key.number)
    return {
        keys.PARTITION: partition,
        keys.SORT: sort,
        "sealed": key.sealed,
        "made_at": key.made_at,
        "state": _RETIRING if key.retiring else _CURRENT,
    }


def sealed_from(item: Item) -> SealedDataKey:
    partition, sort = key_of(item)
    return SealedDataKey(
        tenant=partition.partition("#")[2],
        number=int(sort),
        sealed=text(item, "sealed"),
        made_at=number(item, "made_at"),
        retiring=text(item, "state") == _RETIRING,
    )
