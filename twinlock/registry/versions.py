"""Which registries this program works with: pure.

A version is MAJOR.MINOR, in one item, (META, "#version"); without it, 1.0. A minor version only adds: attributes that
this program does not know stay in an item that it writes again, and are otherwise left alone. A peer's item that may
not be served without knowing one of them names that in `needs`. A major version is refused: update the program.
"""

from __future__ import annotations

from twinlock.registry import keys
from twinlock.registry.errors import Refused
from twinlock.registry.reach import NARROWING
from twinlock.registry.table import Item, Key, number

MAJOR = 1
VERSION_KEY: Key = (keys.META, "#version")
# What an item's `needs` may name for this program to serve it.
KNOWN_NEEDS: frozenset[str] = frozenset({NARROWING})


def version_item(major: int, minor: int) -> Item:
    # A generation: to who reads META as tenants' numbers, it is a tenant that never changes.
    return {keys.PARTITION: keys.META, keys.SORT: VERSION_KEY[1], "major": major, "minor": minor, "generation": 0}


def check_version(item: Item | None, table: str) -> None:
    """Raises Refused for a registry of a newer major version."""
    if item is None:
        return
    major, minor = number(item, "major"), number(item, "minor")
    if major > MAJOR:
        raise Refused(
            f"registry {table} is of version {major}.{minor}, and this program works with {MAJOR}: update twinlock"
        )


def check_needs(needs: frozenset[str]) -> None:
    """Raises Refused for a peer that this program may not serve."""
    if unknown := sorted(needs - KNOWN_NEEDS):
        raise Refused(f"it needs a program that knows {', '.join(unknown)}: update twinlock")
