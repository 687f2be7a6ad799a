"""Whether the gateways have a place for more peers, asked before one is let in."""

from __future__ import annotations

from twinlock.cli import screen
from twinlock.registry.places import check_places
from twinlock.registry.store import Registry


def check_gateways(registry: Registry, more: int) -> None:
    """Warns when they are nearly full. Raises Refused when they are."""
    records = registry.gateways(slot.name for slot in registry.definition().slots)
    if warning := check_places(records, more):
        screen.show_warning(warning)
