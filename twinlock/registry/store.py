"""The registry: who may use the environment, which gateways there are, who serves.

Everything is read strongly consistent. Errors: Refused (the rules say no), Unavailable (no answer), Corrupt.
"""

from __future__ import annotations

from twinlock.registry.fleet import Fleet
from twinlock.registry.rewrapping import Rewrapping
from twinlock.registry.served import Served


class Registry(Fleet, Served, Rewrapping):
    """One environment's registry: in the table that its cloud has for it."""
