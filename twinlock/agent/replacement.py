"""The watch over twins that hang, and the report to the cloud. The follower's thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from twinlock.agent.hung import Reporter, Sight, hung, seen
from twinlock.agent.outside import Outside
from twinlock.agent.shared import Shared
from twinlock.registry.model import GatewayRecord

_log = logging.getLogger(__name__)


class Replacement:
    def __init__(self, instance_id: str, shared: Shared, outside: Outside) -> None:
        self._instance_id, self._shared, self._out = instance_id, shared, outside
        self._sights: dict[str, Sight] = {}

    def look(self, records: Iterable[GatewayRecord]) -> None:
        """`records`: the twins', read just now. Raises CloudUnavailable or CommandFailed."""
        clock, heard = self._out.clock(), self._shared.own.heard
        self._sights = {
            record.slot: seen(self._sights.get(record.slot), record, record.slot in heard, clock) for record in records
        }
        found = hung(self._sights.values(), self._own(), self._out.reported.age(), clock)
        if found is None:
            return
        self._out.reported.done()
        _log.warning("gateway %s: %s: its machine is to be replaced", found.slot, found.why)
        self._out.report_unhealthy(found.instance_id)
        _log.info("gateway %s: instance %s is reported as unhealthy", found.slot, found.instance_id)

    def _own(self) -> Reporter:
        own, checked = self._shared.own, self._shared.checked_at
        serving, everybody = own.twins_serving, own.twins
        return Reporter(
            instance_id=self._instance_id,
            failing=None if checked is None else frozenset(self._shared.failing),
            checked_at=0.0 if checked is None else checked,
            # Without a twin that serves itself there has to be another one that does.
            covered=everybody if own.serving else everybody - serving if serving else frozenset(),
        )
