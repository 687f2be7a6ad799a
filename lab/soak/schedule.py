"""Schedules of faults and changes: drawn by Hypothesis for a seed, played, and made shorter where one fails.

What may come next depends on what came before alone, never on what the lab made of it: so a seed is a schedule, and one
with steps left out is one too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from lab.calls import Nat
from lab.soak.bounds import BOUNDS

Kind = Literal[
    "gateway fails", "gateway mended", "cloud fails", "cloud mended", "switch", "join", "revoke", "rotate", "wait"
]  # fmt: skip
Role = Literal["gateway", "cloud"]  # one fault of each may be there at a time
CLOUD = ("api-down", "api-slow", "partition-registry")
GATEWAY = tuple(what for what in BOUNDS if what not in (*CLOUD, "switch"))
NATS: tuple[Nat, ...] = ("none", "port-restricted", "symmetric")
VISITORS = 3
TTL_SECONDS = 45
_DRAWS = 8


@dataclass(frozen=True, kw_only=True)
class Step:
    kind: Kind
    what: str = ""  # the fault, or what stands before a client
    number: int = 0  # seconds before, of a wait or a mending; a lease's seconds; which visitor

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.what, str(self.number or ""))))


class Acts(Protocol):
    """What a schedule does (episode.py)."""

    def strike(self, what: str, role: Role) -> None: ...
    def mend(self, role: Role) -> None: ...
    def wait(self, seconds: float) -> None: ...
    def join(self, nat: Nat, ttl: int | None) -> None: ...
    def revoke(self, which: int) -> None: ...
    def rotate(self, which: int) -> None: ...
    def check(self) -> None: ...


def play(steps: Sequence[Step], acts: Acts) -> None:
    for step in steps:
        match step.kind:
            case "gateway fails" | "cloud fails":
                acts.strike(step.what, "gateway" if step.kind == "gateway fails" else "cloud")
            case "gateway mended" | "cloud mended":
                acts.wait(step.number)
                acts.mend("gateway" if step.kind == "gateway mended" else "cloud")
            case "switch":
                acts.strike("switch", "gateway")
                acts.mend("gateway")
            case "wait":
                acts.wait(step.number)
            case "join":
                acts.join(cast(Nat, step.what), step.number or None)
            case "revoke":
                acts.revoke(step.number)
            case "rotate":
                acts.rotate(step.number)
        acts.check()


def allows(before: Sequence[Step], kind: Kind) -> bool:
    """New peers and keys come where all is well alone, because they are there at once; and nobody who is broken is
    switched, or broken once more in the same way."""
    kinds = [step.kind for step in before]
    gateway = kinds.count("gateway fails") > kinds.count("gateway mended")
    cloud = kinds.count("cloud fails") > kinds.count("cloud mended")
    visitors = kinds.count("join") - kinds.count("revoke")
    match kind:
        case "gateway fails":
            return not gateway
        case "cloud fails" | "switch":
            return not gateway and not cloud
        case "gateway mended":
            return gateway
        case "cloud mended":
            return cloud
        case "join":
            return not gateway and not cloud and visitors < VISITORS
        case "rotate":
            return not gateway and not cloud and visitors > 0
        case "revoke":
            return visitors > 0
        case "wait":
            return True


def is_one(steps: Sequence[Step]) -> bool:
    return all(allows(steps[:number], step.kind) for number, step in enumerate(steps))


class _Drawn(RuleBasedStateMachine):
    """Does nothing but draw."""

    kept: list[tuple[Step, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def _add(self, kind: Kind, what: str = "", number: int = 0) -> None:
        self.steps.append(Step(kind=kind, what=what, number=number))

    @precondition(lambda self: allows(self.steps, "gateway fails"))
    @rule(what=st.sampled_from(GATEWAY))
    def a_gateway_fails(self, what: str) -> None:
        self._add("gateway fails", what)

    @precondition(lambda self: allows(self.steps, "switch"))
    @rule()
    def somebody_switches(self) -> None:
        self._add("switch")

    @precondition(lambda self: allows(self.steps, "gateway mended"))
    @rule(after=st.sampled_from((2, 6, 15)))
    def the_gateway_is_mended(self, after: int) -> None:
        self._add("gateway mended", number=after)

    @precondition(lambda self: allows(self.steps, "cloud fails"))
    @rule(what=st.sampled_from(CLOUD))
    def the_cloud_fails(self, what: str) -> None:
        self._add("cloud fails", what)

    @precondition(lambda self: allows(self.steps, "cloud mended"))
    @rule(after=st.sampled_from((2, 6)))
    def the_cloud_is_mended(self, after: int) -> None:
        self._add("cloud mended", number=after)

    @precondition(lambda self: allows(self.steps, "join"))
    @rule(nat=st.sampled_from(NATS), ttl=st.sampled_from((0, TTL_SECONDS)))
    def a_peer_joins(self, nat: Nat, ttl: int) -> None:
        self._add("join", nat, ttl)

    @precondition(lambda self: allows(self.steps, "revoke"))
    @rule(which=st.integers(0, VISITORS - 1))
    def a_peer_is_revoked(self, which: int) -> None:
        self._add("revoke", number=which)

    @precondition(lambda self: allows(self.steps, "rotate"))
    @rule(which=st.integers(0, VISITORS - 1))
    def a_peer_gets_a_new_key(self, which: int) -> None:
        self._add("rotate", number=which)

    @rule(seconds=st.sampled_from((1, 3, 8)))
    def nothing_happens(self, seconds: int) -> None:
        self._add("wait", number=seconds)

    def teardown(self) -> None:
        self.kept.append(tuple(self.steps))


def draw(number: int, most: int) -> tuple[Step, ...]:
    """The schedule of this seed, of `most` steps at most."""
    kept: list[tuple[Step, ...]] = []
    machine = cast(Any, type("Drawn", (_Drawn,), {"kept": kept}))
    seed(number)(machine)
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        machine,
        settings=settings(
            max_examples=_DRAWS, stateful_step_count=most, deadline=None, database=None, phases=(Phase.generate,),
            suppress_health_check=(HealthCheck.too_slow,),
        ),
    )  # fmt: skip
    return max(kept[1:], key=_rich)  # the first is always the plainest


def _rich(steps: Sequence[Step]) -> tuple[int, int]:
    return len({(step.kind, step.what) for step in steps}), len(steps)


def shorter(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool]) -> tuple[Step, ...]:
    """The shortest that still fails, of those with steps left out: halves first, then less. `fails` plays it, and says
    no where there is no time for it."""
    found = tuple(steps)
    size = max(1, len(found) // 2)
    while True:
        smaller = next((one for one in _without(found, size) if is_one(one) and fails(one)), None)
        if smaller is not None:
            found, size = smaller, min(size, max(1, len(smaller) // 2))
        elif size > 1:
            size //= 2
        else:
            return found


def _without(steps: tuple[Step, ...], size: int) -> Iterator[tuple[Step, ...]]:
    """With so many steps left out, from the front: what fails is at the end. A fault goes with its mending."""
    for start in range(0, len(steps), size):
        rest = (*steps[:start], *steps[start + size :])
        if rest and len(rest) < len(steps):
            yield rest
    if size == 1:
        for number, step in enumerate(steps):
            if step.kind in ("gateway fails", "cloud fails"):
                mended = step.kind.replace("fails", "mended")
                later = next((at for at in range(number, len(steps)) if steps[at].kind == mended), None)
                rest = tuple(one for at, one in enumerate(steps) if at not in (number, later))
                if rest and later is not None:
                    yield rest
