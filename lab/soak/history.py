"""What was seen of a lab under faults and changes, and what has to be true of it whatever happened: pure.

Times are epoch seconds of one machine's clock. Each check returns one line for each thing that should not have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lab.soak.bounds import BOUNDS, BUSY_SECONDS, NOTHING, SHUT_SECONDS, Bound
from lab.soak.starved import Waited, slowness

# When a client sent a packet that got outside, and the address of the gateway that it came by. A gateway that stood
# still passes on what was sent to it before: it is nobody's owner by that.
Out = tuple[float, str]
_AFTER_SECONDS = 3.0  # a mended fault's end belongs to it


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A fault, or a switch."""

    what: str
    at: float
    mended: float | None = None

    @property
    def bound(self) -> Bound:
        return BOUNDS[self.what]


@dataclass(frozen=True, kw_only=True)
class History:
    """`stays`: when each client should have been served. `shut`: when a client's revocation was acknowledged, or its
    lease ended. `written` and `read`: digests of objects, those acknowledged and those found at the end. `asked` and
    `held`: a peer's state, as acknowledged and as the registry tells it at the end. `waited`: how much the machine's
    processes waited for a processor. `members` and `on_gateways`: public keys, of whom should be served at the end, and
    of who is on each slot's gateway."""

    began: float
    ended: float
    strikes: Sequence[Strike] = ()
    out: Mapping[str, Sequence[Out]] = field(default_factory=dict[str, Sequence[Out]])
    answers: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    stays: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict[str, Sequence[tuple[float, float]]])
    shut: Mapping[str, float] = field(default_factory=dict[str, float])
    written: Mapping[str, str] = field(default_factory=dict[str, str])
    read: Mapping[str, str] = field(default_factory=dict[str, str])
    asked: Mapping[str, str] = field(default_factory=dict[str, str])
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    waited: Sequence[Waited] = ()
    members: frozenset[str] = frozenset()
    on_gateways: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


def safety(history: History) -> tuple[str, ...]:
    """What holds at any moment."""
    return (*two_owners(history), *taken_back(history), *to_and_fro(history), *not_shut(history))


def outcome(history: History) -> tuple[str, ...]:
    """What holds once all is mended."""
    return (*safety(history), *outages(history), *lost(history), *different(history))


def two_owners(history: History) -> tuple[str, ...]:
    """Packets by two gateways, for longer than the old one's gate takes."""
    found: list[str] = []
    for bound, cause, packets in _spans(history):
        if not packets:
            continue
        owner = packets[-1][1]
        since = min(at for at, by, _ in packets if by == owner)
        others = [at for at, by, _ in packets if by != owner]
        if others and (both := max(others) - since) > bound.both:
            found.append(f"after {cause}: two gateways served for {both:.1f} s, at most {bound.both} s are allowed")
    return tuple(found)


def taken_back(history: History) -> tuple[str, ...]:
    """A client whose packets came by a gateway that had lost it."""
    found: list[str] = []
    for bound, cause, packets in _spans(history):
        for client in sorted({who for _, _, who in packets}):
            turns = _turns([(at, by) for at, by, who in packets if who == client], bound.both)
            if len(turns) > 2:
                found.append(f"after {cause}: {client} went {' → '.join(turns)}: taken back")
    return tuple(found)


def to_and_fro(history: History) -> tuple[str, ...]:
    """Who serves changes once for a cause, and not at all without one."""
    found: list[str] = []
    for bound, cause, packets in _spans(history):
        turns = _turns([(at, by) for at, by, _ in packets], bound.both)
        if len(turns) > (2 if bound.moves else 1):
            found.append(f"after {cause}: {' → '.join(turns)} served")
    return tuple(found)


def not_shut(history: History) -> tuple[str, ...]:
    """Packets of a peer that was shut out, later than its gateways need to hear of it."""
    found: list[str] = []
    for client, at in history.shut.items():
        end = at + SHUT_SECONDS * slowness(history.waited, at, at + SHUT_SECONDS)
        for strike in sorted(history.strikes, key=lambda one: one.at):
            if strike.bound.deaf and strike.at <= end:
                end = max(end, (strike.mended or history.ended) + SHUT_SECONDS)
        late = [when for when, _ in history.out.get(client, ()) if when > end]
        if late:
            found.append(
                f"{client}: {len(late)} packets got through, the last {late[-1] - at:.1f} s after it was shut out"
            )
    return tuple(found)


def outages(history: History) -> tuple[str, ...]:
    """A client without an answer for longer than what was broken explains."""
    found: list[str] = []
    for client, stays in history.stays.items():
        answers = history.answers.get(client, ())
        for start, end in stays:
            times = [start, *(at for at in answers if start < at < end), end]
            for earlier, later in pairwise(times):
                bound, cause = _explained(history, earlier, later)
                if later - earlier > (bound + BUSY_SECONDS) * slowness(history.waited, earlier, later):
                    gap = f"{later - earlier:.1f} s without an answer from {earlier - history.began:.1f} s on"
                    found.append(f"{client}: {gap}, {cause} explains {bound} s")
    return tuple(found)


def lost(history: History) -> tuple[str, ...]:
    """What was acknowledged and is not there."""
    objects = [
        f"object {name}: acknowledged, and {'gone' if name not in history.read else 'other bytes are there'}"
        for name, digest in history.written.items() if history.read.get(name) != digest
    ]  # fmt: skip
    peers = [
        f"peer {name}: {state} was acknowledged, the registry says {history.held.get(name, 'nothing')}"
        for name, state in history.asked.items() if history.held.get(name) != state
    ]  # fmt: skip
    return (*objects, *peers)


def different(history: History) -> tuple[str, ...]:
    """Gateways that do not serve just whom the registry names."""
    found: list[str] = []
    for slot, keys in history.on_gateways.items():
        found += [f"gateway {slot} lacks {key[:8]}…" for key in sorted(history.members - keys)]
        found += [f"gateway {slot} still has {key[:8]}…" for key in sorted(keys - history.members)]
    return tuple(found)


def _spans(history: History) -> Iterator[tuple[Bound, str, list[tuple[float, str, str]]]]:
    """From each strike to the next: what it may cost, its name, and all packets in order: when, by whom, whose. Of each
    client the last one before counts as the first."""
    packets = sorted((at, by, who) for who, outs in history.out.items() for at, by in outs)
    strikes = sorted(history.strikes, key=lambda one: one.at)
    starts = [(history.began, NOTHING, "nothing"), *((one.at, one.bound, one.what) for one in strikes)]
    ends = [*(at for at, _, _ in starts[1:]), history.ended + 1]
    last: dict[str, str] = {}
    for (start, bound, what), end in zip(starts, ends, strict=True):
        inside = [packet for packet in packets if start <= packet[0] < end]
        before = {who: last[who] for _, _, who in inside if who in last}
        yield bound, what, [*((start, by, who) for who, by in before.items()), *inside]
        last |= {who: by for _, by, who in inside}


def _turns(packets: Sequence[Out], both: float) -> list[str]:
    """The gateways one after the other; packets of the one before, for a moment after it, are no turn."""
    turns: list[tuple[str, float]] = []
    for at, by in packets:
        if turns and turns[-1][0] == by:
            continue
        if len(turns) > 1 and turns[-2][0] == by and at - turns[-1][1] <= both:
            continue
        turns.append((by, at))
    return [by for by, _ in turns]


def _explained(history: History, start: float, end: float) -> tuple[float, str]:
    causes = [
        (strike.bound.outage, strike.what)
        for strike in history.strikes
        if strike.at <= end and (strike.mended is None or strike.mended + _AFTER_SECONDS >= start)
    ]
    return max(causes, default=(NOTHING.outage, "nothing"))
