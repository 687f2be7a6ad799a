"""Who serves, as this gateway sees it: every event goes through one queue, so that quick changes can't interleave."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from twinlock.agent import lease as rules
from twinlock.agent.channel import Flows, Health, Singles, Ways, Word
from twinlock.agent.checkup import Checked
from twinlock.agent.lease import LEASE_SECONDS, Claim, Gate, Twin, View
from twinlock.agent.phases import Cause
from twinlock.registry.errors import RegistryError
from twinlock.registry.model import ShardLease

_log = logging.getLogger(__name__)

SHARD = 0
QUIET_SECONDS = 1.0  # a twin whose agent says nothing for so long is silent: its gate is shut by then


class LeaseStore(Protocol):
    """The registry, as far as owning goes."""

    def write_lease(self, lease: ShardLease, *, over: str | None = None, seen: int | None = None) -> ShardLease: ...


@dataclass(frozen=True, kw_only=True)
class Silent:
    """keepalived no longer hears a twin."""

    slot: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The registry's answer, or None, to a question that was sent at `began`."""

    lease: ShardLease | None
    began: float


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """Somebody asked for a switch."""

    to: str


Event = Silent | Answered | HandOver | Word
Mail = Event | Ways | Singles | Flows | Health | Checked  # whatever the main thread takes one after the other


class Ownership:
    """The view of one shard, and what changes it. `turn` alone changes it."""

    def __init__(
        self,
        me: str,
        twins: tuple[str, ...],
        store: LeaseStore,
        *,
        served: bool,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.view = View(me=me, twins={slot: Twin() for slot in twins})
        self.events: queue.SimpleQueue[Mail] = queue.SimpleQueue()
        self._store, self._served, self._clock, self._now = store, served, clock, now
        self._heard_at: Mapping[str, float] = {}
        self._gives = ""
        self.cause: Cause | None = None  # of a taking that may come
        self.fit = True  # whether the service's interface works: otherwise nothing is taken

    def ask(self) -> None:
        """One conditional write to the registry; its answer is an event like any other."""
        began = self._clock()
        claim = rules.claim(self.view, began)
        if claim is None or not (self.fit or self.view.serving):
            return
        self.events.put(Answered(lease=self._write(claim), began=began))

    def turn(self, event: Event | None) -> None:
        clock = self._clock()
        if event is not None:
            self.view = self._after(event, clock)
        # With events left its words may be among them: it is this gateway that was late.
        for slot in self._quiet(clock) if self.events.empty() else ():
            _log.info("gateway %s: its agent is silent", slot)
            self.view = self._silent(slot, clock)
        if self.fit and rules.due(self.view, clock):
            _log.warning("taking over from %s without the registry", self.view.word)
            self.view = rules.take(self.view, clock, rules.ALONE_SECONDS)

    @property
    def is_calm(self) -> bool:
        """Whether the registry need not be asked more often than usual."""
        return rules.is_calm(self.view)

    @property
    def heard(self) -> frozenset[str]:
        return frozenset(slot for slot, twin in self.view.twins.items() if twin.heard)

    def _quiet(self, clock: float) -> list[str]:
        return [slot for slot in self.heard if clock - self._heard_at.get(slot, clock) >= QUIET_SECONDS]

    def gate(self) -> Gate:
        return rules.gate(self.view, self._clock())

    def word(self) -> Word:
        """What the twins are told."""
        handed = self._clock() - self.view.handed_at < rules.HANDED_SECONDS
        gives = self._gives if handed and not self.view.serving else ""
        return Word(slot=self.view.me, serving=self.view.serving, term=self.view.term, gives=gives)

    def _after(self, event: Event, clock: float) -> View:
        match event:
            case Silent(slot=slot):
                _log.info("gateway %s: silent", slot)
                return self._silent(slot, clock)
            case Answered(lease=ShardLease() as lease, began=began):
                return rules.answered(self.view, lease, began, clock)
            case Answered():
                return rules.unanswered(self.view, self._served)
            case HandOver(to=to):
                return self._hand_over(to, clock)
            case Word():
                return self._hear(event, clock)
            case _:
                assert_never(event)

    def _silent(self, slot: str, clock: float) -> View:
        view = rules.fell_silent(self.view, slot, clock)
        if view.word == slot and view.word != self.view.word:
            self.cause = Cause(switch=False, heard_at=self._heard_at.get(slot, clock), at=clock)
        return view

    def _hear(self, word: Word, clock: float) -> View:
        if word.slot == self.view.word:
            self.cause = None  # it was not silent for good
        self._heard_at = {**self._heard_at, word.slot: clock}
        view = rules.heard(self.view, word.slot, word.serving, word.term)
        if word.gives != view.me or not self.fit:
            return view
        if not view.serving:
            self.cause = Cause(switch=True, heard_at=clock, at=clock)
        return rules.given(view, clock)

    def _hand_over(self, to: str, clock: float) -> View:
        """Only to a twin that is heard: otherwise nobody would serve."""
        if not self.view.serving or not self.view.twins.get(to, Twin()).heard:
            return self.view
        self._gives = to
        return rules.hand_over(self.view, clock)

    def _write(self, claim: Claim) -> ShardLease | None:
        until = int((self._now() + LEASE_SECONDS) * 1000)
        lease = ShardLease(shard=SHARD, owner=self.view.me, until_ms=until)
        try:
            return self._store.write_lease(lease, over=claim.over, seen=claim.seen)
        except RegistryError as exc:
            _log.debug("who serves: %s", exc)
            return None
