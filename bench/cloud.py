"""The lab that measures run in: up once, with the main job done, and its API by boto3."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TypeVar, cast

from botocore.client import BaseClient  # pyright: ignore[reportMissingTypeStubs]
from rich.console import Console

from lab import calls, clients, life
from lab import up as job
from lab.clients import Client
from lab.watched import Boot

# boto3 is not typed; measures take documents as they come.
Document = dict[str, object]
T = TypeVar("T")
# A stock client asks again only after 5 s; this one ten times a second, so that the figure is the gateway's. In one
# process: what looks takes the machine's processors from what is measured.
_ASK = """
set -e
while :; do
  wg set "$0" peer "$1" remove; wg set "$0" peer "$1" endpoint "$2" persistent-keepalive 25
  for look in 1 2 3 4; do
    sleep 0.025
    wg show "$0" latest-handshakes | grep -qF "$1\t0" || exit 0
  done
done
"""
# On a busy machine cloud-init is gone before its last words are on the console: systemd's word is as good.
_FINISHED = re.compile(r"Cloud-init v\. \S+ finished at|cloud-init-main\.service: Deactivated successfully")


@contextmanager
def running_lab(*, move_seconds: float = 0.2, floating: bool = False) -> Generator[Mapping[str, str]]:
    """A lab of this code, with the main job done; gives the deployer's settings. Gone afterwards. `floating`: with the
    endpoint mode floating-ip, whose address takes `move_seconds` to move."""
    life.down()
    life.start_daemon()
    try:
        job.main_job(Console(quiet=True), move_seconds=move_seconds, conflicts=0.0, floating=floating)
        yield calls.environment()
    finally:
        life.down()


def api(environment: Mapping[str, str], service: str) -> BaseClient:
    import boto3  # pyright: ignore[reportMissingTypeStubs]

    made = boto3.client(  # pyright: ignore[reportUnknownMemberType, reportCallIssue, reportArgumentType, reportUnknownVariableType]
        service,
        region_name=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        verify=environment["AWS_CA_BUNDLE"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    return cast(BaseClient, made)


def call(client: BaseClient, action: str, **parameters: object) -> Document:
    """One call by its name in the API."""
    return cast(Document, client._make_api_call(action, parameters))  # pyright: ignore


def run_machine(environment: Mapping[str, str], user_data: str, **more: object) -> str:
    """A machine of the gateways' image and type in a gateway's subnet; its id."""
    ec2 = api(environment, "ec2")
    gateway = gateways(environment)["a"]["instance_id"]
    found = call(ec2, "DescribeInstances", InstanceIds=[gateway])
    image = cast(list[dict[str, list[Document]]], found["Reservations"])[0]["Instances"][0]["ImageId"]
    place: Document = {"SubnetId": gateway_interface(environment)["SubnetId"]}
    made = call(
        ec2, "RunInstances", ImageId=image, InstanceType="t4g.small", MinCount=1, MaxCount=1, UserData=user_data,
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1}, **{**place, **more},
    )  # fmt: skip
    return str(cast(list[Document], made["Instances"])[0]["InstanceId"])


def gateway_interface(environment: Mapping[str, str]) -> Document:
    """The interface of the gateway in slot a, as the API describes it."""
    instance = gateways(environment)["a"]["instance_id"]
    only = [{"Name": "attachment.instance-id", "Values": [instance]}]
    found = call(api(environment, "ec2"), "DescribeNetworkInterfaces", Filters=only)
    return cast(list[Document], found["NetworkInterfaces"])[0]


def gateways(environment: Mapping[str, str]) -> dict[str, Mapping[str, object]]:
    """Each slot's record as the command tells it."""
    rows = cast(list[Mapping[str, object]], clients.twinlock(environment, "gateway", "list")["gateways"])
    return {str(row["slot"]): row for row in rows}


def caught_up(environment: Mapping[str, str]) -> bool | None:
    """Whether every gateway has all that the registry holds, and is well; None for no, as `until` wants it."""
    return all(not row["behind"] and row["well"] for row in gateways(environment).values()) or None


def shake_hands(client: Client, way: str, endpoint: str) -> None:
    """Returns when the gateway with this way has answered the client."""
    asked = client.run("timeout", "90", "sh", "-c", _ASK, client.interface, way, endpoint)
    if asked.returncode:
        raise RuntimeError(f"asking {endpoint} for a handshake: exit code {asked.returncode} {asked.stderr[-500:]}")


def boots() -> tuple[Boot, ...]:
    return calls.status().machines


def first_boot(instance: str) -> float:
    """Waits for the end of its cloud-init; gives when the machine was started (time.monotonic)."""
    began = until(
        lambda: next((boot.began for boot in boots() if boot.id == instance), None), f"the start of {instance}"
    )
    until(lambda: _FINISHED.search(calls.console(instance)), "the end of its cloud-init")
    return began


def until(find: Callable[[], T | None], what: str, seconds: float = 90) -> T:
    """What `find` gives at last; looks every 10 ms."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := find()) is not None:
            return found
        time.sleep(0.01)
    raise TimeoutError(f"{what}: not within {seconds} s")
