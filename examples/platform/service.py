"""The HTTP interface: jobs in, progress out as server-sent events, every error with its kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict

from examples.platform.book import Book, KeyReused, Occupied
from examples.platform.jobs import Job, Plain, Verb, mistake
from examples.platform.worker import Worker
from twinlock.automation import Invalid, configuration, spec

POLL_SECONDS = 0.1


class Asked(BaseModel):
    """`settings` is what a stack file holds: "region" and the objects "network", "gateway" and so on."""

    model_config = ConfigDict(extra="forbid")
    verb: Verb
    settings: dict[str, object]


class Shown(BaseModel):
    id: str
    environment: str
    verb: str
    state: str
    starts: int
    error: Mapping[str, object] | None


class Mistake(BaseModel):
    """`kind` is for programs: Malformed, Invalid, KeyReused, Busy, Unknown."""

    kind: str
    reason: str
    job: str | None = None


_WRONG: dict[int | str, dict[str, object]] = {422: {"model": Mistake, "description": "Malformed, or Invalid"}}
_NO_JOB: dict[int | str, dict[str, object]] = {**_WRONG, 404: {"model": Mistake, "description": "Unknown"}}
_TAKEN: dict[int | str, dict[str, object]] = {
    **_WRONG,
    409: {"model": Mistake, "description": "KeyReused, or Busy with the job that is under way"},
}


def service(book: Book, worker: Worker) -> FastAPI:
    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncGenerator[None]:
        worker.resume()
        yield
        await asyncio.to_thread(worker.stop)

    app = FastAPI(title="Twinlock platform", lifespan=running)

    @app.post("/environments/{environment}/jobs", status_code=202, responses=_TAKEN)
    def begin(environment: str, asked: Asked, idempotency_key: Annotated[str, Header(max_length=200)]) -> Shown:
        """Begin an operation on an environment. The same Idempotency-Key again is the same job."""
        wanted = _wanted(environment, asked.settings)
        job, new = book.take(idempotency_key, environment, asked.verb, wanted)
        if new:
            worker.take(job)
        return _shown(job)

    @app.get("/jobs/{name}", responses=_NO_JOB)
    def look(name: str) -> Shown:
        """How a job stands."""
        return _shown(book.job(name))

    @app.get("/jobs/{name}/events", response_class=StreamingResponse, responses=_NO_JOB)
    async def follow(name: str, last_event_id: Annotated[int, Header()] = 0) -> StreamingResponse:
        """The job's events as they happen, from the one after Last-Event-ID: server-sent, `End` is the last."""
        book.job(name)
        return StreamingResponse(_events(book, name, last_event_id), media_type="text/event-stream")

    _typed_errors(app)
    _ = begin, look, follow
    return app


async def _events(book: Book, name: str, seen: int) -> AsyncGenerator[str]:
    """From the event after `seen` to the end of the job, and a last one, `End`, with its state."""
    while True:
        over = book.job(name).over  # before the events: none is missed
        for number, kind, body in book.events(name, seen):
            yield f"id: {number}\nevent: {kind}\ndata: {body}\n\n"
            seen = number
        if over:
            yield f"event: End\ndata: {_shown(book.job(name)).model_dump_json()}\n\n"
            return
        await asyncio.sleep(POLL_SECONDS)


def _wanted(environment: str, settings: Mapping[str, object]) -> Plain:
    """Through the program's own models and back: what they do not know is refused, not kept. Raises Invalid."""
    found = configuration(spec({**settings, "environment": environment}))
    return {"environment": environment, **{key.split(":", 1)[1]: value for key, value in found.items()}}


def _shown(job: Job) -> Shown:
    return Shown(
        id=job.id, environment=job.environment, verb=job.verb, state=job.state, starts=job.starts, error=job.error
    )


def _typed_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return JSONResponse({"kind": "Malformed", "reason": "; ".join(wrong)}, 422)

    @app.exception_handler(Invalid)
    def invalid(_: Request, error: Invalid) -> JSONResponse:
        return JSONResponse(mistake(error), 422)

    @app.exception_handler(KeyReused)
    def reused(_: Request, error: KeyReused) -> JSONResponse:
        return JSONResponse({"kind": "KeyReused", "reason": str(error)}, 409)

    @app.exception_handler(Occupied)
    def occupied(_: Request, error: Occupied) -> JSONResponse:
        return JSONResponse({"kind": "Busy", "reason": str(error), "job": error.job.id}, 409)

    @app.exception_handler(KeyError)
    def unknown(_: Request, error: KeyError) -> JSONResponse:
        return JSONResponse({"kind": "Unknown", "reason": f"there is no job {error.args[0]}"}, 404)

    _ = malformed, invalid, reused, occupied, unknown
