"""The serving gateway's work for clients that hold but one peer: the main thread's, as serving.py is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice

from twinlock.agent.boot import Boot
from twinlock.agent.interfaces import SERVICE
from twinlock.agent.outside import Outside
from twinlock.agent.rotation import carrying
from twinlock.agent.shared import Shared
from twinlock.agent.single import CALL_SECONDS, SingleBook
from twinlock.agent.wg import TunnelPeer

_log = logging.getLogger(__name__)

_MOST = 2000  # peers at once: the gate is renewed in between


class SingleService:
    def __init__(self, boot: Boot, outside: Outside, shared: Shared) -> None:
        self._out, self._shared = outside, shared
        self.book = SingleBook(boot.slot)
        self.next_at = float("inf")  # when `beat` has something to do, on the clock

    def begin(self) -> None:
        """This gateway serves from now on."""
        want = self._shared.want
        self.book.begin(want.peers if want else {}, self._out.clock())
        self.next_at = self._out.clock()

    def beat(self) -> None:
        """Calls who is still to be called, as soon as the floating address is here."""
        began = self._out.clock()
        if began < self.next_at:
            return
        if not self._shared.serving or not self.book.is_waiting(began):
            self.book.end()
            self.next_at = float("inf")
            return
        with self._shared.lock:
            want = self._shared.want
            if want is not None and self._shared.own.gates() == ("open",):
                service = self._out.box.wg.peers(SERVICE)
                calls = self.book.due(carrying(want, {}, service), service, self._out.clock())
                self._out.box.call_single(calls)
        took = self._out.clock() - began
        self.next_at = began + max(CALL_SECONDS, 4 * took)

    def look(self, service: Mapping[str, TunnelPeer], way: Mapping[str, TunnelPeer]) -> None:
        """After a look at the interfaces: everybody may knock, and the twins are told who did."""
        if not self._shared.serving:
            return
        self._let_knock(service, way)
        for said in self.book.news(service, way, self._out.clock(), self._out.now()):
            self._out.say(said)

    def _let_knock(self, service: Mapping[str, TunnelPeer], way: Mapping[str, TunnelPeer]) -> None:
        box = self._out.box
        with self._shared.lock:
            want = self._shared.want
            if want is None or not self._shared.serving:
                return
            carriers = carrying(want, way, service)
            for old, new in want.rotating.items():
                if old not in carriers and new in service and not service[new].allowed_ips:
                    box.carry_over(old, new, want.peers[new].address)
            waiting = {new for old, new in want.rotating.items() if old in carriers}
            lacking = islice((key for key in carriers if not box.wg.is_on(SERVICE, key)), _MOST)
            box.let_knock({key: None if key in waiting else carriers[key].address for key in lacking})
