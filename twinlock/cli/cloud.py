"""An environment as the command sees it, whatever its cloud: found by its name and nothing else."""

from __future__ import annotations

import re
from typing import Protocol

from twinlock.registry.data_keys import Envelope
from twinlock.registry.errors import Refused
from twinlock.registry.model import Actor
from twinlock.registry.store import Registry

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


class Environment(Protocol):
    """One environment, as its discovery record tells; nothing was asked of its registry yet."""

    @property
    def name(self) -> str: ...

    @property
    def region(self) -> str: ...

    @property
    def registry(self) -> Registry: ...

    def actor(self) -> Actor:
        """Who is asking, in the words that the cloud's own access control compares with."""
        ...

    def envelope(self) -> Envelope:
        """What opens and seals tenants' data keys."""
        ...

    def envelope_of(self, region: str, environment: str, key: str) -> Envelope:
        """The same of another environment, which may be gone but for its key."""
        ...

    def terminate(self, slot: str, instance_id: str) -> None:
        """Ends a gateway's machine, or the one that came in its place and never registered; the slot's group starts
        another. Raises Refused if that is not allowed."""
        ...


def open_environment(name: str) -> Environment:
    """By the discovery record that the caller's credentials lead to."""
    from twinlock.cli.aws import open_aws  # a cloud's SDK is loaded where that cloud is asked

    check_environment(name)
    return open_aws(name)


def check_environment(name: str) -> None:
    """Raises Refused for what can't be an environment's name."""
    if _NAME.fullmatch(name) is None:
        raise Refused(f"{name!r} can't be an environment's name: a-z 0-9 -, 32 at most, a letter first")
