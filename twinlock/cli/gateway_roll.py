"""Replacing gateways one slot after the other by hand: the same rules and the same lease as gateways' own rolling."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from twinlock.cli.cloud import Environment
from twinlock.registry.errors import Refused, Unavailable
from twinlock.registry.health import GatewayHealth
from twinlock.registry.rolling import Rolling, check_may_go, check_ways, taken, unsettled

Look = Callable[[Environment], tuple[GatewayHealth, ...]]


def roll_order(found: Sequence[GatewayHealth], only: str | None) -> tuple[str, ...]:
    """The standby ones first, so that who serves moves once. Raises Refused if there is no such slot."""
    if only is not None and only not in {one.slot for one in found}:
        raise Refused(f"there is no slot {only}; there are: {', '.join(one.slot for one in found)}")
    ordered = sorted(found, key=lambda one: (one.record is not None and one.record.serving, one.slot))
    return tuple(one.slot for one in ordered if only in (None, one.slot))


def replace_gateway(
    environment: Environment, slot: str, look: Look, timeout: float | None, *, force: bool = False
) -> str | None:
    """Ends the slot's machine; with a timeout in seconds, waits for its successor and returns its instance id."""
    found = look(environment)
    rolling = environment.registry.rolling(one.slot for one in found)
    old = check_may_go(found, slot, rolling)
    if not force:
        check_ways(found, slot)
    roll = taken(rolling, slot, old, time.time())
    if not environment.registry.take_roll(roll, rolling.roll):
        raise Refused(f"gateway {slot} stays: another one is being replaced since just now")
    try:
        environment.terminate(slot, old)
    except Refused:
        # That machine stays: the lease is as it was, or nobody's.
        environment.registry.take_roll(rolling.roll or replace(roll, instance_id=""), roll)
        raise
    if timeout is None:
        return None
    until, now = time.monotonic() + timeout, Rolling(roll=roll)
    why: str | None = "not there yet"
    while time.monotonic() < until:
        found = look(environment)
        if (why := unsettled(found, now)) is None:
            return next(one.record.instance_id for one in found if one.slot == slot and one.record is not None)
        time.sleep(1.0)
    raise Unavailable(f"after {timeout:.0f} s: {why}: see its console")
