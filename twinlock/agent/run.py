"""The gateway's life: keep up with the registry, and call the clients while it serves.

The main thread takes one event after the other, keeps the gate and calls clients several times a second: it waits for
no cloud. One thread follows the registry and one asks it for the lease, where a call may take seconds; two listen to
the twins. What they share is the queue of events, and the box and the last state behind one lock.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from twinlock.agent.boot import Boot
from twinlock.agent.box import Box
from twinlock.agent.calls import CallBook
from twinlock.agent.channel import Message, Ways
from twinlock.agent.desired import Desired, desired
from twinlock.agent.errors import CloudUnavailable, CommandFailed
from twinlock.agent.follow import PeerSource, follow, read_in_full
from twinlock.agent.gate import set_gate
from twinlock.agent.identities import Identities
from twinlock.agent.interfaces import SERVICE, WAY
from twinlock.agent.notify import notify
from twinlock.agent.ownership import SHARD, Event, HandOver, LeaseStore, Ownership, Silent
from twinlock.agent.pair import join, pair_peers
from twinlock.agent.rotation import carrying
from twinlock.agent.state import LastState, load, save
from twinlock.agent.ways import WayBook
from twinlock.agent.wg import TunnelPeer
from twinlock.registry.errors import RegistryError
from twinlock.registry.model import GatewayRecord, SwitchWish

_log = logging.getLogger(__name__)

_POLL_SECONDS, _CALL_SECONDS, _HEARTBEAT_SECONDS = 1.0, 0.2, 5.0
_RENEW_SECONDS, _ALONE_SECONDS = 1.0, 0.3  # between two questions for the lease
_LOOK_SECONDS, _IDLE_SECONDS, _JOIN_SECONDS = 1.5, 1.0, 1.0
_FULL_SECONDS, _PREFIX_SECONDS, _DEFINITION_SECONDS = 300.0, 300.0, 15.0
_STUCK_SECONDS = 120.0  # the follower has not come round for so long: let systemd's watchdog end this


class RunStore(PeerSource, Protocol):
    """The registry, as far as a running gateway goes."""

    def put_gateway(self, record: GatewayRecord) -> None: ...
    def switch_wish(self) -> SwitchWish | None: ...
    def gateways(self, slots: tuple[str, ...]) -> tuple[GatewayRecord, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Everything outside that a running gateway touches."""

    registry: RunStore
    leases: LeaseStore  # the same registry, with less patience
    storage_prefixes: Callable[[], tuple[str, ...]]
    box: Box
    identities: Identities
    state_file: Path
    say: Callable[[Message], None]  # to every twin
    listen: Callable[[], Message | None]  # waits for the next
    silences: Callable[[], Iterator[str]]  # keepalived's word; waits for each
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic


class Gateway:
    """One running gateway. `follow_once` and `call_once` are its two turns; `run` makes them go round."""

    def __init__(self, boot: Boot, record: GatewayRecord, outside: Outside) -> None:
        self._boot, self._record, self._out = boot, record, outside
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._book = CallBook()
        self._ways = WayBook(boot.slot)
        self._look_until = self._look_at = self._look_again = 0.0
        self._state: LastState | None = load(outside.state_file)
        self._saved = self._state
        self._want: Desired | None = None
        self._want_of: LastState | None = None
        # What is on disk may be old: nobody is called before the registry was asked who serves, or did not answer.
        self._own = Ownership(
            boot.slot,
            tuple(twin.slot for twin in boot.twins),
            outside.leases,
            served=self._state is not None and self._state.serving,
            clock=outside.clock,
            now=outside.now,
        )
        self._serving = False
        self._wake = threading.Event()
        self._beat_at = 0.0
        self._wish: SwitchWish | None = None
        self._wish_known = False
        self._may_hold_clients = True  # those that an agent before this one called
        self._last: dict[str, float] = {}
        self._refused: tuple[str, ...] = ()
        self._trouble = ""
        self._round_at = outside.clock()
        self._failure: BaseException | None = None
        self._applied: dict[str, int] = {}
        self._published: tuple[object, ...] = ()

    @property
    def serving(self) -> bool:
        return self._serving

    def follow_once(self) -> None:
        """One look at the registry and what follows from it; without the registry, what the last state asks for."""
        steps = (
            ("registry", self._read),
            # First who may come in: EC2's model alone takes longer to load than the peers.
            ("box", self._reconcile),
            ("storage prefixes", self._read_prefixes),
            ("rotations", self._out.identities.read),
            ("identities", self._rotate),
            ("box", self._reconcile),
            ("state", self._save),
            ("switch", self._read_switch),
            ("heartbeat", self._report),
            ("twins", self._join),
        )
        trouble = "; ".join(filter(None, [self._attempt(what, step) for what, step in steps]))
        if trouble != self._trouble:
            _log.warning("%s", trouble) if trouble else _log.info("all is well again")
            self._trouble = trouble
        self._round_at = self._out.clock()

    def expire_once(self) -> int:
        """Shuts out whom the clock has ended, also while the registry does not answer; 1 if somebody was."""
        with self._lock:
            if self._want is None or self._want_of is None or self._out.now() < self._want.until:
                return 0
            want = desired(self._want_of, self._out.now(), self._boot.slot)
            self._out.box.reconcile(want)
            self._want = want
        return 1

    def call_once(self) -> int:
        """Calls every client that is due, if this gateway serves; the number of them."""
        return self._call(self._out.box.wg.peers(WAY), self._out.box.wg.peers(SERVICE))

    def _call(self, way: Mapping[str, TunnelPeer], service: Mapping[str, TunnelPeer]) -> int:
        with self._lock:
            # In doubt nobody is called: a call would end the very sessions that the clients vouch for.
            if not self._serving or self._want is None or self._own.gate() == "doubt":
                return 0
            clients = carrying(self._want, way)
            calls = self._book.due(clients, way, service, self._out.clock(), self._out.now())
            self._out.box.call(calls)
        for call in calls:
            _log.info("called %s… at %s", call.public_key[:8], call.endpoint)
        return len(calls)

    def ask_once(self) -> None:
        """Asks the registry for the lease; the answer comes as an event."""
        if self._state is not None:
            self._own.ask()

    def turn(self, wait: float = 0.0) -> None:
        """Takes the events that are there, or the first one within `wait` seconds, and does what follows."""
        self._take(self._next(wait))
        while not self._own.events.empty():
            self._take(self._next(0.0))
        view = self._own.view
        if view.word:
            self._wake.set()
        if view.serving and not self._serving:
            self._begin()
        elif not view.serving and self._may_hold_clients and view.lease is not None:
            self._let_go()

    def _take(self, event: Event | Ways | None) -> None:
        if isinstance(event, Ways):
            self._ways.learn(event, self._want.peers if self._want else ())
            return
        # After each event: who fell silent and spoke again within one turn has to be told where its ways are, too.
        heard = self._own.heard
        self._own.turn(event)
        for slot in self._own.heard - heard:
            _log.info("gateway %s: heard", slot)
            self._ways.returned(slot)

    def beat(self) -> None:
        """Every 0.2 s: the twins are told and the gate is kept; ways are looked at when something happened."""
        self._out.say(self._own.word())
        clock = self._out.clock()
        if set_gate(self._out.box.nft, self._own.gate()):
            self._look_until = clock + _LOOK_SECONDS
        if clock >= self._look_at:
            self._look()
            # Looking at tens of thousands of ways takes a while: never most of the time.
            took = self._out.clock() - clock
            busy = clock < self._look_until
            self._look_at = self._out.clock() + max(4 * took, 0.0 if busy else _IDLE_SECONDS)
            self._look_again = self._out.clock() + 4 * took
        elif clock < self._look_until:
            self._look_at = self._look_again

    def _look(self) -> None:
        # Both, also where this gateway stands by: an interface that is gone fails here.
        way, service = self._out.box.wg.peers(WAY), self._out.box.wg.peers(SERVICE)
        self._own.fit = True
        self._call(way, service)
        self._out.identities.settle(self._want.peers if self._want else {})
        now = self._out.now()
        self._out.box.wg.set_peers(WAY, self._ways.calls(way, now))
        for ways in self._ways.news(way, now):
            self._out.say(ways)

    def run(self) -> None:
        """Until `stop`, or until something fails that a restart has to mend (raised here)."""
        threads = {
            "follower": self._follow_forever,
            "lease": self._ask_forever,
            "channel": self._listen_forever,
            "vrrp": self._hear_forever,
        }
        for name, work in threads.items():
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True).start()
        while not self._stop.is_set():
            self._round()
            if self._out.clock() - self._round_at < _STUCK_SECONDS:
                notify("WATCHDOG=1")
        if self._failure is not None:
            raise self._failure
        self._leave()

    def _round(self) -> None:
        self._careful(lambda: self.turn(max(0.0, self._beat_at - self._out.clock())))
        began = self._out.clock()
        if began >= self._beat_at:
            self._beat_at = began + _CALL_SECONDS
            self._careful(self.beat)
            self._careful(self._expire)

    def _expire(self) -> None:
        self.expire_once()

    def _careful(self, step: Callable[[], None]) -> None:
        """A gateway whose own commands fail hands over, if there is a twin, and takes nothing until they work."""
        try:
            step()
        except CommandFailed as exc:
            if self._own.fit:
                _log.warning("not fit to serve: %s", exc)
            self._own.fit = False
            for slot in self._own.heard if self._own.view.serving else ():
                self._own.events.put(HandOver(to=slot))

    def _leave(self) -> None:
        """Stopped in order: a twin that is there goes on at once."""
        for twin in self._boot.twins:
            self._own.events.put(HandOver(to=twin.slot))
        was = self._serving
        self._careful(self.turn)
        if was and not self._serving:
            self._out.say(self._own.word())

    def _next(self, wait: float) -> Event | Ways | None:
        try:
            return self._own.events.get(timeout=wait) if wait > 0 else self._own.events.get_nowait()
        except queue.Empty:
            return None

    def stop(self) -> None:
        self._stop.set()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  (a thread's end is the process's end: raised by `run`)
            self._failure = exc
            self._stop.set()

    def _follow_forever(self) -> None:
        ready = False
        while not self._stop.is_set():
            self.follow_once()
            if not ready and self._want is not None:
                notify("READY=1")
                ready = True
            self._stop.wait(_POLL_SECONDS)

    def _ask_forever(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.ask_once()
            self._wake.wait(_RENEW_SECONDS if self._own.is_calm else _ALONE_SECONDS)

    def _listen_forever(self) -> None:
        while True:
            if (message := self._out.listen()) is not None:
                self._own.events.put(message)

    def _hear_forever(self) -> None:
        for slot in self._out.silences():
            self._own.events.put(Silent(slot=slot))

    def _attempt(self, what: str, step: Callable[[], None]) -> str:
        """Empty, or what went wrong. Only what may pass by itself is caught; unreadable state ends the agent."""
        try:
            step()
        except (RegistryError, CloudUnavailable, CommandFailed) as exc:
            return f"{what}: {exc}"
        return ""

    def _is_time(self, what: str, seconds: float) -> bool:
        at = self._last.get(what)
        return at is None or self._out.clock() - at >= seconds

    def _done(self, what: str) -> None:
        self._last[what] = self._out.clock()

    def _read(self) -> None:
        registry = self._out.registry
        if self._state is None or self._is_time("full", _FULL_SECONDS) or self._definition_changed():
            self._state = read_in_full(registry, self._state)
            self._done("full")
            self._done("definition")
        else:
            self._state = follow(registry, self._state)

    def _definition_changed(self) -> bool:
        if not self._is_time("definition", _DEFINITION_SECONDS):
            return False
        self._done("definition")
        return self._state is None or self._out.registry.definition() != self._state.definition

    def _read_prefixes(self) -> None:
        # Without prefixes nobody reaches storage: ask again soon, else every few minutes.
        if self._state is None:
            return
        wait = _PREFIX_SECONDS if self._state.storage_prefixes else _HEARTBEAT_SECONDS
        if not self._is_time("prefixes", wait):
            return
        self._done("prefixes")
        found = self._out.storage_prefixes()
        if found != self._state.storage_prefixes:
            self._state = replace(self._state, storage_prefixes=found)

    def _reconcile(self) -> None:
        if self._state is None or self._is_settled(self._state):
            return
        want = desired(self._state, self._out.now(), self._boot.slot)
        for line in sorted(set(want.refused) - set(self._refused)):
            _log.warning("%s", line)
        self._refused = want.refused
        with self._lock:
            if self._is_time("look", _FULL_SECONDS):
                self._out.box.look()
                self._done("look")
            changes = self._out.box.reconcile(want)
            self._want, self._want_of = want, self._state
        if changes:
            _log.info(
                "applied: %d admitted, %d cut, reach %s",
                len(changes.admit),
                len(changes.cut),
                "changed" if changes.reach else "same",
            )
        self._applied = dict(self._state.generations)
        self._save()

    def _rotate(self) -> None:
        """Other identities are another box: look at it anew, and tell it."""
        if self._want is not None and self._out.identities.apply(self._want.peers):
            with self._lock:
                self._out.box.look()
            self._published = ()

    def _is_settled(self, state: LastState) -> bool:
        """Nothing new, nobody has expired, the box is known: thousands of peers need not be compared each second."""
        return (
            self._want is not None
            and self._want_of is state
            and self._out.now() < self._want.until
            and self._out.box.is_known
            and not self._is_time("look", _FULL_SECONDS)
        )

    def _begin(self) -> None:
        """The gate first, then every client that has a way is called."""
        began = self._out.clock()
        with self._lock:
            self._book.forget()
            self._serving = self._may_hold_clients = True
        set_gate(self._out.box.nft, self._own.gate())
        called = self._call(self._out.box.wg.peers(WAY), {})  # nobody is on the service yet
        self._look_until = self._out.clock() + _LOOK_SECONDS
        self._out.say(self._own.word())
        _log.info("serving shard %d: called %d clients in %.0f ms", SHARD, called, (self._out.clock() - began) * 1000)

    def _let_go(self) -> None:
        """First the gate, which is as good as silence; then the next one is told; if a step fails, all again."""
        self._serving = False
        set_gate(self._out.box.nft, "shut")
        self._out.say(self._own.word())
        with self._lock:
            gone = self._out.box.let_go()
            self._may_hold_clients = False
        _log.info("let go of shard %d: %d clients", SHARD, gone)

    def _save(self) -> None:
        if self._state is None:
            return
        if self._own.view.lease is not None and self._state.serving != self._serving:
            self._state = replace(self._state, serving=self._serving)
        if self._state is not self._saved:
            save(self._state, self._out.state_file)
            self._saved = self._state

    def _report(self) -> None:
        """Heartbeat: every few seconds, and at once when there is news."""
        if self._state is None or self._want is None:
            return
        news = (self._applied, self._state.storage_prefixes, self._serving)
        if news == self._published and not self._is_time("heartbeat", _HEARTBEAT_SECONDS):
            return
        self._record = replace(
            self._out.identities.told(self._record),
            heartbeat_at=int(self._out.now()),
            applied=news[0],
            storage_prefixes=news[1],
            serving=news[2],
        )
        self._out.registry.put_gateway(self._record)
        self._published = news
        self._done("heartbeat")

    def _join(self) -> None:
        """Twins' keys: a new instance has a new one. Looked for more often while a twin is silent."""
        if self._own.is_calm and not self._is_time("join", _HEARTBEAT_SECONDS):
            return
        if not self._is_time("join", _JOIN_SECONDS / 2):
            return
        self._done("join")
        records = self._out.registry.gateways(tuple(twin.slot for twin in self._boot.twins))
        join(self._out.box.wg, pair_peers(self._boot, records))

    def _read_switch(self) -> None:
        """A switch that was asked for since the last look; what is there at the start was meant for another time."""
        wish = self._out.registry.switch_wish()
        if self._wish_known and wish is not None and wish != self._wish:
            _log.info("asked to switch to gateway %s", wish.to)
            self._own.events.put(HandOver(to=wish.to))
        self._wish, self._wish_known = wish, True
