"""Moves an object, inside a client's namespace: `python -m lab.transfer put|get BUCKET KEY BYTES`.

Prints one JSON line. The object's bytes come from a fixed seed, so both ends know the digest without sharing a file.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections.abc import Mapping
from typing import IO, Protocol, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

# The SDK's default: whoever waits for a gateway that is gone is told so, and does not need it.
READ_SECONDS = 60
ATTEMPTS = 8  # as a user of large objects would set it; a refusal is an answer, and is not tried again


class Storage(Protocol):
    """What is used of boto3's client."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> Mapping[str, object]: ...  # noqa: N803

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, object]: ...  # noqa: N803


def content(size: int) -> bytes:
    return random.Random(20).randbytes(size)  # noqa: S311 - test data, not a secret


def _read(storage: Storage, bucket: str, key: str) -> tuple[bytes, int]:
    """The object, and how often it was asked for again: as in the SDK's own transfers, a body that breaks off is."""
    again = 0
    while True:
        answer = storage.get_object(Bucket=bucket, Key=key)
        again += cast(Mapping[str, int], answer["ResponseMetadata"])["RetryAttempts"]
        try:
            return cast(IO[bytes], answer["Body"]).read(), again
        except (ReadTimeoutError, ResponseStreamingError, IncompleteReadError):
            again += 1
            if again >= ATTEMPTS:
                raise


def attempt(verb: str, bucket: str, key: str, size: int) -> dict[str, object]:
    """What happened: seconds, retries and digest, or the refusal as the service gave it."""
    settings = Config(retries={"total_max_attempts": ATTEMPTS}, connect_timeout=5, read_timeout=READ_SECONDS)
    storage = cast(Storage, boto3.client("s3", config=settings))  # pyright: ignore[reportUnknownMemberType]
    body = content(size) if verb == "put" else b""
    started = time.monotonic()
    try:
        if verb == "put":
            answer = storage.put_object(Bucket=bucket, Key=key, Body=body)
            retries = cast(Mapping[str, int], answer["ResponseMetadata"])["RetryAttempts"]
        else:
            body, retries = _read(storage, bucket, key)
    except ClientError as error:
        return {"ok": False, "error": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}
    except BotoCoreError as error:
        return {"ok": False, "error": type(error).__name__, "message": str(error)}
    seconds = time.monotonic() - started
    return {
        "ok": True,
        "seconds": seconds,
        "retries": retries,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


if __name__ == "__main__":
    verb, bucket, key, size = sys.argv[1:]
    print(json.dumps(attempt(verb, bucket, key, int(size))))
