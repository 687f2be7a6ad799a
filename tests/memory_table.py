"""A registry's table in memory, for what needs no DynamoDB: twinlock.registry.table.Table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from twinlock.registry.definition import Definition, definition_to_json
from twinlock.registry.keys import DEFINITION, DEFINITION_JSON, DEFINITION_SORT, PARTITION, SORT
from twinlock.registry.table import Condition, Delete, Item, Key, LostRace, Put, Write, key_of

_AT_ONCE = 100  # items of one transaction, in every cloud


class MemoryTable:
    name = "twinlock-memory"

    def __init__(self, definition: Definition) -> None:
        kept = {PARTITION: DEFINITION, SORT: DEFINITION_SORT, DEFINITION_JSON: definition_to_json(definition)}
        self.items: dict[Key, Item] = {(DEFINITION, DEFINITION_SORT): kept}

    def get(self, key: Key) -> Item | None:
        return self.items.get(key)

    def get_many(self, wanted: Iterable[Key]) -> dict[Key, Item]:
        return {key: self.items[key] for key in wanted if key in self.items}

    def query(self, partition: str, first: str | None = None, last: str | None = None) -> Iterator[Item]:
        for (of, sort), item in sorted(self.items.items()):
            if of == partition and (first is None or last is None or first <= sort <= last):
                yield item

    def put(self, item: Item, condition: Condition | None = None) -> Item | None:
        there = self.items.get(key_of(item))
        if not _holds(condition, there):
            if there is None:
                raise LostRace("it vanished")
            return there
        self.items[key_of(item)] = item
        return None

    def transact(self, writes: Sequence[Write]) -> None:
        if not 1 <= len(writes) == len(set(map(_key, writes))) <= _AT_ONCE:
            raise ValueError(f"no service takes {len(writes)} writes to {len(set(map(_key, writes)))} items at once")
        if not all(_holds(write.condition, self.items.get(_key(write))) for write in writes):
            raise LostRace("a condition failed")
        for write in writes:
            match write:
                case Put(item=item):
                    self.items[key_of(item)] = item
                case Delete(key=key):
                    self.items.pop(key, None)
                case _:
                    pass


def _key(write: Write) -> Key:
    return key_of(write.item) if isinstance(write, Put) else write.key


def _holds(condition: Condition | None, item: Item | None) -> bool:
    if condition is None or not condition.clauses:
        return True
    for kind, attribute, value in condition.clauses:
        found = None if item is None else item.get(attribute)
        if kind == "absent" and item is None:
            return True
        if kind == "=" and found == value:
            return True
        if kind == "<=" and isinstance(found, int) and isinstance(value, int) and found <= value:
            return True
    return False
