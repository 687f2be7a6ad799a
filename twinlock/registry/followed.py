"""The registry as a gateway needs it: nothing that only people do is loaded at a boot."""

from __future__ import annotations

from twinlock.registry.fleet import Fleet
from twinlock.registry.served import Served


class Registry(Fleet, Served):
    """What a gateway reads and writes."""
