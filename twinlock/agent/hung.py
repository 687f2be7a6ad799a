"""Which twin's machine is to be replaced, because nothing of it answers any more: pure.

A dead machine is its group's to see. A hung one passes the cloud's status checks, so its twin reports it:

- silent: for a minute its agent said nothing on the pair channel, and its heartbeat in the registry stood still. An
  agent alone that hangs is restarted after 30 s by systemd's watchdog, and a reboot is over by then;
- without a tunnel: for a minute it has said of itself that one is gone. Nothing on it brings one back.

Never when the fault could be the reporter's own: it passes all of its own checks, proof of a transfer and registry
among them, by a look of just now; what it did not watch does not count; and somebody else serves. One clock is used:
the reporter's own monotonic seconds, so that whether its clock has a source does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from twinlock.registry.model import GatewayRecord

HUNG_SECONDS = 60.0
# Between two reports of one reporter: where replacing does not help, machines are not replaced one after the other.
REPORT_SECONDS = 600.0
GAP_SECONDS = 15.0  # between two looks: after a longer one everything counts from anew
NO_MATTER = frozenset({"clock-source"})  # of its own checks
CHECKED_SECONDS = 15.0  # a checkup comes every 3 s, and may take some itself


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of one twin. Times are when something began, None while it is well."""

    slot: str
    instance_id: str
    heartbeat_at: int  # the twin's own time: it only has to change
    unchanged_since: float
    looked_at: float
    silent_since: float | None = None
    broken_since: float | None = None  # it says that a tunnel is gone


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """What the reporter knows of itself."""

    instance_id: str
    failing: frozenset[str] | None  # of its own checks; None: it took no look yet
    checked_at: float
    covered: frozenset[str]  # twins without which somebody serves


@dataclass(frozen=True, kw_only=True)
class Hung:
    slot: str
    instance_id: str
    why: str


def seen(before: Sight | None, record: GatewayRecord, heard: bool, clock: float) -> Sight:
    """After one more look: `record` was read from the registry just now, `heard` is the pair channel's word."""
    silent, broken = not heard, "interfaces" in record.failing
    known = before is not None and before.instance_id == record.instance_id
    if before is None or not known or clock - before.looked_at > GAP_SECONDS:
        return Sight(
            slot=record.slot,
            instance_id=record.instance_id,
            heartbeat_at=record.heartbeat_at,
            unchanged_since=clock,
            looked_at=clock,
            silent_since=clock if silent else None,
            broken_since=clock if broken else None,
        )
    beat = before.heartbeat_at != record.heartbeat_at
    return replace(
        before,
        heartbeat_at=record.heartbeat_at,
        unchanged_since=clock if beat else before.unchanged_since,
        looked_at=clock,
        silent_since=_since(before.silent_since, silent, clock),
        broken_since=_since(before.broken_since, broken, clock),
    )


def hung(sights: Iterable[Sight], own: Reporter, since_report: float, clock: float) -> Hung | None:
    """Who is to be reported now; None: nobody. `since_report` are seconds since this gateway's last report."""
    if since_report < REPORT_SECONDS or own.failing is None or own.failing - NO_MATTER:
        return None
    if clock - own.checked_at > CHECKED_SECONDS:
        return None
    for sight in sights:
        why = _why(sight, clock)
        # A record is its gateway's own to write: never this machine on a twin's word.
        if why and sight.slot in own.covered and sight.instance_id != own.instance_id:
            return Hung(slot=sight.slot, instance_id=sight.instance_id, why=why)
    return None


def _why(sight: Sight, clock: float) -> str:
    if clock - sight.looked_at > GAP_SECONDS:
        return ""
    still = clock - sight.unchanged_since
    if sight.silent_since is not None and min(clock - sight.silent_since, still) >= HUNG_SECONDS:
        return f"nothing heard for {clock - sight.silent_since:.0f} s, no heartbeat for {still:.0f} s"
    # Its word counts only as long as it is said.
    if sight.broken_since is not None and clock - sight.broken_since >= HUNG_SECONDS and still <= GAP_SECONDS:
        return f"it says for {clock - sight.broken_since:.0f} s that a tunnel is gone"
    return ""


def _since(before: float | None, now: bool, clock: float) -> float | None:
    if not now:
        return None
    return clock if before is None else before
