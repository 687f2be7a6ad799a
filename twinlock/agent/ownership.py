"""Who serves, as this gateway sees it: every event goes through one queue, so that quick changes can't interleave.

Each shard has its own view and its own lease, by the same rules (lease.py); an event changes all views at once.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from twinlock.agent import lease as rules
from twinlock.agent.channel import Flows, Health, Said, Singles, Ways, Word
from twinlock.agent.checkup import Checked
from twinlock.agent.lease import LEASE_SECONDS, Gate, Twin, View
from twinlock.agent.phases import Cause
from twinlock.registry.errors import RegistryError
from twinlock.registry.model import LeaseClaim, ShardLease
from twinlock.registry.shards import assign

_log = logging.getLogger(__name__)

QUIET_SECONDS = 1.0  # a twin whose agent says nothing for so long is silent: its gate is shut by then
YIELD_SECONDS = 0.6  # a shard whose turn it is another twin's is left to it for so long


class LeaseStore(Protocol):
    """The registry, as far as owning goes."""

    def write_leases(self, claims: list[LeaseClaim], shards: int) -> Mapping[int, ShardLease]: ...


@dataclass(frozen=True, kw_only=True)
class Silent:
    """keepalived no longer hears a twin."""

    slot: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The registry's answer, or None, for each shard that it was asked about; the question was sent at `began`."""

    leases: Mapping[int, ShardLease | None]
    began: float


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """Somebody asked for a switch, of these shards or (none named) of all; to nobody: whoever has least."""

    to: str = ""
    shards: frozenset[int] = frozenset()


Event = Silent | Answered | HandOver | Word
Mail = Event | Ways | Singles | Flows | Health | Checked  # whatever the main thread takes one after the other


class Ownership:
    """The view of each shard, and what changes them. `turn` alone changes them."""

    def __init__(
        self,
        me: str,
        twins: tuple[str, ...],
        store: LeaseStore,
        *,
        served: Collection[int],
        shards: int = 1,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.me, self.shards, self.twins = me, shards, frozenset(twins)
        view = View(me=me, twins={slot: Twin() for slot in twins})
        self.views = (view,) * shards
        self.events: queue.SimpleQueue[Mail] = queue.SimpleQueue()
        self._store, self._served, self._clock, self._now = store, served, clock, now
        self._heard_at: Mapping[str, float] = {}
        self._gives: dict[int, str] = {}
        self.cause: Cause | None = None  # of a taking that may come
        self.fit = True  # whether the service's interface works: otherwise nothing is taken

    def ask(self) -> None:
        """Conditional writes to the registry, in one go; the answer is an event like any other."""
        began = self._clock()
        claims = [claim for shard in range(self.shards) if (claim := self._claim(shard, began)) is not None]
        if claims:
            self.events.put(Answered(leases=self._write(claims), began=began))

    def turn(self, event: Event | None) -> None:
        clock = self._clock()
        if event is not None:
            self._take(event, clock)
        # With events left its words may be among them: it is this gateway that was late.
        for slot in self._quiet(clock) if self.events.empty() else ():
            _log.info("gateway %s: its agent is silent", slot)
            self._silent(slot, clock)
        due = {shard for shard, view in enumerate(self.views) if rules.due(view, clock)} if self.fit else set[int]()
        if due := {shard for shard in due if not self._is_anothers(shard, clock)}:
            lost = sorted({self.views[shard].word for shard in due})
            _log.warning("taking over from %s without the registry", ", ".join(lost))
            self._change(lambda shard, view: rules.take(view, clock, rules.ALONE_SECONDS) if shard in due else view)

    @property
    def serving(self) -> frozenset[int]:
        return frozenset(shard for shard, view in enumerate(self.views) if view.serving)

    @property
    def is_asked(self) -> bool:
        """Whether the registry has said of every shard whose it is."""
        return all(view.lease is not None for view in self.views)

    @property
    def has_word(self) -> bool:
        """Whether somebody fell silent whose shards this gateway may take."""
        return any(view.word for view in self.views)

    @property
    def is_calm(self) -> bool:
        """Whether the registry need not be asked more often than usual."""
        return all(map(rules.is_calm, self.views))

    @property
    def heard(self) -> frozenset[str]:
        return frozenset(slot for slot, twin in self.views[0].twins.items() if twin.heard)

    @property
    def twins_serving(self) -> frozenset[str]:
        """Who is heard and serves any shard."""
        twins = (item for view in self.views for item in view.twins.items())
        return frozenset(slot for slot, twin in twins if twin.heard and twin.serving)

    def gates(self) -> tuple[Gate, ...]:
        """Of each shard."""
        clock = self._clock()
        return tuple(rules.gate(view, clock) for view in self.views)

    def word(self) -> Word:
        """What the twins are told."""
        clock = self._clock()
        said = tuple(self._said(shard, view, clock) for shard, view in enumerate(self.views))
        serving = any(one.serving for one in said)
        gives = "" if serving else next((one.gives for one in said if one.gives), "")
        shards = said if self.shards > 1 else ()
        return Word(slot=self.me, serving=serving, term=max(one.term for one in said), gives=gives, shards=shards)

    def _said(self, shard: int, view: View, clock: float) -> Said:
        handed = clock - view.handed_at < rules.HANDED_SECONDS and not view.serving
        return Said(serving=view.serving, term=view.term, gives=self._gives.get(shard, "") if handed else "")

    def _change(self, after: Callable[[int, View], View]) -> None:
        self.views = tuple(after(shard, view) for shard, view in enumerate(self.views))

    def _quiet(self, clock: float) -> list[str]:
        return [slot for slot in self.heard if clock - self._heard_at.get(slot, clock) >= QUIET_SECONDS]

    def _take(self, event: Event, clock: float) -> None:
        match event:
            case Silent(slot=slot):
                _log.info("gateway %s: silent", slot)
                self._silent(slot, clock)
            case Answered(leases=leases, began=began):
                self._change(lambda shard, view: self._answered(shard, view, leases, began, clock))
            case HandOver():
                self._hand_over(event, clock)
            case Word():
                self._hear(event, clock)
            case _:
                assert_never(event)

    def _answered(
        self, shard: int, view: View, leases: Mapping[int, ShardLease | None], began: float, clock: float
    ) -> View:
        if shard not in leases:
            return view
        lease = leases[shard]
        if lease is None:
            return rules.unanswered(view, shard in self._served)
        return rules.answered(view, lease, began, clock)

    def _silent(self, slot: str, clock: float) -> None:
        before = self.views
        self._change(lambda shard, view: rules.fell_silent(view, slot, clock))
        if any(view.word == slot != was.word for view, was in zip(self.views, before, strict=True)):
            self.cause = Cause(switch=False, heard_at=self._heard_at.get(slot, clock), at=clock)

    def _hear(self, word: Word, clock: float) -> None:
        if any(view.word == word.slot for view in self.views):
            self.cause = None  # it was not silent for good
        self._heard_at = {**self._heard_at, word.slot: clock}
        self._change(lambda shard, view: rules.heard(view, word.slot, word.of(shard).serving, word.of(shard).term))
        given = {shard for shard in range(self.shards) if word.of(shard).gives == self.me} if self.fit else set[int]()
        if any(not self.views[shard].serving for shard in given):
            self.cause = Cause(switch=True, heard_at=clock, at=clock)
        self._change(lambda shard, view: rules.given(view, clock) if shard in given else view)

    def _hand_over(self, asked: HandOver, clock: float) -> None:
        """Only to a twin that is heard: otherwise nobody would serve."""
        going = self.serving & asked.shards if asked.shards else self.serving
        heard = self.heard & {asked.to} if asked.to else self.heard
        chosen = assign(range(self.shards), heard | {self.me}, self._owners(), {self.me} if heard else ())
        to = {shard: chosen[shard] for shard in going if chosen[shard] != self.me}
        self._gives.update(to)
        self._change(lambda shard, view: rules.hand_over(view, clock) if shard in to else view)

    def _owners(self) -> dict[int, str]:
        """Who serves each shard, as far as is known here."""
        owners: dict[int, str] = {}
        for shard, view in enumerate(self.views):
            twins = [slot for slot, twin in view.twins.items() if twin.heard and twin.serving]
            if view.serving or twins:
                owners[shard] = self.me if view.serving else twins[0]
        return owners

    def _is_anothers(self, shard: int, clock: float) -> bool:
        """Whether another twin has less to do and is to take this shard, whose gateway fell silent: for some time."""
        view = self.views[shard]
        if self.shards == 1 or view.serving or not view.word or clock - view.word_at >= YIELD_SECONDS:
            return False
        return assign(range(self.shards), self.heard | {self.me}, self._owners())[shard] != self.me

    def _claim(self, shard: int, clock: float) -> LeaseClaim | None:
        view = self.views[shard]
        if not (self.fit or view.serving) or self._is_anothers(shard, clock):
            return None
        claim = rules.claim(view, clock)
        if claim is None:
            return None
        until = int((self._now() + LEASE_SECONDS) * 1000)
        lease = ShardLease(shard=shard, owner=self.me, until_ms=until)
        return LeaseClaim(lease=lease, over=claim.over, seen=claim.seen)

    def _write(self, claims: list[LeaseClaim]) -> Mapping[int, ShardLease | None]:
        asked = [claim.lease.shard for claim in claims]
        try:
            found = self._store.write_leases(claims, self.shards)
        except RegistryError as exc:
            _log.debug("who serves: %s", exc)
            return dict.fromkeys(asked)
        return {shard: found[shard] for shard in asked}
