"""`python -m examples.platform PROGRAM FOLDER`: serves on loopback until it is ended, and says on which port."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

import uvicorn

from examples.platform.book import Book
from examples.platform.service import service
from examples.platform.worker import Worker
from twinlock.automation import Automation


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.platform")
    parser.add_argument("program", type=Path, help="folder of Pulumi.yaml: a checkout of Twinlock")
    parser.add_argument("folder", type=Path, help="jobs and workspaces; the same one again goes on where it ended")
    parser.add_argument("--port", type=int, default=8700, help="0: a free one")
    parser.add_argument("--workers", type=int, default=4, help="deployments at a time")
    asked = parser.parse_args()
    # Credentials of cloud and backend are the service's own environment; they are written nowhere.
    platform = Automation(asked.program, asked.folder / "work", os.environ)
    book = Book(asked.folder / "jobs.sqlite")
    app = service(book, Worker(platform, book, asked.workers))
    with socket.create_server(("127.0.0.1", asked.port)) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)).run([listening])


if __name__ == "__main__":
    main()
