"""A rule: one sentence that must hold, the controls that it restates, and the check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from policies.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Of a resource by itself: checked before it is made. `check` yields a line for each thing that is wrong.

    `controls` are ids of AWS Foundational Security Best Practices (`EC2.8`), CIS AWS Foundations 3.0 (`CIS 5.6`) and
    Checkov (`CKV_AWS_79`). A rule without any says what no catalogue says.
    """

    name: str
    description: str
    controls: tuple[str, ...]
    check: Callable[[Resource], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class StackRule:
    """Of all resources together. `check` yields the resource that is wrong, and why."""

    name: str
    description: str
    controls: tuple[str, ...]
    check: Callable[[Iterable[Resource]], Iterator[tuple[Resource, str]]]
