"""One process of moto: `python -m lab.aws.moto_process s3|rest IMAGES_FILE`.

It prints the port that it listens on, and ends when its standard input does.
Beside AWS's API it answers GET /lab/identities (identities.py): who may do what, read from moto's own stores.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from lab.aws.seeds import IMAGE_PARAMETER, Image

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[dict[str, object], StartResponse], Iterable[bytes]]


def main() -> None:
    role, images = sys.argv[1], Path(sys.argv[2])
    os.environ |= {"MOTO_AMIS_PATH": str(images), "MOTO_ENABLE_AMI_VALIDATION": "true"}
    from moto.moto_server.werkzeug_app import (  # pyright: ignore[reportMissingTypeStubs]
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from lab.aws.moto_stores import judge_nothing

    application = cast(Application, DomainDispatcherApplication(create_backend_app))
    if role == "rest":
        _seed(images)
        application = one_at_a_time(_with_identities(application))
    else:
        judge_nothing()
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    os.dup2(2, 1)  # nobody reads the pipe after this line
    sys.stdin.buffer.read()
    os._exit(0)


def one_at_a_time(application: Application) -> Application:
    """moto goes through its dictionaries while other threads add to them, and answers 500 then. Each call is short.
    Not for S3: a slow upload would hold up all others there, and nothing of it was seen to break."""
    lock = threading.Lock()

    def serve(environ: dict[str, object], start: StartResponse) -> Iterable[bytes]:
        with lock:
            return list(application(environ, start))

    return serve


def _with_identities(application: Application) -> Application:
    from lab.aws.moto_stores import identities

    def serve(environ: dict[str, object], start: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/lab/identities":
            return application(environ, start)
        body = json.dumps(identities()).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return serve


def _seed(images: Path) -> None:
    """What moto would not have by itself. Debian's image parameters: its API refuses names under /aws, so they go into
    its store."""
    from lab.aws.moto_stores import give_ipv6, put_parameter

    give_ipv6()
    listed = [Image(**image) for image in json.loads(images.read_text())]
    for image in listed:
        machine = "arm64" if image.architecture == "arm64" else "amd64"
        put_parameter(IMAGE_PARAMETER.format(architecture=machine), image.ami_id)


if __name__ == "__main__":
    main()
