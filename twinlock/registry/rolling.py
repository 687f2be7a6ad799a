"""Which gateway may be replaced by a new machine now, one after the other: pure, for gateways and for the command.

`pulumi up` changes what a slot's group launches and says so in the registry: the template's digest. A gateway that was
booted from another one is outdated. The registry holds one *rolling lease*: whose machine is being replaced. It never
runs out: only a gateway that came back well, and with its ways, frees it, so that a template that does not boot takes
one gateway and no second one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from twinlock.registry.errors import Refused
from twinlock.registry.health import GatewayHealth
from twinlock.registry.model import GatewayRecord

STOPPED_SECONDS = 300  # a successor that is not back by then is told as one that does not come
_MINUTES = 24 * 60


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a slot's group launches, as the deployer wrote it."""

    slot: str
    template: str  # its digest
    rolling: str  # "automatic", "manual", or a window such as "22:00-04:00" (UTC)


@dataclass(frozen=True, kw_only=True)
class Roll:
    """The rolling lease: the last machine that was to be replaced."""

    slot: str
    instance_id: str  # of the machine that goes; empty: it was given back
    at: int  # when it was taken, epoch seconds of its taker's clock: to be told, never compared
    # Slot -> the template that its last replacement was for.
    tried: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """What the registry holds of all this."""

    launches: Mapping[str, Launch] = field(default_factory=dict[str, Launch])  # by slot
    roll: Roll | None = None

    def is_outdated(self, record: GatewayRecord) -> bool:
        launch = self.launches.get(record.slot)
        return launch is not None and launch.template != record.template


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Nothing to do; `why` it waits, if it would."""

    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Take:
    """The rolling lease is to be taken, or given back."""

    roll: Roll


@dataclass(frozen=True)
class Drain:
    """What it serves is to be handed over first."""


@dataclass(frozen=True)
class Go:
    """Its group is to be asked for its replacement."""


Step = Rest | Take | Drain | Go
Served = Literal["here", "elsewhere", "nowhere"]


def next_step(
    me: GatewayRecord,
    found: Sequence[GatewayHealth],
    rolling: Rolling,
    heard: frozenset[str],
    served: Served,
    now: float,
) -> Step:
    """What the gateway `me` does for its own replacement. `found`: all slots' gateways; `heard`: twins on the pair
    channel; `served`: by whom, as this gateway sees it; `now`: epoch seconds."""
    launch, roll = rolling.launches.get(me.slot), rolling.roll
    mine = roll is not None and roll.instance_id == me.instance_id
    if launch is None or not rolling.is_outdated(me):
        # What it was to be replaced for was taken back. (Somebody who replaces it by hand tries its own template.)
        if mine and roll is not None and roll.tried.get(me.slot) not in (None, me.template):
            return Take(roll=replace(roll, instance_id=""))
        return Rest()
    if not mine and not is_open(launch.rolling, now):
        return Rest(why=f"gateway.rolling is {launch.rolling}")
    if not mine and roll is not None and roll.tried.get(me.slot) == launch.template:
        return Rest(why="it was replaced for this template already, and its successor is of another one all the same")
    try:
        check_may_go(found, me.slot, rolling)
        check_ways(found, me.slot)
    except Refused as exc:
        return Rest(why=str(exc))
    if silent := sorted({one.slot for one in found} - heard - {me.slot}):
        return Rest(why=f"gateway {silent[0]} is not heard on the pair channel")
    if not mine and me.serving and (other := _standby_first(found, me.slot, rolling)):
        return Rest(why=f"gateway {other} goes first: it serves nobody")
    if not mine:
        return Take(roll=taken(rolling, me.slot, me.instance_id, now))
    match served:
        case "here":
            return Drain()
        case "elsewhere":
            return Go()
        case "nowhere":
            return Rest(why="nobody serves yet")


def _standby_first(found: Sequence[GatewayHealth], slot: str, rolling: Rolling) -> str | None:
    """An outdated gateway that serves nobody and may go: then who serves moves once. One of before gateways did this by
    themselves is not waited for."""
    tried: Mapping[str, str] = {} if rolling.roll is None else rolling.roll.tried
    for one in found:
        record = one.record
        if one.slot == slot or record is None or record.serving or not record.template:
            continue
        if not rolling.is_outdated(record) or tried.get(one.slot) == rolling.launches[one.slot].template:
            continue
        with suppress(Refused):
            check_may_go(found, one.slot, rolling)
            check_ways(found, one.slot)
            return one.slot
    return None


def taken(rolling: Rolling, slot: str, instance_id: str, now: float) -> Roll:
    """The lease as it is to be written by whoever replaces that machine."""
    tried = dict(rolling.roll.tried) if rolling.roll is not None else {}
    launch = rolling.launches.get(slot)
    return Roll(
        slot=slot,
        instance_id=instance_id,
        at=int(now),
        tried=tried if launch is None else {**tried, slot: launch.template},
    )


def check_may_go(found: Sequence[GatewayHealth], slot: str, rolling: Rolling) -> str:
    """The instance that may be ended. Raises Refused unless all the others, at least one, are well and none of them is
    being replaced."""
    others = [one for one in found if one.slot != slot]
    if not others:
        raise Refused(f"gateway {slot} has no twin: nobody would serve meanwhile")
    for other in others:
        if other.problem is not None:
            raise Refused(f"gateway {slot} stays: its twin {other.slot} is not well ({other.problem})")
    if rolling.roll is not None and rolling.roll.slot != slot and (why := unsettled(found, rolling)) is not None:
        raise Refused(f"gateway {slot} stays: {why}")
    record = next(one.record for one in found if one.slot == slot)
    if record is None:
        raise Refused(f"gateway {slot} never registered: see its group's activity and its console")
    return record.instance_id


def check_ways(found: Sequence[GatewayHealth], slot: str) -> None:
    """Raises Refused unless as many clients hold a way to each of the others: who has none is lost when it goes."""
    ways = {one.slot: one.record.ways for one in found if one.record is not None}
    want = ways.get(slot)
    for other, have in ways.items():
        if other != slot and want is not None and have is not None and have < want:
            raise Refused(
                f"gateway {slot} stays: clients with a way to gateway {other}: {have}, to gateway {slot}: {want}"
            )


def unsettled(found: Sequence[GatewayHealth], rolling: Rolling) -> str | None:
    """Why the machine that was to be replaced last is not through with it; None: the next may go."""
    roll = rolling.roll
    one = None if roll is None else next((one for one in found if one.slot == roll.slot), None)
    if roll is None or one is None or not roll.instance_id:  # never, for a slot that is no more, or given back
        return None
    if one.record is None or one.record.instance_id == roll.instance_id:
        what = "its machine is still there" if one.problem is None else "its successor has not registered"
        return f"gateway {roll.slot} is being replaced, and {what}"
    if one.problem is not None:
        return f"gateway {roll.slot} was replaced, and its successor is not well ({one.problem})"
    return None


def is_open(rolling: str, now: float) -> bool:
    """Whether gateways may replace themselves at that time (epoch seconds)."""
    if rolling in ("automatic", "manual"):
        return rolling == "automatic"
    try:
        first, last = ((int(at[:2]) * 60 + int(at[3:])) % _MINUTES for at in rolling.split("-"))
    except ValueError:  # of a newer program
        return False
    minute = int(now // 60) % _MINUTES
    return first <= minute < last if first < last else minute >= first or minute < last


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a rolling update is."""

    outdated: tuple[str, ...]  # slots whose gateway is not of the template that its group launches
    slot: str | None  # whose machine is being replaced now
    seconds: int  # since when
    why: str | None  # it is not through
    stopped: bool  # it takes so long that somebody has to look


def progress(found: Sequence[GatewayHealth], rolling: Rolling, now: float) -> Progress:
    outdated = tuple(one.slot for one in found if one.record is not None and rolling.is_outdated(one.record))
    why = unsettled(found, rolling)
    roll = rolling.roll if why is not None else None
    seconds = 0 if roll is None else max(0, int(now - roll.at))
    return Progress(
        outdated=outdated,
        slot=None if roll is None else roll.slot,
        seconds=seconds,
        why=why,
        stopped=seconds >= STOPPED_SECONDS,
    )
