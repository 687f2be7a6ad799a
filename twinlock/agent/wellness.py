"""What this gateway knows of everybody's health, and says of its own. The main thread's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from twinlock.agent import health
from twinlock.agent.channel import Health
from twinlock.agent.checkup import Checked
from twinlock.agent.health import Book, Heard

_log = logging.getLogger(__name__)


class Wellness:
    """`ask` has this gateway take a look that answers a twin's question."""

    def __init__(self, me: str, ask: Callable[[str, int], None], now: Callable[[], float]) -> None:
        self._me, self._ask, self._now = me, ask, now
        self._checked: Checked | None = None
        self.book = Book()

    def check(self, checked: Checked) -> None:
        """A look of this gateway's own is done."""
        self._checked = checked
        self.book = replace(self.book, failing=frozenset(checked.failing))
        if not checked.failing:
            self.book = replace(self.book, asked_for=frozenset())
        if health.wants_to_ask(self.book):
            # Never a number that was used before, also by an agent that ran before this one.
            asks = max(self.book.asks + 1, int(self._now() * 1000))
            self.book = replace(self.book, asks=asks, asked_for=self.book.failing)

    def hear(self, said: Health) -> None:
        heard = Heard(failing=frozenset(said.failing), answers=said.answers.get(self._me, 0))
        self.book = replace(self.book, twins={**self.book.twins, said.slot: heard})
        if said.asks:
            self._ask(said.slot, said.asks)

    def message(self) -> Health | None:
        """What the twins are to be told; None before the first look."""
        if self._checked is None:
            return None
        failing = tuple(sorted(self.book.failing))
        return Health(slot=self._me, failing=failing, asks=self.book.asks, answers=self._checked.answers)

    def successor(self, heard: frozenset[str], serving: bool, clock: float) -> str | None:
        """Who is to serve instead, said once."""
        slot = health.better(self.book, heard, serving, clock)
        if slot is not None:
            _log.warning("gateway %s is well and this one is not: handing over", slot)
            self.book = replace(self.book, handed_at=clock, handed_for=self.book.failing)
        return slot
