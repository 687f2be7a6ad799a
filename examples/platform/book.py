"""Jobs and their events in SQLite: all that outlives the service. No credential is in it."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from examples.platform.jobs import Job, Plain, State, Verb

# One job of an environment at a time, and one job a key: SQLite holds both, whoever writes.
_TABLES = """
create table if not exists jobs (
    id text primary key, key text not null unique, environment text not null, verb text not null,
    wanted text not null, state text not null default 'waiting', starts integer not null default 0, error text);
create unique index if not exists one_at_a_time on jobs (environment) where state in ('waiting', 'running');
create table if not exists events (
    job text not null references jobs (id), number integer not null, kind text not null, body text not null,
    primary key (job, number));
"""


class KeyReused(Exception):  # noqa: N818
    """The idempotency key belongs to a job that asks for something else."""


class Occupied(Exception):  # noqa: N818
    """`job` is the one that is under way on this environment."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} on {job.environment} is under way")
        self.job = job


class Book:
    def __init__(self, file: Path) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._store = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._store.row_factory = sqlite3.Row
        self._store.executescript(_TABLES)

    def take(self, key: str, environment: str, verb: Verb, wanted: Plain) -> tuple[Job, bool]:
        """The job of this key, and whether it is new. Raises KeyReused, Occupied."""
        body = json.dumps(wanted, sort_keys=True)
        new = (uuid.uuid4().hex, key, environment, verb, body)
        try:
            self._rows("insert into jobs (id, key, environment, verb, wanted) values (?, ?, ?, ?, ?)", *new)
        except sqlite3.IntegrityError as error:
            if rows := self._rows("select * from jobs where key = ?", key):
                job = _job(rows[0])
                if (job.environment, job.verb, job.wanted) != (environment, verb, json.loads(body)):
                    raise KeyReused(f"the key {key!r} belongs to another {job.verb} of {job.environment}") from error
                return job, False
            under_way = [job for job in self.unfinished() if job.environment == environment]
            if not under_way:  # it has ended since
                return self.take(key, environment, verb, wanted)
            raise Occupied(under_way[0]) from error
        return self.job(new[0]), True

    def job(self, name: str) -> Job:
        """Raises KeyError."""
        if rows := self._rows("select * from jobs where id = ?", name):
            return _job(rows[0])
        raise KeyError(name)

    def unfinished(self) -> list[Job]:
        return [_job(row) for row in self._rows("select * from jobs where state in ('waiting', 'running')")]

    def begin(self, name: str) -> Job:
        self._rows("update jobs set state = 'running', starts = starts + 1 where id = ?", name)
        return self.job(name)

    def end(self, name: str, state: State, error: Plain | None = None) -> None:
        self._rows("update jobs set state = ?, error = ? where id = ?", state, error and json.dumps(error), name)

    def say(self, name: str, kind: str, body: Plain) -> None:
        self._rows(
            "insert into events select ?, coalesce(max(number), 0) + 1, ?, ? from events where job = ?",
            name, kind, json.dumps(body), name,
        )  # fmt: skip

    def events(self, name: str, after: int = 0) -> list[tuple[int, str, str]]:
        """Number, kind and body as JSON of what was said after the event `after`."""
        rows = self._rows("select * from events where job = ? and number > ? order by number", name, after)
        return [(cast(int, row["number"]), cast(str, row["kind"]), cast(str, row["body"])) for row in rows]

    def _rows(self, statement: str, *values: object) -> list[Mapping[str, object]]:
        with self._lock:
            return cast(list[Mapping[str, object]], self._store.execute(statement, values).fetchall())


def _job(row: Mapping[str, object]) -> Job:
    return Job(
        id=cast(str, row["id"]), environment=cast(str, row["environment"]), verb=cast(Verb, row["verb"]),
        wanted=cast(Plain, json.loads(cast(str, row["wanted"]))), state=cast(State, row["state"]),
        starts=cast(int, row["starts"]),
        error=cast(Plain, json.loads(cast(str, row["error"]))) if row["error"] else None,
    )  # fmt: skip
