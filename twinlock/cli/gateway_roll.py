"""Replacing gateways one slot after the other, never while the twin is not well."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twinlock.cli.cloud import Environment
from twinlock.cli.health import GatewayHealth
from twinlock.registry.errors import Refused, Unavailable

Look = Callable[[Environment], tuple[GatewayHealth, ...]]


def roll_order(found: Sequence[GatewayHealth], only: str | None) -> tuple[str, ...]:
    """The standby ones first, so that who serves moves once. Raises Refused if there is no such slot."""
    if only is not None and only not in {one.slot for one in found}:
        raise Refused(f"there is no slot {only}; there are: {', '.join(one.slot for one in found)}")
    ordered = sorted(found, key=lambda one: (one.record is not None and one.record.serving, one.slot))
    return tuple(one.slot for one in ordered if only in (None, one.slot))


def check_may_go(found: Sequence[GatewayHealth], slot: str) -> str:
    """The instance that may be ended. Raises Refused unless all the others, at least one, are well."""
    others = [one for one in found if one.slot != slot]
    if not others:
        raise Refused(f"gateway {slot} has no twin: nobody would serve meanwhile")
    for other in others:
        if other.problem is not None:
            raise Refused(f"gateway {slot} stays: its twin {other.slot} is not well ({other.problem})")
    record = next(one.record for one in found if one.slot == slot)
    if record is None:
        raise Refused(f"gateway {slot} never registered: see its group's activity and its console")
    return record.instance_id


def replace_gateway(environment: Environment, slot: str, look: Look, timeout: float | None) -> str | None:
    """Ends the slot's machine; with a timeout in seconds, waits for its successor and returns its instance id."""
    old = check_may_go(look(environment), slot)
    environment.terminate(old)
    if timeout is None:
        return None
    until, problem = time.monotonic() + timeout, "not there yet"
    while time.monotonic() < until:
        now = next(one for one in look(environment) if one.slot == slot)
        if now.record is not None and now.record.instance_id != old:
            if now.problem is None:
                return now.record.instance_id
            problem = now.problem
        time.sleep(1.0)
    raise Unavailable(f"gateway {slot}'s successor is not well after {timeout:.0f} s ({problem}): see its console")
