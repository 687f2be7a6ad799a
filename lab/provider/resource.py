"""A resource type as the tables describe it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .api import Api
from .values import Json, Value


@dataclass(frozen=True)
class Problem:
    """An input that the cloud would refuse. `path` is the property's, such as ebs.volumeSize or rules[0].id."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """An update in place: the inputs before and after, and the names of the properties that differ."""

    id: str
    old: Json
    new: Json
    state: Json
    names: frozenset[str]


Rule: TypeAlias = Callable[[Json], Iterable[Problem]]


def _nothing(_api: Api, _change: Change) -> None:
    """For types of which nothing is updated in place but what the plugin itself keeps."""


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """How one type is made, read, changed and removed. Property paths are dotted, without list positions.

    `forces_new` and `in_place` together are the inputs that the plugin carries out; the SDK's others are refused.
    `finish` does what follows once the resource exists: if it fails, the resource stays in the state as not ready.
    `resume` is `finish` once more, after it failed, where that is not the same.
    `read` answers with outputs (inputs included) or None when it is gone; a property that can't be read is left out.
    `restated` are computed outputs that become unknown in the preview of an update.
    """

    token: str
    create: Callable[[Api, Json], str]
    read: Callable[[Api, str, Json], Json | None]
    delete: Callable[[Api, str, Json], None]
    finish: Callable[[Api, str, Json], None] | None = None
    resume: Callable[[Api, str, Json], None] | None = None
    update: Callable[[Api, Change], None] = _nothing
    forces_new: frozenset[str] = frozenset()
    in_place: frozenset[str] = frozenset()
    forces_new_when: Mapping[str, Callable[[Json, Json], bool]] = field(
        default_factory=dict[str, Callable[[Json, Json], bool]]
    )
    named: str = ""  # the property that gets a random name when it is not given
    longest_name: int = 255
    defaults: Json = field(default_factory=dict[str, Value])
    rules: tuple[Rule, ...] = ()
    delete_before_replace: bool = False
    secret: frozenset[str] = frozenset()
    restated: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        return self.forces_new | self.in_place


@dataclass(frozen=True, kw_only=True)
class Function:
    """An invoke. `known` are the arguments that it carries out."""

    token: str
    known: frozenset[str]
    call: Callable[[Api, Json], Json]


def words(names: str) -> frozenset[str]:
    """The names of a list that is written as one text."""
    return frozenset(names.split())
