"""Writes small objects one after the other, in a client's namespace: `python -m lab.soak.writer BUCKET PREFIX`.

Prints a line of JSON for each that was acknowledged, until its standard input ends; what it read back then comes last:
`python -m lab.soak.writer BUCKET PREFIX read` prints each object's digest instead.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import select
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Protocol, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

_EVERY_SECONDS = 0.25
_BYTES = 4096


class Storage(Protocol):
    """What is used of boto3's client."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object: ...  # noqa: N803

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, object]: ...  # noqa: N803

    def list_objects_v2(self, *, Bucket: str, Prefix: str, StartAfter: str) -> Mapping[str, object]: ...  # noqa: N803


def write(storage: Storage, bucket: str, prefix: str) -> None:
    number = 0
    while not select.select([sys.stdin], [], [], _EVERY_SECONDS)[0]:
        number += 1
        key, body = f"{prefix}/{number:06}", secrets.token_bytes(_BYTES)
        try:
            storage.put_object(Bucket=bucket, Key=key, Body=body)
        except (BotoCoreError, ClientError) as error:  # nothing was promised
            print(f"{key}: {error}", file=sys.stderr, flush=True)
            continue
        print(json.dumps([key, hashlib.sha256(body).hexdigest()]), flush=True)


def read(storage: Storage, bucket: str, prefix: str) -> None:
    last = ""
    while found := cast(
        Sequence[Mapping[str, str]],
        storage.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/", StartAfter=last).get("Contents", ()),
    ):
        for one in found:
            last = one["Key"]
            body = cast(IO[bytes], storage.get_object(Bucket=bucket, Key=last)["Body"]).read()
            print(json.dumps([last, hashlib.sha256(body).hexdigest()]), flush=True)


if __name__ == "__main__":
    settings = Config(retries={"total_max_attempts": 3}, connect_timeout=3, read_timeout=5)
    there = cast(Storage, boto3.client("s3", config=settings))  # pyright: ignore[reportUnknownMemberType]
    (read if sys.argv[3:] else write)(there, *sys.argv[1:3])
