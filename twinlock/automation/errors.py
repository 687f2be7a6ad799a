"""What can end an operation.

AutomationError
├── Invalid      the environment can't be as it is asked for; nothing was tried
├── Busy         somebody else is at work on this environment
├── Cancelled    by `Operation.cancel`
├── TimedOut     after `timeout` seconds
└── Refused      the engine, the cloud or the policy pack said no; what was done until then stands
"""

from __future__ import annotations

from components.errors import Problem


class AutomationError(Exception):
    """`resource` is a URN or empty, `reason` one line or several for a person, `mend` what to do about it or empty,
    `log` what the engine printed."""

    def __init__(self, reason: str, *, resource: str = "", mend: str = "", log: str = "") -> None:
        super().__init__(f"{reason}: {mend}" if mend else reason)
        self.reason, self.resource, self.mend, self.log = reason, resource, mend, log


class Invalid(AutomationError):  # noqa: N818
    """`problems` are the mistakes of a configuration, each with key, value, rule and mend."""

    def __init__(self, reason: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(reason)
        self.problems = problems


class Busy(AutomationError):  # noqa: N818
    pass


class Cancelled(AutomationError):  # noqa: N818
    pass


class TimedOut(AutomationError):  # noqa: N818
    pass


class Refused(AutomationError):  # noqa: N818
    pass
