"""An elastic IP that is moved between the environment's interfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.agent.boot import Floating
from twinlock.agent.errors import CloudUnavailable

Answer = Mapping[str, object]


class Ec2Addresses(Protocol):
    """What is used of the client of EC2."""

    def describe_addresses(self, **arguments: object) -> Answer: ...
    def associate_address(self, **arguments: object) -> Answer: ...


class ElasticIp:
    """twinlock.agent.floating.FloatingAddress."""

    def __init__(self, client: Callable[[], Ec2Addresses], floating: Floating) -> None:
        self._client, self._floating = client, floating

    def is_here(self) -> bool:
        answer = _asked(lambda: self._client().describe_addresses(AllocationIds=[self._floating.allocation]))
        found = cast(list[Mapping[str, str]], answer["Addresses"])
        leads = [(one.get("NetworkInterfaceId"), one.get("PrivateIpAddress")) for one in found]
        return leads == [(self._floating.interface, self._floating.private_address)]

    def take(self) -> None:
        _asked(
            lambda: self._client().associate_address(
                AllocationId=self._floating.allocation,
                NetworkInterfaceId=self._floating.interface,
                PrivateIpAddress=self._floating.private_address,
                AllowReassociation=True,
            )
        )


def _asked(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except (BotoCoreError, ClientError) as exc:
        raise CloudUnavailable(" ".join(str(exc).split())) from exc
