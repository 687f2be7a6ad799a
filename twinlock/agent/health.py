"""Who of the gateways is well, and who therefore should serve: pure.

A gateway fails a check or it does not; what it does not know counts as not failed. It hands over only to a twin that
fails less of the same, by a look that the twin took after being asked: a fault that is beyond both moves nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Check = Literal["transfer", "clock", "interfaces", "registry", "disk"]
CHECKS: frozenset[str] = frozenset(get_args(Check))
HOLD_SECONDS = 60.0  # between two times that a gateway hands over because of its health
Failing = frozenset[str]  # of CHECKS


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a twin last said of itself."""

    failing: Failing = frozenset()
    answers: int = 0  # the last question of this gateway that it took a look for


@dataclass(frozen=True, kw_only=True)
class Book:
    """All that one gateway knows of everybody's health."""

    failing: Failing = frozenset()
    asks: int = 0  # the question that is open, or was; 0: none yet
    asked_for: Failing = frozenset()  # what was failing when it was asked
    twins: Mapping[str, Heard] = field(default_factory=dict[str, Heard])
    handed_at: float = float("-inf")  # monotonic seconds


def better(book: Book, heard: frozenset[str], serving: bool, clock: float) -> str | None:
    """The twin that is to serve instead of this gateway, which does. None: nobody, or not known yet."""
    if not serving or not book.failing or book.asked_for != book.failing:
        return None
    if clock - book.handed_at < HOLD_SECONDS:
        return None
    fit = [
        slot
        for slot, twin in sorted(book.twins.items())
        if slot in heard and twin.answers == book.asks and twin.failing < book.failing
    ]
    return min(fit, key=lambda slot: len(book.twins[slot].failing), default=None)


def wants_to_ask(book: Book) -> bool:
    """Whether twins are to take a look of their own, because what fails here changed."""
    return bool(book.failing) and book.asked_for != book.failing
