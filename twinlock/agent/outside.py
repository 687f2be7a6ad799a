"""Everything outside that a running gateway touches, and how often a thing is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from twinlock.agent.box import Box
from twinlock.agent.channel import Message
from twinlock.agent.chrony import Offset
from twinlock.agent.floating import FloatingAddress
from twinlock.agent.follow import PeerSource
from twinlock.agent.identities import Identities
from twinlock.agent.memory import WayStore
from twinlock.agent.ownership import LeaseStore
from twinlock.agent.preshared import PresharedKeys
from twinlock.agent.report_time import ReportTime
from twinlock.agent.state_file import StateFile
from twinlock.agent.tally import TrafficStore
from twinlock.agent.transfer import Proof
from twinlock.registry.model import GatewayRecord, SwitchWish
from twinlock.registry.rolling import Roll, Rolling


class RunStore(PeerSource, WayStore, TrafficStore, Protocol):
    """The registry, as far as a running gateway goes."""

    def put_gateway(self, record: GatewayRecord) -> None: ...
    def switch_wish(self) -> SwitchWish | None: ...
    def gateways(self, slots: tuple[str, ...]) -> tuple[GatewayRecord, ...]: ...
    def rolling(self, slots: tuple[str, ...]) -> Rolling: ...
    def take_roll(self, roll: Roll, over: Roll | None) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class HealthSources:
    """What a gateway learns its own health from; each raises CloudUnavailable or CommandFailed, or says."""

    transfer: Callable[[tuple[str, ...]], Proof | None]  # given the storage's CIDRs; None: it is not reached by those
    offset: Callable[[], Offset | None]  # of the clock; None: it follows nothing
    free_bytes: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The registry, the box, the twins, the time."""

    registry: RunStore
    leases: LeaseStore  # the same registry, with less patience
    storage_prefixes: Callable[[], tuple[str, ...]]
    box: Box
    identities: Identities
    preshared: PresharedKeys
    state_file: StateFile
    say: Callable[[Message], None]  # to every twin
    listen: Callable[[], Message | None]  # waits for the next
    silences: Callable[[], Iterator[str]]  # keepalived's word; waits for each
    send_raw: Callable[[Iterable[tuple[str, bytes]]], None]  # whole IPv4 packets, and where each goes to
    report_unhealthy: Callable[[str], None]  # given a hung twin's machine
    reported: ReportTime  # when that was last done
    replace_own: Callable[[str], None]  # given this machine
    health: HealthSources | None = None  # None: it never looks
    floating: FloatingAddress | None = None  # None: the environment has none
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic


class Pace:
    """When something was last done, on one clock. Of one thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def is_due(self, what: str, seconds: float) -> bool:
        at = self._last.get(what)
        return at is None or self._clock() - at >= seconds

    def done(self, what: str) -> None:
        self._last[what] = self._clock()
