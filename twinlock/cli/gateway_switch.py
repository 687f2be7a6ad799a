"""Who serves, changed on purpose: the wish goes through the registry, the gateways settle it between themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twinlock.cli.cloud import Environment
from twinlock.registry.errors import Refused, Unavailable
from twinlock.registry.health import GatewayHealth
from twinlock.registry.model import SwitchWish

Look = Callable[[Environment], tuple[GatewayHealth, ...]]
SWITCH_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_WAYS_SECONDS = 1.0  # gateways say how many ways they have every 5 s


def switch_target(found: Sequence[GatewayHealth], to: str | None, away_from: str | None = None) -> str | None:
    """The slot that is to serve; None if it does already. Refused if it is not well."""
    slots = {one.slot: one for one in found}
    for name in (to, away_from):
        if name is not None and name not in slots:
            raise Refused(f"there is no slot {name}: the environment has {', '.join(slots)}")
    serving = next((one.slot for one in found if one.record is not None and one.record.serving), None)
    if (to is not None and to == serving) or (away_from is not None and away_from != serving):
        return None
    well = [one.slot for one in found if one.problem is None and one.slot != serving]
    if to is not None and to not in well:
        raise Refused(f"gateway {to} is not well ({slots[to].problem}): nothing was changed")
    if not well:
        raise Refused("no other gateway is well: nothing was changed")
    return to or well[0]


def lacking_ways(found: Sequence[GatewayHealth], to: str) -> str | None:
    """Why clients would be lost if `to` served now: fewer hold a way to it than to who serves. None if none would be.

    An agent that can't say how many (of an older version) is not waited for.
    """
    ways = {one.slot: one.record.ways for one in found if one.record is not None}
    serving = next((one.slot for one in found if one.record is not None and one.record.serving), None)
    have, want = ways.get(to), None if serving is None else ways.get(serving)
    if have is None or want is None or have >= want:
        return None
    return f"clients with a way to gateway {to}: {have}, to gateway {serving}: {want}"


def await_ways(
    look: Callable[[], Sequence[GatewayHealth]],
    to: str,
    timeout: float,
    tell: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Until as many clients have a way to `to` as to who serves; `tell` hears each change. Raises Refused."""
    until, told = clock() + timeout, None
    while (why := lacking_ways(look(), to)) is not None:
        if clock() >= until:
            raise Refused(f"{why}, for {timeout:.0f} s: nothing was changed; --force switches all the same")
        if why != told:
            tell(why)
            told = why
        sleep(_WAYS_SECONDS)


def switch(environment: Environment, to: str, look: Look, timeout: float) -> float:
    """Seconds until `to` said that it serves."""
    began = time.monotonic()
    environment.registry.ask_switch(SwitchWish(to=to, asked_ms=int(time.time() * 1000)))
    while time.monotonic() - began < timeout:
        if any(one.slot == to and one.record is not None and one.record.serving for one in look(environment)):
            return time.monotonic() - began
        time.sleep(_LOOK_SECONDS)
    raise Unavailable(f"gateway {to} does not serve after {timeout:.0f} s: `twinlock gateway list` shows who does")
