"""The serving half, the main thread's: it takes events, keeps the gate, calls clients and lets them go.

It waits for no cloud: whatever may take seconds is another thread's, and comes as an event.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Collection, Mapping, Sequence

from twinlock.agent.boot import Boot, shards_of
from twinlock.agent.calls import CONTESTED_SECONDS, Call, CallBook
from twinlock.agent.channel import Flows, Health, Singles, Ways
from twinlock.agent.checkup import Checked
from twinlock.agent.desired import Desired, advanced
from twinlock.agent.errors import CommandFailed
from twinlock.agent.flows import Flow, FlowMemory, FlowTeller, parse_flows, question
from twinlock.agent.fresh import FreshWays
from twinlock.agent.gate import set_gate
from twinlock.agent.interfaces import SERVICE, WAY
from twinlock.agent.journal import numbers
from twinlock.agent.outside import Outside
from twinlock.agent.ownership import HandOver, Mail
from twinlock.agent.phases import Phases
from twinlock.agent.rotation import carrying
from twinlock.agent.shared import Shared
from twinlock.agent.single_service import SingleService
from twinlock.agent.ways import WayBook
from twinlock.agent.wellness import Wellness
from twinlock.agent.wg import SetPeer, TunnelPeer
from twinlock.registry.shards import numbers_text

_log = logging.getLogger(__name__)

_BEAT_SECONDS = 0.2
_LOOK_SECONDS, _IDLE_SECONDS = 1.5, 1.0
# Where nothing happens, looks find who roamed, and no more: so many peers a second are read for that.
_IDLE_PEERS, _IDLE_MOST_SECONDS = 6_000, 10.0
# After a takeover: clients are asked for the connections that they lost, some time to be called allowed for.
_ASK_SECONDS = (0.2, 0.8, 1.6, 3.0)


class Serving:
    """`turn` takes what happened, `beat` is what is done several times a second."""

    def __init__(
        self,
        boot: Boot,
        outside: Outside,
        shared: Shared,
        wake: Callable[[], None],
        wellness: Wellness,
        began: Callable[[], None] = lambda: None,
    ) -> None:
        self._boot, self._out, self._shared, self._own = boot, outside, shared, shared.own
        self._wake = wake  # the registry is to be asked for the lease at once
        self._wellness = wellness
        self._began = began  # the floating address is to be taken at once
        self._single = SingleService(boot, outside, shared) if outside.floating else None
        self._shards = shards_of(boot)
        self._books = {shard: CallBook() for shard in self._shards.all}
        self._ways, self._fresh = WayBook(boot.slot), FreshWays()
        self._teller, self._flows = FlowTeller(boot.slot), FlowMemory()
        self._phases = Phases()
        self._begun = frozenset[int]()  # shards, at the last taking
        self._orphans: tuple[Flow, ...] = ()
        self._ask_at: list[float] = []
        self._look_until = self._look_at = self._look_again = self._beat_at = 0.0
        self._may_hold_clients = frozenset(self._shards.all)  # of which shards: an agent before this one called some

    def round(self) -> None:
        """Until the next beat at the latest."""
        until = self._beat_at if self._single is None else min(self._beat_at, self._single.next_at)
        self.careful(lambda: self.turn(max(0.0, until - self._out.clock())))
        if self._single is not None:
            self.careful(self._single.beat)
        began = self._out.clock()
        if began >= self._beat_at:
            self._beat_at = began + _BEAT_SECONDS
            self.careful(self.beat)
            self.careful(self._expire)

    def careful(self, step: Callable[[], None]) -> None:
        """A gateway whose own commands fail hands over, if there is a twin, and takes nothing until they work."""
        try:
            step()
        except CommandFailed as exc:
            if self._own.fit:
                _log.warning("not fit to serve: %s", exc)
            self._own.fit = False
            if self._own.serving:
                self._own.events.put(HandOver())

    def turn(self, wait: float = 0.0) -> None:
        """Takes the events that are there, or the first one within `wait` seconds, and does what follows."""
        self._take(self._next(wait))
        while not self._own.events.empty():
            self._take(self._next(0.0))
        if self._own.has_word:
            self._wake()
        serving = self._own.serving
        if lost := frozenset(s for s in self._may_hold_clients - serving if self._own.views[s].lease is not None):
            self._let_go(lost)
        if begun := serving - self._shared.served:
            self._begin(begun)

    def beat(self) -> None:
        """The twins are told and the gate is kept; ways are looked at when something happened."""
        self._out.say(self._own.word())
        self._end_orphans()
        clock = self._out.clock()
        if (health := self._wellness.message()) is not None:
            self._out.say(health)
        if slot := self._wellness.successor(self._own.heard, bool(self._own.serving), clock):
            self._own.events.put(HandOver(to=slot))
        if set_gate(self._out.box.nft, self._own.gates()):
            self._look_until = max(self._look_until, clock + _LOOK_SECONDS)
        if clock >= self._look_at:
            rest = self._look()
            # Looking at tens of thousands of ways takes a while: never most of the time.
            took = self._out.clock() - clock
            self._look_at = self._out.clock() + max(4 * took, 0.0 if clock < self._look_until else rest)
            self._look_again = self._out.clock() + 4 * took
        elif clock < self._look_until:
            self._look_at = self._look_again

    def tell_flows(self) -> None:
        """The twins are told which connections clients have. Of a thread of its own: there may be very many."""
        if self._shared.serving and (addresses := self._addresses()):
            flows = parse_flows(self._out.box.conntrack.established(), addresses)
            flows = {flow for flow in flows if self._shards.of(flow.client) in self._shared.served}
            for said in self._teller.news(flows, self._out.clock()):
                self._out.say(said)

    def call_once(self) -> int:
        """Calls every client that is due, if this gateway serves; the number of them."""
        return self._call(self._out.box.wg.peers(WAY), self._out.box.wg.peers(SERVICE))

    def expire_once(self) -> int:
        """Shuts out whom the clock has ended, also while the registry does not answer; 1 if somebody was."""
        shared = self._shared
        with shared.lock:
            if shared.want is None or shared.want_of is None or self._out.now() < shared.want.until:
                return 0
            want = advanced(shared.want, shared.want_of, shared.want_of, self._out.now(), self._boot.slot)
            self._out.box.reconcile(want)
            shared.want = want
        return 1

    def leave(self) -> None:
        """Stopped in order: a twin that is there goes on at once."""
        self._own.events.put(HandOver())
        was = self._shared.serving
        self.careful(self.turn)
        if was and not self._shared.serving:
            self._out.say(self._own.word())

    def _expire(self) -> None:
        self.expire_once()

    def _next(self, wait: float) -> Mail | None:
        try:
            return self._own.events.get(timeout=wait) if wait > 0 else self._own.events.get_nowait()
        except queue.Empty:
            return None

    def _take(self, event: Mail | None) -> None:
        if isinstance(event, Health):
            self._wellness.hear(event)
            return
        if isinstance(event, Checked):
            self._wellness.check(event)
            self._shared.failing = event.failing
            self._shared.checked_at = self._out.clock()
            return
        if isinstance(event, Ways):
            self._ways.hear(event)
            self._look_soon()
            return
        if isinstance(event, Singles):
            if self._single is not None:
                self._single.book.hear(event, self._out.clock())
            return
        if isinstance(event, Flows):
            self._flows.hear(event, self._out.clock())
            return
        # After each event: who fell silent and spoke again within one turn has to be told where its ways are, too.
        heard, calm = self._own.heard, self._own.is_calm
        self._own.turn(event)
        if calm and not self._own.is_calm:
            # An owner may have lost its clients just now: the sooner it knows, the sooner it stops pulling them back.
            self._wake()
        for slot in self._own.heard - heard:
            _log.info("gateway %s: heard", slot)
            self._ways.returned(slot)
            if self._single is not None:
                self._single.book.returned()
            self._look_soon()

    def _look_soon(self) -> None:
        """With the next beat: somebody waits for ways to be told or called."""
        self._look_until = max(self._look_until, self._out.clock() + _BEAT_SECONDS)
        self._look_at = min(self._look_at, self._look_again)

    def _look(self) -> float:
        """Seconds until the next look, if nothing happens before."""
        want = self._shared.want  # first: whom it names has a way by then
        # Both, also where this gateway stands by: an interface that is gone fails here.
        way, service = self._out.box.wg.peers(WAY), self._out.box.wg.peers(SERVICE)
        opened = {key: peer for key, peer in way.items() if peer.handshake}  # of all peers, who ever came
        self._own.fit = True
        self._out.box.follow_ends(service)
        self._note_answer(service)
        called = self._call(opened, service)
        if self._single is not None:
            self._single.look(service, way)
        self._out.identities.settle(want.peers if want else {})
        now = self._out.now()
        if want is not None:
            self._ways.learn(want.peers)
            if self._single is not None:
                self._single.book.learn(want.peers, self._out.clock())
        self._shared.ends = self._ways.ends(opened, now)
        self._shared.fresh = self._fresh.count(opened, self._out.clock(), now)
        remembered, news = self._ways.calls(way, now), self._ways.news(opened, now)
        self._call_remembered(remembered)
        for ways in news:
            self._out.say(ways)
        # Who holds but one peer shows itself to a look alone; what a look found to do may not have been all of it.
        if self._single is not None or called or remembered or news:
            return _IDLE_SECONDS
        return min(max(_IDLE_SECONDS, (len(way) + len(service)) / _IDLE_PEERS), _IDLE_MOST_SECONDS)

    def _note_answer(self, service: Mapping[str, TunnelPeer]) -> None:
        shard_of = self._out.box.shard_of
        somebody = any(peer.handshake and shard_of(peer) in self._begun for peer in service.values())
        if (took := self._phases.answered(somebody, self._out.clock())) is not None:
            self._shared.phases = self._phases.told
            _log.info("the first client answered after %d ms", took["answers_ms"], extra=numbers("answer", took))

    def _call_remembered(self, calls: Sequence[SetPeer]) -> None:
        """Ways that were open once. `wg set` would bring back whom the follower has removed since the look."""
        with self._shared.lock:
            want = self._shared.want
            known = [call for call in calls if want is not None and call.public_key in want.peers]
            self._out.box.wg.set_peers(WAY, known)

    def _call(self, way: Mapping[str, TunnelPeer], service: Mapping[str, TunnelPeer]) -> int:
        return self._call_of(self._shared.served, way, service)

    def _call_of(
        self, shards: Collection[int], way: Mapping[str, TunnelPeer], service: Mapping[str, TunnelPeer]
    ) -> int:
        calls: list[Call] = []
        with self._shared.lock:
            want, gates = self._shared.want, self._own.gates()
            # In doubt nobody is called: a call would end the very sessions that the clients vouch for.
            sure = [shard for shard in shards if gates[shard] != "doubt"]
            if want is None or not sure:
                return 0
            peers, silent = carrying(want, way, service), list[str]()
            ways, services = self._by_shard(want, way), self._by_shard(want, service)
            for shard in sure:
                clock, now = self._out.clock(), self._out.now()
                calls += self._books[shard].due(peers, ways.get(shard, {}), service, clock, now)
                silent += self._books[shard].nudges(services.get(shard, {}), clock)
            self._out.box.call(calls)
            called = {call.public_key for call in calls}
            self._out.box.nudge([key for key in silent if key in want.peers and key not in called])
        for call in calls:
            _log.info("called %s… at %s", call.public_key[:8], call.endpoint)
        return len(calls)

    def _by_shard(self, want: Desired, some: Mapping[str, TunnelPeer]) -> dict[int, Mapping[str, TunnelPeer]]:
        """Of whoever is served; with one shard nobody is looked at."""
        if self._shards.count == 1:
            return {0: some}
        found: dict[int, dict[str, TunnelPeer]] = {}
        for key, peer in some.items():
            if (served := want.peers.get(key)) is not None:
                found.setdefault(self._shards.of(served.address), {})[key] = peer
        return dict(found)

    def _end_orphans(self) -> None:
        """Who only waits for bytes of a connection that ended with its gateway hears so."""
        if self._ask_at and self._out.clock() >= self._ask_at[0] and self._shared.serving:
            del self._ask_at[0]
            self._out.send_raw((flow.client, question(flow)) for flow in self._orphans)

    def _addresses(self) -> Collection[str]:
        want = self._shared.want
        return want.addresses if want else ()

    def _begin(self, shards: frozenset[int]) -> None:
        """The gate first, then every client of these that has a way is called."""
        began = self._out.clock()
        with self._shared.lock:
            for shard in shards:
                self._books[shard].begin(began)
            self._shared.served |= shards
            self._may_hold_clients |= shards
            self._begun = shards
        set_gate(self._out.box.nft, self._own.gates())
        self._began()
        called = self._call_of(shards, self._out.box.wg.peers(WAY), {})  # none of them is on the service yet
        if self._single is not None:
            self._single.begin()
        ended = self._out.clock()
        self._look_until = ended + CONTESTED_SECONDS
        addresses, left = self._addresses(), self._orphans if self._ask_at else ()
        lost = self._flows.take(lambda client: client in addresses and self._shards.of(client) in shards, began)
        self._orphans = (*left, *lost)
        self._ask_at = [began + seconds for seconds in _ASK_SECONDS] if self._orphans else []
        self._out.say(self._own.word())
        self._note_taking(shards, began, ended, called)

    def _note_taking(self, shards: frozenset[int], began: float, ended: float, called: int) -> None:
        cause, self._own.cause = self._own.cause, None
        took = self._phases.took(cause, began, ended, called, self._out.now())
        self._shared.phases = self._phases.told
        event = "start" if cause is None else "switch" if cause.switch else "takeover"
        _log.info(
            "serving %s: called %d clients in %d ms", _named(shards), called, took["calls_ms"],
            extra=numbers(event, took),
        )  # fmt: skip

    def _let_go(self, shards: frozenset[int]) -> None:
        """First the gate, which is as good as silence; then the next one is told; if a step fails, all again."""
        began, served = self._out.clock(), self._shared.served & shards
        self._shared.served -= shards
        set_gate(self._out.box.nft, self._own.gates())
        self._out.say(self._own.word())
        with self._shared.lock:
            gone = self._out.box.let_go(shards)
            self._may_hold_clients -= shards
        if not served:  # it only made sure, after a start
            _log.info("let go of %s: %d clients", _named(shards), gone)
            return
        took = self._phases.let_go(began, self._out.clock(), self._out.now())
        self._shared.phases = self._phases.told
        _log.info(
            "let go of %s: %d clients in %d ms", _named(shards), gone, took["let_go_ms"],
            extra=numbers("let-go", took),
        )  # fmt: skip


def _named(shards: Collection[int]) -> str:
    return f"shard{'' if len(shards) == 1 else 's'} {numbers_text(shards)}"
