"""A registry's table for tests that hold on every cloud: each cloud's own service, or the next best, on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.dynamodb import client_of, make_table
from tests.registry_samples import definition_item
from twinlock.registry.definition import Definition
from twinlock.registry.dynamodb import DynamoTable
from twinlock.registry.table import LostRace, Put, Table

NewTable = Callable[[], Table]


@pytest.fixture(scope="module", params=["aws"])
def new_table(request) -> Iterator[NewTable]:
    """Makes an empty table; all that it made are gone when the module's tests have ended."""
    yield from {"aws": _dynamodb_tables}[request.param](request)


def _dynamodb_tables(request) -> Iterator[NewTable]:
    client, made = client_of(request.getfixturevalue("dynamodb_process")), []

    def new() -> Table:
        made.append(make_table(client))
        return DynamoTable(made[-1], client, sleep=lambda _: None)

    yield new
    for name in made:
        client.delete_table(TableName=name)


def put_definition(table: Table, what: Definition) -> None:
    """As the program does."""
    table.transact([Put(definition_item(what))])


class Around:
    """A table that passes everything on; for tests that watch or break a call."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __getattr__(self, name: str):
        return getattr(self._table, name)


class Conflicting(Around):
    """Refuses a share of the transactions, as a cloud does when two meet; what stands in for the clouds never does."""

    def __init__(self, table: Table, dice, share: float) -> None:
        super().__init__(table)
        self._dice, self._share, self.conflicts = dice, share, 0

    def transact(self, writes) -> None:
        if self._dice.random() < self._share:
            self.conflicts += 1
            raise LostRace("somebody else changed the same items")
        self._table.transact(writes)
