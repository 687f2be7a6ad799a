"""The gateway's life: its threads, and their end.

The main thread serves (serving.py): it waits for no cloud. One thread follows the registry (follower.py) and one asks
it for the lease, where a call may take seconds; two listen to the twins. What they share is in shared.py.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from twinlock.agent.boot import Boot
from twinlock.agent.calls import ALIVE_SECONDS
from twinlock.agent.checkup import FREE_BYTES, Checkup, Looks
from twinlock.agent.errors import CommandFailed
from twinlock.agent.floating import Floating
from twinlock.agent.follower import Follower
from twinlock.agent.interfaces import NAMES
from twinlock.agent.nft import End
from twinlock.agent.notify import notify
from twinlock.agent.outside import Outside
from twinlock.agent.ownership import Ownership, Silent
from twinlock.agent.reporter import Reporter
from twinlock.agent.serving import Serving
from twinlock.agent.shared import Shared
from twinlock.agent.tally import Tally
from twinlock.agent.transfer import Proof
from twinlock.agent.wellness import Wellness
from twinlock.registry.model import GatewayRecord

_log = logging.getLogger(__name__)

_POLL_SECONDS, _FLOW_SECONDS = 1.0, 0.25
_COUNT_SECONDS = 5.0
_RENEW_SECONDS, _ALONE_SECONDS = 1.0, 0.3  # between two questions for the lease
_STUCK_SECONDS = 120.0  # the follower has not come round for so long: let systemd's watchdog end this


class Gateway:
    """One running gateway. `follower` and `server` are its halves; `run` makes them go round."""

    def __init__(self, boot: Boot, record: GatewayRecord, outside: Outside) -> None:
        self._out = outside
        self._stop, self._wake = threading.Event(), threading.Event()
        self._tally = Tally()
        self._failure: BaseException | None = None
        state = outside.state_file.load()
        if state is not None:
            outside.box.know({key: peer for peers in state.peers.values() for key, peer in peers.items()})
        # What is on disk may be old: nobody is called before the registry was asked who serves, or did not answer.
        self.own = Ownership(
            boot.slot,
            tuple(twin.slot for twin in boot.twins),
            outside.leases,
            served=frozenset() if state is None else state.serving,
            shards=boot.shards,
            clock=outside.clock,
            now=outside.now,
        )
        self._shared = Shared(self.own, state)
        self.follower = Follower(boot, outside, self._shared, Reporter(record, outside, self._shared))
        self.checkup = Checkup(self._looks(), self.own.events.put, outside.clock)
        self.floating = None if outside.floating is None else Floating(outside.floating, self._surely, outside.clock)
        if (floating := self.floating) is not None:
            self._shared.floating = lambda: floating.held
        self.server = Serving(
            boot, outside, self._shared, self._wake.set, Wellness(boot.slot, self.checkup.ask, outside.now),
            began=(lambda: None) if self.floating is None else self.floating.wake.set,
        )  # fmt: skip

    def _surely(self) -> bool:
        """In doubt the other gateway may serve, and the floating address is its own then."""
        return self._shared.serving and self.own.gates() == ("open",)

    @property
    def serving(self) -> bool:
        return self._shared.serving

    def ask_once(self) -> None:
        """Asks the registry for the lease; the answer comes as an event."""
        if self._shared.state is not None:
            self.own.ask()

    def run(self) -> None:
        """Until `stop`, or until something fails that a restart has to mend (raised here)."""
        threads = {
            "follower": self._follow_forever,
            "lease": self._ask_forever,
            "channel": self._listen_forever,
            "vrrp": self._hear_forever,
            "flows": self._tell_forever,
            "traffic": self._count_forever,
            **({"floating": lambda: floating.go_on(self._stop)} if (floating := self.floating) else {}),
            **({"checkup": lambda: self.checkup.go_on(self._stop)} if self._out.health else {}),
        }
        for name, work in threads.items():
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True).start()
        while not self._stop.is_set():
            self.server.round()
            if self._out.clock() - self.follower.round_at < _STUCK_SECONDS:
                notify("WATCHDOG=1")
        if self._failure is not None:
            raise self._failure
        self.server.leave()

    def stop(self) -> None:
        self._stop.set()

    def _looks(self) -> Looks:
        shared, out, began = self._shared, self._out, self._out.clock()

        def transfer() -> Proof | None:
            # Nothing passes before the firewall's sets are filled.
            if out.health is None or shared.want is None or shared.state is None:
                return None
            return out.health.transfer(shared.state.storage_prefixes)

        def age() -> float:
            return out.clock() - (began if shared.answered_at is None else shared.answered_at)

        return Looks(
            transfer=transfer,
            offset=lambda: out.health.offset() if out.health else None,
            interfaces=lambda: out.box.wg.interfaces() >= frozenset(NAMES),
            registry_age=age,
            free_bytes=lambda: out.health.free_bytes() if out.health else FREE_BYTES,
        )

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  (a thread's end is the process's end: raised by `run`)
            self._failure = exc
            self._stop.set()

    def _follow_forever(self) -> None:
        ready = False
        while not self._stop.is_set():
            self.follower.follow_once()
            if not ready and self._shared.want is not None:
                notify("READY=1")
                ready = True
            self._stop.wait(_POLL_SECONDS)

    def _ask_forever(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self.ask_once()
            self._wake.wait(_RENEW_SECONDS if self.own.is_calm else _ALONE_SECONDS)

    def _listen_forever(self) -> None:
        while not self._stop.is_set():
            if (message := self._out.listen()) is not None:
                self.own.events.put(message)

    def _tell_forever(self) -> None:
        took = 0.0
        while not self._stop.wait(max(_FLOW_SECONDS, 10 * took)):
            began = self._out.clock()
            try:
                self.server.tell_flows()
            except CommandFailed as exc:  # without it some clients wait for longer, that is all
                _log.warning("connections: %s", exc)
            took = self._out.clock() - began

    def count_once(self) -> None:
        """Reads the firewall's counters; thousands of peers take a second, so no other thread waits for this."""
        want = self._shared.want
        if want is not None:
            holders = {address: want.peers[key].name for address, key in want.addresses.items()}
            self._tally.read(self._out.box.nft.counters, holders)
            self._shared.traffic = self._tally.total, self._tally.pieces()
            self._shared.shut_out = self._out.box.shut_out.count(self._live)

    def _live(self) -> Collection[End]:
        """Where peers are that have a session. Under the lock: between a peer's removal and the state without it, it
        would count as served."""
        with self._shared.lock:
            want = self._shared.want
        return self._out.box.ends(want.peers, since=int(self._out.now() - ALIVE_SECONDS)) if want else ()

    def _count_forever(self) -> None:
        took = 0.0
        while not self._stop.wait(max(_COUNT_SECONDS, 100 * took)):
            began = self._out.clock()
            try:
                self.count_once()
            except CommandFailed as exc:  # the next look finds what this one did not
                _log.warning("counters: %s", exc)
            took = self._out.clock() - began

    def _hear_forever(self) -> None:
        for slot in self._out.silences():
            self.own.events.put(Silent(slot=slot))
