"""Maps of thousands that change by a few: what changed lies over a dict that all versions share.

So a next version costs what changes, and so does finding what is different between two. Whoever keeps an older one
(what the box was made from, what is on disk) learns that from the maps themselves, whether it is one step behind or
ten, and whether or not one of them failed: no list of changes is handed on that could be lost on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
_MOST = 500  # keys over the dict: from then on the next version is a dict of its own


class Overlay(Mapping[K, V]):
    """A version, which is never changed. `over` has what is not as in `base`; None: it is not there."""

    def __init__(self, base: Mapping[K, V], over: Mapping[K, V | None]) -> None:
        self.base, self.over = base, over
        self._length = len(base) + sum((value is not None) - (key in base) for key, value in over.items())

    def __getitem__(self, key: K) -> V:
        found = self.over[key] if key in self.over else self.base[key]
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        return self.over[key] is not None if key in self.over else key in self.base  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[K]:
        yield from (key for key in self.base if key not in self.over)
        yield from (key for key, value in self.over.items() if value is not None)

    def __len__(self) -> int:
        return self._length


class Edits(MutableMapping[K, V]):
    """The next version of a map in the making; `start` stays as it is, and must from now on."""

    def __init__(self, start: Mapping[K, V]) -> None:
        self._start = start
        self._over: dict[K, V | None] = {}

    def __getitem__(self, key: K) -> V:
        found = self._over[key] if key in self._over else self._start[key]
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: K, value: V) -> None:
        self._over[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._over[key] = None

    def __iter__(self) -> Iterator[K]:
        return iter(self.done())

    def __len__(self) -> int:
        return len(self._start) + sum((value is not None) - (key in self._start) for key, value in self._over.items())

    def done(self) -> Mapping[K, V]:
        """`start` itself where nothing is different."""
        base, before = _parts(self._start)
        over = {key: value for key, value in {**before, **self._over}.items() if value is not base.get(key)}
        if over.keys() == before.keys() and all(value is before[key] for key, value in over.items()):
            return self._start
        return Overlay(base, over) if len(over) <= _MOST else dict(Overlay(base, over))


def differences(old: Mapping[K, V], new: Mapping[K, V]) -> set[K]:
    """The keys that have not the very same object in both."""
    if old is new:
        return set()
    (base, over), (other, changed) = _parts(old), _parts(new)
    keys = over.keys() | changed.keys() if base is other else old.keys() | new.keys()
    return {key for key in keys if old.get(key) is not new.get(key)}


def _parts(version: Mapping[K, V]) -> tuple[Mapping[K, V], Mapping[K, V | None]]:
    return (version.base, version.over) if isinstance(version, Overlay) else (version, {})
