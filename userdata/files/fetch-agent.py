#!/usr/bin/python3
"""Fetches the agent, lets only the one run whose SHA-256 the user data carries, and goes on as that one.

`fetch-agent COMMAND` in one process: starting another Python with botocore would cost a boot a third of a second.
`run` starts beside `bootstrap`, which fetches: it loads while that asks the cloud.
"""

import hashlib
import json
import os
import pathlib
import runpy
import socket
import sys
import time

import botocore.session  # pyright: ignore[reportMissingTypeStubs]
from botocore.auth import S3SigV4Auth  # pyright: ignore[reportMissingTypeStubs]
from botocore.awsrequest import AWSRequest  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError  # pyright: ignore[reportMissingTypeStubs]
from botocore.httpsession import URLLib3Session  # pyright: ignore[reportMissingTypeStubs]

TARGET = pathlib.Path("/usr/local/bin/twinlock-agent")
ATTEMPTS = 8  # with back-off: about four minutes


def matches(content: bytes, sha256: str) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256


class NotGivenError(Exception):
    """The storage's answer is not the object."""


def fetch(boot: dict[str, str], session: botocore.session.Session) -> bytes:
    """Signed here: a client for S3 loads a model and rules of a megabyte, and a boot would wait for that."""
    credentials = session.get_credentials()  # pyright: ignore
    if credentials is None:
        raise NotGivenError("the machine has no role")
    suffix = "amazonaws.com.cn" if boot["region"].startswith("cn-") else "amazonaws.com"
    host = f"{boot['agent_bucket']}.s3.{boot['region']}.{suffix}"
    request = AWSRequest("GET", f"https://{host}/{boot['agent_key']}")  # pyright: ignore
    S3SigV4Auth(credentials.get_frozen_credentials(), "s3", boot["region"]).add_auth(request)  # pyright: ignore
    answer = URLLib3Session(timeout=(5, 20)).send(request.prepare())  # pyright: ignore
    if answer.status_code != 200:  # pyright: ignore
        raise NotGivenError(f"{answer.status_code} {answer.text[:300]}")  # pyright: ignore
    return answer.content  # pyright: ignore


def install(content: bytes) -> None:
    partial = TARGET.with_suffix(".part")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.replace(TARGET)


def attempt(boot: dict[str, str], session: botocore.session.Session) -> str:
    """Empty when the right agent is in place, else what went wrong."""
    try:
        content = fetch(boot, session)
    except (BotoCoreError, NotGivenError, OSError) as exc:
        return f"s3://{boot['agent_bucket']}/{boot['agent_key']}: {' '.join(str(exc).split())}"
    if not matches(content, boot["agent_sha256"]):
        return f"s3://{boot['agent_bucket']}/{boot['agent_key']}: not the SHA-256 that the user data names"
    install(content)
    return ""


def in_place(boot: dict[str, str]) -> bool:
    return TARGET.exists() and matches(TARGET.read_bytes(), boot["agent_sha256"])


def wait(boot: dict[str, str]) -> None:
    """Until bootstrap has fetched; systemd is told that this start takes longer, for as long as it waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        while not in_place(boot):
            to.sendto(b"EXTEND_TIMEOUT_USEC=60000000", os.environ["NOTIFY_SOCKET"])
            time.sleep(0.05)


def become_agent(session: botocore.session.Session) -> int:
    """Its arguments are ours, and so is the session with the credentials that it has by now; it exits by itself."""
    sys.argv[0] = str(TARGET)
    runpy.run_path(str(TARGET), {"session": session}, run_name="__main__")
    return 0


def main() -> int:
    boot = json.loads(pathlib.Path("/etc/twinlock/boot.json").read_text())
    session = botocore.session.get_session()  # pyright: ignore
    if sys.argv[1:] == ["run"]:
        wait(boot)
        return become_agent(session)
    if in_place(boot):
        return become_agent(session)
    reason = ""
    for number in range(ATTEMPTS):
        time.sleep(min(60, 2**number) if number else 0)
        reason = attempt(boot, session)
        if not reason:
            return become_agent(session)
        print(f"fetch-agent: {reason}", file=sys.stderr, flush=True)
    with pathlib.Path("/dev/console").open("w") as console:
        console.write(f"twinlock: gateway {boot['slot']} bootstrap failed: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
