"""What the registry's store is, whatever the cloud: items as plain values, conditions, transactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from twinlock.registry import keys
from twinlock.registry.errors import Corrupt, RegistryError

Value = str | int | bool | tuple[str, ...] | Mapping[str, int]
Item = Mapping[str, Value]
Key = tuple[str, str]


@dataclass(frozen=True)
class Condition:
    """Any of these clauses holds; none at all: no condition."""

    clauses: tuple[tuple[Literal["absent", "=", "<="], str, str | int], ...]

    def __or__(self, other: Condition) -> Condition:
        return Condition(self.clauses + other.clauses)


def absent() -> Condition:
    """There is no such item."""
    return Condition((("absent", keys.PARTITION, ""),))


def equals(attribute: str, value: str | int) -> Condition:
    return Condition((("=", attribute, value),))


def at_most(attribute: str, value: int) -> Condition:
    return Condition((("<=", attribute, value),))


@dataclass(frozen=True)
class Put:
    item: Item
    condition: Condition | None = None


@dataclass(frozen=True)
class Delete:
    key: Key
    condition: Condition | None = None


@dataclass(frozen=True)
class Check:
    """Writes nothing; the transaction fails if the condition does not hold."""

    key: Key
    condition: Condition


Write = Put | Delete | Check


class LostRace(RegistryError):  # noqa: N818
    """Somebody else wrote first: read again and decide again."""


class Table(Protocol):
    """One environment's items, by partition and sort key. Every read is strongly consistent: an old answer could skip a
    revocation. Raises Refused (access denied), Unavailable (no answer), Corrupt."""

    @property
    def name(self) -> str: ...

    def get(self, key: Key) -> Item | None: ...

    def get_many(self, wanted: Iterable[Key]) -> dict[Key, Item]:
        """The items that exist, by key."""
        ...

    def query(self, partition: str, first: str | None = None, last: str | None = None) -> Iterator[Item]:
        """A partition's items by sort key, between `first` and `last` (both included) where both are given."""
        ...

    def put(self, item: Item, condition: Condition | None = None) -> Item | None:
        """None if it was written, else the item that is there and failed the condition. LostRace if that vanished."""
        ...

    def transact(self, writes: Sequence[Write]) -> None:
        """All or nothing. LostRace if a condition failed or another transaction was under way."""
        ...


def key_of(item: Item) -> Key:
    return text(item, keys.PARTITION), text(item, keys.SORT)


def text(item: Item, attribute: str) -> str:
    value = item.get(attribute)
    if not isinstance(value, str):
        raise _corrupt(item, attribute, "text")
    return value


def number(item: Item, attribute: str) -> int:
    value = item.get(attribute)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _corrupt(item, attribute, "a number")
    return value


def flag(item: Item, attribute: str) -> bool:
    value = item.get(attribute)
    if not isinstance(value, bool):
        raise _corrupt(item, attribute, "true or false")
    return value


def texts(item: Item, attribute: str) -> tuple[str, ...]:
    value = item.get(attribute)
    if not isinstance(value, tuple):
        raise _corrupt(item, attribute, "a list of texts")
    return value


def numbers(item: Item, attribute: str) -> Mapping[str, int]:
    value = item.get(attribute)
    if not isinstance(value, Mapping):
        raise _corrupt(item, attribute, "a map of numbers")
    return value


def _corrupt(item: Item, attribute: str, kind: str) -> Corrupt:
    where = f"({item.get(keys.PARTITION)}, {item.get(keys.SORT)})"
    return Corrupt(f"registry item {where}: {attribute} should be {kind}")
