"""What somebody changed on the box by hand: told in the gateway's record for a day, and put right. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from twinlock.agent.changes import Changes
from twinlock.agent.desired import Desired

TOLD_SECONDS = 86_400  # longer than a nightly look at drift is apart
_MOST = 20  # lines: the record is one small item


@dataclass(frozen=True, kw_only=True)
class Stray:
    """`at` in epoch seconds, when it was seen and put right."""

    at: int
    text: str

    def __str__(self) -> str:
        return f"{self.text}, put right {datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def strays(mends: Changes, want: Desired, now: float) -> tuple[Stray, ...]:
    """One for each of `mends`, which would make the box what it was made and should still be."""
    unknown = "unknown peer {} on the {}"
    found = [unknown.format(_short(key), "way") for key in mends.way_remove]
    for key in mends.service_remove:
        known = want.peers.get(key)
        found.append(
            unknown.format(_short(key), "service")
            if known is None
            else f"different addresses of peer {known.name} of tenant {known.tenant} on the service"
        )
    lacking = (want.peers[key] for key in mends.way_add)
    found += [f"missing peer {peer.name} of tenant {peer.tenant} on the way" for peer in lacking]
    found += [f"unknown address {address} let through" for address in mends.cut]
    found += [f"missing address {address}, which is not let through" for address in mends.admit]
    return tuple(Stray(at=int(now), text=text) for text in found)


def told(before: Sequence[Stray], fresh: Sequence[Stray], now: float) -> tuple[Stray, ...]:
    """The newest, none older than a day."""
    recent = [stray for stray in before if now - stray.at < TOLD_SECONDS]
    return (*recent, *fresh)[-_MOST:]


def _short(public_key: str) -> str:
    return f"{public_key[:8]}…"
