"""What can be wrong before anything is made.

ProgramError
└── SettingsError    the configuration does not describe an environment
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class ProgramError(Exception):
    """A mistake that its reader can mend; never a defect of the program."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: where, what stands there, and what to write instead."""

    key: str
    value: str
    rule: str
    mend: str

    def __str__(self) -> str:
        return f"{self.key} = {self.value}: {self.rule}; {self.mend}"


class SettingsError(ProgramError):
    """Everything that is wrong with the configuration, one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"the configuration has {count} mistake{'s' if count > 1 else ''}:"
        super().__init__("\n".join([heading, *(f"  {problem}" for problem in self.problems)]))
