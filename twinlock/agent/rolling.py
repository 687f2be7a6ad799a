"""A gateway's own part in a rolling update: it asks its group for a new machine in its place. The follower's thread.

The rules are twinlock/registry/rolling.py's, and the command's too; here they are given what this gateway sees.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import assert_never

from twinlock.agent.boot import Boot
from twinlock.agent.outside import Outside, Pace
from twinlock.agent.ownership import HandOver
from twinlock.agent.shared import Shared
from twinlock.registry.health import GatewayHealth, health
from twinlock.registry.model import GatewayRecord
from twinlock.registry.rolling import Drain, Go, Rest, Rolling, Served, Step, Take, next_step

_log = logging.getLogger(__name__)

REST_SECONDS, LOOK_SECONDS = 15.0, 2.0  # between looks: while there is nothing to do, and else
AGAIN_SECONDS = 60.0  # a group or a twin that was asked is not asked again before


class OwnRoll:
    def __init__(self, boot: Boot, instance_id: str, shared: Shared, outside: Outside) -> None:
        self._slot, self._instance_id, self._shared, self._out = boot.slot, instance_id, shared, outside
        self._template, self._slots = boot.template, boot.slots
        self._pace = Pace(outside.clock)
        self._outdated = False
        self._why = ""

    def look(self) -> None:
        """Raises CloudUnavailable or RegistryError."""
        state, pause = self._shared.state, LOOK_SECONDS if self._outdated else REST_SECONDS
        if state is None or not self._template or not self._pace.is_due("look", pause):
            return
        self._pace.done("look")
        rolling = self._out.registry.rolling(self._slots)
        launch = rolling.launches.get(self._slot)
        self._outdated = launch is not None and launch.template != self._template
        mine = rolling.roll is not None and rolling.roll.instance_id == self._instance_id
        if self._outdated or mine:
            found = health(
                state.definition, self._out.registry.gateways(self._slots), state.generations, self._out.now()
            )
            self._take(self._next(found, rolling), rolling)

    def _next(self, found: tuple[GatewayHealth, ...], rolling: Rolling) -> Step:
        me = self._me(found)
        if me is None:
            return Rest(why="another machine is registered for this slot")
        return next_step(me, found, rolling, self._shared.own.heard, self._served(), self._out.now())

    def _me(self, found: tuple[GatewayHealth, ...]) -> GatewayRecord | None:
        for one in found:
            if one.record is not None and one.record.instance_id == self._instance_id:
                # What this machine was booted from it knows itself.
                return replace(one.record, template=self._template)
        return None

    def _served(self) -> Served:
        own = self._shared.own
        if own.serving or self._shared.serving:
            return "here"
        served = all(any(twin.heard and twin.serving for twin in view.twins.values()) for view in own.views)
        return "elsewhere" if served else "nowhere"

    def _take(self, step: Step, rolling: Rolling) -> None:
        match step:
            case Rest(why=why):
                if why != self._why:
                    _log.info("outdated, and waits: %s", why)
                self._why = why
                return
            case Take(roll=roll):
                if self._out.registry.take_roll(roll, rolling.roll):
                    told = (
                        "is the one that is replaced now" if roll.instance_id else "stays: it is not outdated any more"
                    )
                    _log.info("rolling update: this machine %s", told)
            case Drain():
                self._drain()
            case Go():
                self._replace()
            case _:
                assert_never(step)
        self._why = ""

    def _drain(self) -> None:
        if self._pace.is_due("drain", AGAIN_SECONDS):
            self._pace.done("drain")
            _log.info("outdated: handing over what it serves")
            self._shared.own.events.put(HandOver())

    def _replace(self) -> None:
        if self._pace.is_due("replace", AGAIN_SECONDS):
            self._pace.done("replace")
            _log.info("outdated: asking the group for a new machine in place of %s", self._instance_id)
            self._out.replace_own(self._instance_id)
