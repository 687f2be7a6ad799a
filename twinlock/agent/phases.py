"""How long each phase of a change of who serves took here: pure. The main thread's.

Detection counts from the twin's last word, which comes each 0.2 s; an answer is seen by a look, which comes as often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twinlock.registry.model import PHASES

GIVE_UP_SECONDS = 3.0  # nobody answered by then: there was nobody, or it is no phase of this change any more


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why this gateway is about to serve, in monotonic seconds."""

    switch: bool  # it was given; otherwise the one that served fell silent
    heard_at: float  # the last word of who served
    at: float  # when its silence, or its gift, was noticed


class Phases:
    """`told` is what the registry and the metrics get."""

    def __init__(self) -> None:
        self.told: Mapping[str, int] = {}
        self._began: float | None = None  # of a taking that nobody has answered yet

    def took(self, cause: Cause | None, began: float, ended: float, called: int, now: float) -> dict[str, int]:
        """This gateway called its clients between `began` and `ended`. Without a cause nobody served before."""
        taken = {"taken_at": int(now), "called": called, "calls_ms": _ms(ended - began)}
        if cause is not None:
            taken |= {"switch": int(cause.switch), "lease_ms": _ms(began - cause.at)}
            if not cause.switch:
                taken["detection_ms"] = _ms(cause.at - cause.heard_at)
        self._tell({**{name: self.told[name] for name in ("let_go_at", "let_go_ms") if name in self.told}, **taken})
        self._began = began if called else None
        return taken

    def answered(self, somebody: bool, clock: float) -> dict[str, int] | None:
        """After each look: whether a client answered by now; said once."""
        if self._began is None:
            return None
        took = clock - self._began
        if not somebody:
            self._began = None if took > GIVE_UP_SECONDS else self._began
            return None
        self._began = None
        self._tell({**self.told, "answers_ms": _ms(took)})
        return {"answers_ms": _ms(took)}

    def let_go(self, began: float, ended: float, now: float) -> dict[str, int]:
        self._began = None
        gone = {"let_go_at": int(now), "let_go_ms": _ms(ended - began)}
        self._tell({**self.told, **gone})
        return gone

    def _tell(self, told: Mapping[str, int]) -> None:
        self.told = {name: told[name] for name in PHASES if name in told}


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
