"""The follower's thread: keeps up with the registry and makes the box equal to it. A call may take seconds here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from twinlock.agent.boot import Boot
from twinlock.agent.channel import Ways
from twinlock.agent.desired import advanced, desired
from twinlock.agent.errors import CloudUnavailable, CommandFailed
from twinlock.agent.follow import Names, follow, read_in_full
from twinlock.agent.memory import WayMemory
from twinlock.agent.outside import Outside, Pace
from twinlock.agent.ownership import HandOver
from twinlock.agent.pair import join, pair_peers
from twinlock.agent.replacement import Replacement
from twinlock.agent.reporter import HEARTBEAT_SECONDS, Reporter
from twinlock.agent.rolling import OwnRoll
from twinlock.agent.shared import Shared
from twinlock.agent.state import LastState
from twinlock.agent.strays import strays
from twinlock.agent.tally import TrafficMemory
from twinlock.registry.errors import RegistryError
from twinlock.registry.model import SwitchWish

_log = logging.getLogger(__name__)

_JOIN_SECONDS, _WAYS_SECONDS = 0.5, 5.0
_COMPARE_SECONDS = 30.0
_FULL_SECONDS, _PREFIX_SECONDS, _DEFINITION_SECONDS = 300.0, 300.0, 15.0


class Follower:
    """`follow_once` is its turn."""

    def __init__(self, boot: Boot, outside: Outside, shared: Shared, reporter: Reporter) -> None:
        self._boot, self._out, self._shared, self._reporter = boot, outside, shared, reporter
        self._own = shared.own
        self._names = Names()
        self._pace = Pace(outside.clock)
        self._replacement = Replacement(reporter.instance_id, shared, outside)
        self._roll = OwnRoll(boot, reporter.instance_id, shared, outside)
        self._memory = WayMemory(boot.slot, outside.registry, outside.clock)
        self._traffic = TrafficMemory(boot.slot, outside.registry, outside.clock)
        self._saved = shared.state
        self._wish: SwitchWish | None = None
        self._wish_known = False
        self._refused: tuple[str, ...] = ()
        self._trouble = ""
        self._applied: dict[str, int] = {}
        self.round_at = outside.clock()  # when it last came round

    def follow_once(self) -> None:
        """One look at the registry and what follows from it; without the registry, what the last state asks for."""
        steps = (
            ("registry", self._read),
            ("pre-shared keys", self._unlock),
            # First who may come in: EC2's model alone takes longer to load than the peers.
            ("box", self._reconcile),
            ("ways", self._recall),
            ("storage prefixes", self._read_prefixes),
            ("rotations", self._out.identities.read),
            ("identities", self._rotate),
            ("box", self._reconcile),
            ("strays", self._compare),
            ("state", self._save),
            ("switch", self._read_switch),
            ("heartbeat", lambda: self._reporter.report(self._applied)),
            ("twins", self._join),
            ("rolling update", self._roll.look),
            ("ways", self._keep),
            ("traffic", self._keep_traffic),
        )
        trouble = "; ".join(filter(None, [_attempt(what, step) for what, step in steps]))
        if trouble != self._trouble:
            _log.warning("%s", trouble) if trouble else _log.info("all is well again")
            self._trouble = trouble
        self.round_at = self._out.clock()

    def _read(self) -> None:
        registry, state = self._out.registry, self._shared.state
        if state is None or self._pace.is_due("full", _FULL_SECONDS) or self._definition_changed(state):
            self._shared.state = read_in_full(registry, state)
            self._names.learn(self._shared.state)
            self._pace.done("full")
            self._pace.done("definition")
        else:
            self._shared.state = follow(registry, state, self._names)
        self._shared.answered_at = self._out.clock()

    def _unlock(self) -> None:
        if self._shared.state is not None:
            self._shared.state = self._out.preshared.unlocked(self._shared.state)
            self._out.preshared.check()

    def _definition_changed(self, state: LastState) -> bool:
        if not self._pace.is_due("definition", _DEFINITION_SECONDS):
            return False
        self._pace.done("definition")
        return self._out.registry.definition() != state.definition

    def _read_prefixes(self) -> None:
        state = self._shared.state
        if state is None:
            return
        # Without prefixes nobody reaches storage: ask again soon, else every few minutes.
        if not self._pace.is_due("prefixes", _PREFIX_SECONDS if state.storage_prefixes else HEARTBEAT_SECONDS):
            return
        self._pace.done("prefixes")
        found = self._out.storage_prefixes()
        if found != state.storage_prefixes:
            self._shared.state = replace(state, storage_prefixes=found)

    def _reconcile(self) -> None:
        shared, state = self._shared, self._shared.state
        if state is None or self._is_settled(state):
            return
        with shared.lock:
            before, was = shared.want, shared.want_of
        now, slot = self._out.now(), self._boot.slot
        looks = self._pace.is_due("look", _FULL_SECONDS)
        if looks or before is None or was is None:
            want = desired(state, now, slot)
        else:
            want = advanced(before, was, state, now, slot)
        for line in sorted(set(want.refused) - set(self._refused)):
            _log.warning("%s", line)
        self._refused = want.refused
        with shared.lock:
            if looks:
                self._out.box.look()
                self._pace.done("look")
            changes = self._out.box.reconcile(want)
            shared.want, shared.want_of = want, state
        if changes:
            reach = "changed" if changes.reach else "same"
            _log.info("applied: %d admitted, %d cut, reach %s", len(changes.admit), len(changes.cut), reach)
        self._applied = dict(state.generations)
        self._save()

    def _is_settled(self, state: LastState) -> bool:
        """Nothing new, nobody has expired, the box is known: thousands of peers need not be compared each second."""
        want = self._shared.want
        return (
            want is not None
            and self._shared.want_of is state
            and self._out.now() < want.until
            and self._out.box.is_known
            and not self._pace.is_due("look", _FULL_SECONDS)
        )

    def _rotate(self) -> None:
        """Other identities are another box: look at it anew, and tell it."""
        want = self._shared.want
        if want is not None and self._out.identities.apply(want.peers, self._shared.lock):
            with self._shared.lock:
                self._out.box.look()
            self._reporter.renew()

    def _compare(self) -> None:
        """What somebody changed on the box by hand is put right, and told."""
        shared, box = self._shared, self._out.box
        want = shared.want
        if want is None or not box.is_known or not self._pace.is_due("compare", _COMPARE_SECONDS):
            return
        self._pace.done("compare")
        # Read beside the thread that calls: a call takes peers away for a moment, and none of those is a stray.
        found = strays(box.mends(want), want, self._out.now())
        if found:
            with shared.lock:
                box.look()
                box.reconcile(want)
        for stray in found:
            _log.warning("%s", stray)
        self._reporter.tell(found)

    def _save(self) -> None:
        shared = self._shared
        if shared.state is None:
            return
        serving = shared.served
        if self._own.is_asked and shared.state.serving != serving:
            shared.state = replace(shared.state, serving=serving)
        if shared.state is not self._saved:
            self._out.state_file.save(shared.state)
            self._saved = shared.state

    def _join(self) -> None:
        """Twins' keys: a new instance has a new one. Looked for more often while a twin is silent."""
        if self._own.is_calm and not self._pace.is_due("join", HEARTBEAT_SECONDS):
            return
        if not self._pace.is_due("join", _JOIN_SECONDS):
            return
        self._pace.done("join")
        records = self._out.registry.gateways(tuple(twin.slot for twin in self._boot.twins))
        self._replacement.look(records)
        join(self._out.box.wg, pair_peers(self._boot, records))

    def _recall(self) -> None:
        """Once: where the ways of the gateway before this one were. The main thread calls those that are not open."""
        want, slot = self._shared.want, self._boot.slot
        if want is not None and not self._memory.is_recalled:
            ends = self._memory.recall(want.peers)
            _log.info("%d ways are remembered", len(ends))
            self._own.events.put(Ways(slot=slot, of=slot, ends=ends))

    def _keep(self) -> None:
        if self._shared.ends is not None and self._pace.is_due("ways", _WAYS_SECONDS):
            self._pace.done("ways")
            self._memory.keep(self._shared.ends)

    def _keep_traffic(self) -> None:
        if self._shared.traffic is not None:
            self._traffic.keep(self._shared.traffic[1])

    def _read_switch(self) -> None:
        """A switch that was asked for since the last look; what is there at the start was meant for another time."""
        wish = self._out.registry.switch_wish()
        if self._wish_known and wish is not None and wish != self._wish:
            _log.info("asked to switch to gateway %s", wish.to)
            self._own.events.put(HandOver(to=wish.to, shards=frozenset(wish.shards)))
        self._wish, self._wish_known = wish, True


def _attempt(what: str, step: Callable[[], None]) -> str:
    """Empty, or what went wrong. Only what may pass by itself is caught; unreadable state ends the agent."""
    try:
        step()
    except (RegistryError, CloudUnavailable, CommandFailed) as exc:
        return f"{what}: {exc}"
    return ""
