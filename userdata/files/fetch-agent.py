#!/usr/bin/python3
"""Fetches the agent, lets only the one run whose SHA-256 the user data carries, and goes on as that one.

`fetch-agent COMMAND` in one process: starting another Python with boto3 would cost a boot a third of a second.
"""

import hashlib
import json
import pathlib
import runpy
import sys
import time

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

TARGET = pathlib.Path("/usr/local/bin/twinlock-agent")
ATTEMPTS = 8  # with back-off: about four minutes


def matches(content: bytes, sha256: str) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256


def fetch(boot: dict[str, str]) -> bytes:
    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 2})
    s3 = boto3.client("s3", region_name=boot["region"], config=config)  # pyright: ignore
    return s3.get_object(Bucket=boot["agent_bucket"], Key=boot["agent_key"])["Body"].read()  # pyright: ignore


def install(content: bytes) -> None:
    partial = TARGET.with_suffix(".part")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.replace(TARGET)


def attempt(boot: dict[str, str]) -> str:
    """Empty when the right agent is in place, else what went wrong."""
    try:
        content = fetch(boot)
    except (BotoCoreError, ClientError, OSError) as exc:
        return f"s3://{boot['agent_bucket']}/{boot['agent_key']}: {' '.join(str(exc).split())}"
    if not matches(content, boot["agent_sha256"]):
        return f"s3://{boot['agent_bucket']}/{boot['agent_key']}: not the SHA-256 that the user data names"
    install(content)
    return ""


def become_agent() -> int:
    """Its arguments are ours; it exits by itself."""
    sys.argv[0] = str(TARGET)
    runpy.run_path(str(TARGET), run_name="__main__")
    return 0


def main() -> int:
    boot = json.loads(pathlib.Path("/etc/twinlock/boot.json").read_text())
    if TARGET.exists() and matches(TARGET.read_bytes(), boot["agent_sha256"]):
        return become_agent()
    reason = ""
    for number in range(ATTEMPTS):
        time.sleep(min(60, 2**number) if number else 0)
        reason = attempt(boot)
        if not reason:
            return become_agent()
        print(f"fetch-agent: {reason}", file=sys.stderr, flush=True)
    with pathlib.Path("/dev/console").open("w") as console:
        console.write(f"twinlock: gateway {boot['slot']} bootstrap failed: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
