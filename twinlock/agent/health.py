"""Who of the gateways is well, and who therefore should serve: pure.

A gateway fails a check or it does not; what it does not know counts as not failed. It hands over only to a twin that
fails less, by a look that the twin took after being asked: a fault that is beyond both moves nobody. Less is only some
of the same, or nothing that costs clients where this gateway has what does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Check = Literal["transfer", "clock", "clock-source", "interfaces", "registry", "disk"]
CHECKS: frozenset[str] = frozenset(get_args(Check))
# What clients lose by now, or will when the clock is set right. The rest are warnings: a gateway that has just booted
# follows no source for some seconds, and is still better than one that forwards nothing.
COSTS_CLIENTS = frozenset({"transfer", "interfaces", "clock"})
# Between two times that a gateway hands over because of its health; what costs clients does not wait for what did not.
HOLD_SECONDS = 60.0
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
    handed_for: Failing = frozenset()  # what was failing then


def better(book: Book, heard: frozenset[str], serving: bool, clock: float) -> str | None:
    """The twin that is to serve instead of this gateway, which does. None: nobody, or not known yet."""
    if not serving or not book.failing or book.asked_for != book.failing:
        return None
    graver = book.failing & COSTS_CLIENTS and not book.handed_for & COSTS_CLIENTS
    if clock - book.handed_at < HOLD_SECONDS and not graver:
        return None
    fit = [
        slot
        for slot, twin in sorted(book.twins.items())
        if slot in heard and twin.answers == book.asks and _is_less(twin.failing, book.failing)
    ]
    return min(fit, key=lambda slot: _cost(book.twins[slot].failing), default=None)


def _cost(failing: Failing) -> tuple[int, int]:
    return len(failing & COSTS_CLIENTS), len(failing)


def _is_less(its: Failing, own: Failing) -> bool:
    return its < own or (bool(own & COSTS_CLIENTS) and not its & COSTS_CLIENTS)


def wants_to_ask(book: Book) -> bool:
    """Whether twins are to take a look of their own, because what fails here changed."""
    return bool(book.failing) and book.asked_for != book.failing
