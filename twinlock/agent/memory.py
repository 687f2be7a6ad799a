"""Where this gateway's ways are, kept in the registry: for when no gateway is left that would remember it.

Clients that knock by themselves do so at their next rekey, up to two minutes later. A gateway that starts reads what
its slot had and calls those ways. Kept in pieces, so that a client that moves costs one small write; a piece is written
once in half a minute at most, whatever happens. The follower's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twinlock.agent.calls import ALIVE_SECONDS

KEEP_SECONDS = 30.0
_AT_ONCE = 8  # pieces: writing must not hold up what else the follower does


class WayStore(Protocol):
    """The registry, as far as ways go: a piece is a text, by its number; an end is "KEY'S BEGINNING 192.0.2.1:7"."""

    def ways(self, slot: str) -> Mapping[str, tuple[str, ...]]: ...
    def keep_ways(self, slot: str, piece: str, ends: tuple[str, ...]) -> None: ...


class WayMemory:
    def __init__(self, slot: str, store: WayStore, clock: Callable[[], float]) -> None:
        self._slot, self._store, self._clock = slot, store, clock
        self._began = clock()
        self._kept: dict[str, tuple[str, ...]] | None = None
        self._before: dict[str, str] = {}
        self._written_at: dict[str, float] = {}

    @property
    def is_recalled(self) -> bool:
        return self._kept is not None

    def recall(self, keys: Mapping[str, object]) -> dict[str, str]:
        """Where the ways of these peers (by public key) were."""
        found = dict(self._store.ways(self._slot))
        ends = dict(line.split(" ", 1) for lines in found.values() for line in lines if " " in line)
        self._kept = found
        self._before = {key: ends[_beginning(key)] for key in keys if _beginning(key) in ends}
        return dict(self._before)

    def keep(self, ends: Mapping[str, str]) -> None:
        """`ends` are the ways that are open now. Those of before count until their clients would have knocked."""
        if self._kept is None:
            return
        clock = self._clock()
        if clock - self._began >= ALIVE_SECONDS:
            self._before = {}
        wanted = _pieces({**self._before, **ends})
        changed = (piece for piece in wanted.keys() | self._kept.keys() if self._is_due(piece, wanted, clock))
        for piece in sorted(changed, key=lambda piece: self._written_at.get(piece, 0.0))[:_AT_ONCE]:
            self._store.keep_ways(self._slot, piece, wanted.get(piece, ()))
            self._kept[piece] = wanted.get(piece, ())
            self._written_at[piece] = clock

    def _is_due(self, piece: str, wanted: Mapping[str, tuple[str, ...]], clock: float) -> bool:
        if wanted.get(piece, ()) == (self._kept or {}).get(piece, ()):
            return False
        at = self._written_at.get(piece)
        return at is None or clock - at >= KEEP_SECONDS


def _beginning(key: str) -> str:
    """72 bits: enough to tell peers apart, and half as many bytes."""
    return key[:12]


def _pieces(ends: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """By the key's first character: 64 of them, alike in size."""
    pieces: dict[str, list[str]] = {}
    for key, end in sorted(ends.items()):
        pieces.setdefault(key[0], []).append(f"{_beginning(key)} {end}")
    return {piece: tuple(lines) for piece, lines in pieces.items()}
