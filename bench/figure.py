"""What a measure gives: two sides that ran in the same run, and their ratio (or difference) against a bound."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`ours` and `other` are samples in `unit`; `value` is what the bound speaks of."""

    name: str
    what: str
    unit: str
    ours: tuple[float, ...]
    other: tuple[float, ...]
    compare: Literal["ratio", "difference"]
    bound: float
    better: Literal["below", "above"]
    note: str = ""

    @property
    def value(self) -> float:
        """Medians, because machines are shared and noisy."""
        ours, other = median(self.ours), median(self.other)
        return ours / other if self.compare == "ratio" else ours - other

    @property
    def holds(self) -> bool:
        return self.value <= self.bound if self.better == "below" else self.value >= self.bound
