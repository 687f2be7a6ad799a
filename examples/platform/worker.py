"""Carries jobs out, a few at a time, also those that a killed service left behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from examples.platform.book import Book
from examples.platform.jobs import Job, Verb, mistake, told
from twinlock.automation import Automation, AutomationError, EnvironmentSpec, Operation, Wishes, spec
from twinlock.change import Event

# An engine whose service was killed may still be ending what it was doing.
WAIT_SECONDS = 300.0


class Worker:
    def __init__(self, platform: Automation, book: Book, workers: int) -> None:
        self._platform, self._book = platform, book
        self._pool = ThreadPoolExecutor(workers)
        self._lock = threading.Lock()
        self._running: dict[str, Operation] = {}
        self._stopping = False

    def resume(self) -> None:
        """What was waiting or under way when the service ended."""
        for job in self._book.unfinished():
            self.take(job)

    def take(self, job: Job) -> None:
        self._pool.submit(self._carry_out, job)

    def stop(self) -> None:
        """Lets the engine end what it is doing; the jobs go on with the next start of the service."""
        with self._lock:
            self._stopping = True
            for operation in self._running.values():
                operation.cancel()
        self._pool.shutdown(cancel_futures=True)

    def _carry_out(self, job: Job) -> None:
        try:
            wanted = spec(job.wanted)
            begun = self._book.begin(job.id)
            if begun.starts > 1:
                self._run("recover", begun, wanted)
            self._run(job.verb, begun, wanted)
        except AutomationError as error:
            self._end(job, error)
        except Exception as error:  # whoever waits for the job learns it, and the log has the traceback
            self._book.end(job.id, "failed", {"kind": type(error).__name__, "reason": str(error)})
            raise
        else:
            self._end(job, None)

    def _end(self, job: Job, error: AutomationError | None) -> None:
        if error is None:
            self._book.end(job.id, "done")
        elif not self._stopping:
            self._book.end(job.id, "failed", mistake(error))

    def _run(self, verb: Verb | Literal["recover"], job: Job, wanted: EnvironmentSpec) -> None:
        def heard(event: Event) -> None:
            self._book.say(job.id, type(event).__name__, told(event))

        wishes = Wishes(on_event=heard, wait=WAIT_SECONDS)
        with self._lock:
            operation = self._platform.start(verb, wanted, wishes)
            self._running[job.id] = operation
            if self._stopping:
                operation.cancel()
        try:
            operation.result()
        finally:
            with self._lock:
                del self._running[job.id]
