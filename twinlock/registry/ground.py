"""What every part of the registry stands on: the table, the time, the definition, and what a name may be."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twinlock.registry import items, keys
from twinlock.registry.data_keys import DataKeys
from twinlock.registry.definition import Definition, DefinitionError, Tenant, definition_from_json
from twinlock.registry.errors import Corrupt, Refused
from twinlock.registry.model import Peer, Wanted
from twinlock.registry.public_key import check_public_key
from twinlock.registry.table import Item, Table, text
from twinlock.registry.versions import VERSION_KEY, check_needs, check_version

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """Time as the registry sees it; tests bring their own."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    waited: Callable[[], float] = time.monotonic


class Ground:
    """The registry's table, in whatever its cloud has."""

    def __init__(self, table: Table, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._table = table
        self.data_keys = DataKeys(table)

    @property
    def table(self) -> Table:
        """For what is done to the registry as a whole."""
        return self._table

    def definition(self) -> Definition:
        wanted = (keys.DEFINITION, keys.DEFINITION_SORT)
        found = self._table.get_many([wanted, VERSION_KEY])
        check_version(found.get(VERSION_KEY), self._table.name)
        item = found.get(wanted)
        if item is None:
            raise Corrupt(f"table {self._table.name} holds no definition: has `pulumi up` gone through?")
        try:
            return definition_from_json(text(item, keys.DEFINITION_JSON))
        except DefinitionError as exc:
            raise Corrupt(f"table {self._table.name}: {exc}") from exc

    def _named(self, partition: str, names: Iterable[str]) -> Iterable[Item]:
        return self._table.get_many((partition, name) for name in names).values()

    def _readable(self, item: Item) -> Peer | None:
        try:
            peer = items.peer_from(item, self._now())
            check_name(peer.name)
            check_public_key(peer.public_key)
            check_needs(peer.needs)
        except (Corrupt, Refused) as exc:
            _log.warning("not served: %s: %s", item.get(keys.SORT), exc)
            return None
        return peer

    def _tenant(self, name: str) -> Tenant:
        return tenant_of(self.definition(), name)

    def _now(self) -> int:
        return int(self._clock.now())


def tenant_of(definition: Definition, name: str) -> Tenant:
    for tenant in definition.tenants:
        if tenant.name == name:
            return tenant
    known = ", ".join(tenant.name for tenant in definition.tenants) or "none"
    raise Refused(f"environment {definition.environment} has no tenant {name}; it has: {known}")


def check_name(name: str) -> None:
    """Raises Refused unless it is 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends."""
    if _NAME.fullmatch(name) is None:
        raise Refused(f"{name!r} can't be a peer's name: 1 to 63 of a-z 0-9 . _ -, a letter or digit at both ends")


def check_wanted(one: Wanted) -> None:
    """Raises Refused for a name or a key that can't be a peer's."""
    check_name(one.name)
    check_public_key(one.public_key)
