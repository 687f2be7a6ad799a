"""Who serves, changed on purpose: the wish goes through the registry, the gateways settle it between themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twinlock.cli.cloud import Environment
from twinlock.cli.health import GatewayHealth
from twinlock.registry.errors import Refused, Unavailable
from twinlock.registry.model import SwitchWish

Look = Callable[[Environment], tuple[GatewayHealth, ...]]
_LOOK_SECONDS = 0.2


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


def switch(environment: Environment, to: str, look: Look, timeout: float) -> float:
    """Seconds until `to` said that it serves."""
    began = time.monotonic()
    environment.registry.ask_switch(SwitchWish(to=to, asked_ms=int(time.time() * 1000)))
    while time.monotonic() - began < timeout:
        if any(one.slot == to and one.record is not None and one.record.serving for one in look(environment)):
            return time.monotonic() - began
        time.sleep(_LOOK_SECONDS)
    raise Unavailable(f"gateway {to} does not serve after {timeout:.0f} s: `twinlock gateway list` shows who does")
