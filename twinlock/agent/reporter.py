"""What a gateway tells the registry of itself: its record, as a heartbeat. The follower's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from twinlock.agent.outside import Outside, Pace
from twinlock.agent.shared import Shared
from twinlock.agent.strays import Stray, told
from twinlock.registry.model import GatewayRecord

HEARTBEAT_SECONDS = 5.0


class Reporter:
    def __init__(self, record: GatewayRecord, outside: Outside, shared: Shared) -> None:
        self._record, self._out, self._shared = record, outside, shared
        self._pace = Pace(outside.clock)
        self._published: Mapping[str, object] = {}
        self._strays: tuple[Stray, ...] = ()

    @property
    def instance_id(self) -> str:
        return self._record.instance_id

    def tell(self, found: Sequence[Stray]) -> None:
        """What was found changed by hand just now."""
        self._strays = told(self._strays, found, self._out.now())

    def renew(self) -> None:
        """There is news that the record's own fields do not show."""
        self._published = {}

    def report(self, applied: Mapping[str, int]) -> None:
        """Heartbeat: every few seconds, and at once when there is news. `applied` are the generations in force."""
        state, want = self._shared.state, self._shared.want
        if state is None or want is None:
            return
        news: dict[str, Any] = {
            "applied": applied,
            "storage_prefixes": state.storage_prefixes,
            "serving": self._shared.serving,
            "strays": tuple(map(str, self._strays)),
            "failing": tuple(sorted(self._shared.failing)),
            "left_out": len(want.refused),
            "phases": self._shared.phases,
            "floating": self._shared.floating(),
            "shards": None if self._shared.own.shards == 1 else tuple(sorted(self._shared.served)),
        }
        if news == self._published and not self._pace.is_due("heartbeat", HEARTBEAT_SECONDS):
            return
        self._record = replace(
            self._out.identities.told(self._record),
            heartbeat_at=int(self._out.now()),
            **news,
            peers=len(want.peers),
            traffic=None if self._shared.traffic is None else asdict(self._shared.traffic[0]),
            shut_out=self._shared.shut_out,
            ways=self._shared.fresh,  # no news by itself: clients come and go all the time
        )
        self._out.registry.put_gateway(self._record)
        self._published = news
        self._pace.done("heartbeat")
