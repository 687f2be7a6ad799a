"""The cloud's API: the one file that calls it. Credentials, endpoint and certificates come from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

from .errors import ApiError, ProviderError
from .json_path import text
from .limits import Shape, beyond
from .values import Json, Value

if TYPE_CHECKING:
    from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs]


class _Operation(Protocol):
    input_shape: Shape | None


class _Model(Protocol):
    def operation_model(self, operation_name: str) -> _Operation: ...


class _Meta(Protocol):
    service_model: _Model
    method_to_api_mapping: Mapping[str, str]


class _Client(Protocol):
    """botocore makes the methods when it runs: they are looked up by name."""

    meta: _Meta


class Api:
    """Calls of one region. Safe for threads."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._clients: dict[str, _Client] = {}
        self._lock = Lock()

    def call(self, service: str, operation: str, /, **parameters: object) -> Json:
        """One call, such as call("ec2", "create_vpc", CidrBlock="10.0.0.0/16").

        Raises ApiError where the cloud refuses, and ProviderError, without a call, where AWS's model of the API does.
        """
        from botocore.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
            BotoCoreError,
            ClientError,
        )

        client = self._client(service)
        _stay_within(client, service, operation, parameters)
        try:
            answer = getattr(client, operation)(**parameters)
        except ClientError as refused:
            error = cast("Json", refused.response).get("Error")
            raise ApiError(text(error, "Code"), f"{text(error, 'Message')} ({service} {operation})") from refused
        except BotoCoreError as failed:
            raise ApiError(type(failed).__name__, f"{failed} ({service} {operation})") from failed
        return cast("Json", _plain(answer))

    def every(self, service: str, operation: str, key: str, /, **parameters: object) -> list[Json]:
        """The entries under `key` in all pages of a listing call."""
        found: list[Json] = []
        token: dict[str, object] = {}
        while True:
            answer = self.call(service, operation, **parameters, **token)
            entries = answer.get(key)
            found += [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
            following = text(answer, "NextToken")
            if not following:
                return found
            token = {"NextToken": following}

    @cached_property
    def account(self) -> str:
        """The account's number, 12 digits."""
        return text(self.call("sts", "get_caller_identity"), "Account")

    @property
    def partition(self) -> str:
        """The first part of an ARN after `arn:`."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rsplit("-", 2)[0], "aws")

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        """The ARN of a resource of this account."""
        return f"arn:{self.partition}:{service}:{self.region if region else ''}:{self.account}:{resource}"

    def _client(self, service: str) -> _Client:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = _make(service, self.region)
            return self._clients[service]


def _stay_within(client: _Client, service: str, operation: str, parameters: Mapping[str, object]) -> None:
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
    if shape is not None and (wrong := list(beyond(shape, parameters))):
        raise ProviderError(f"{'; '.join(wrong)} ({service} {operation}, by the model of AWS's API)")


@cache
def _session() -> Session:
    """One for all regions: it keeps the services' models, which take longest to load."""
    import botocore.session  # pyright: ignore[reportMissingTypeStubs]

    return botocore.session.get_session()  # pyright: ignore[reportUnknownMemberType]


def _make(service: str, region: str) -> _Client:
    """botocore's own session: importing boto3 besides would cost each start of the plugin a tenth of a second."""
    from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]

    # Behind one address for all services a bucket can't be a host name.
    paths = {"addressing_style": "path"} if os.environ.get("AWS_ENDPOINT_URL") else {}
    settings = Config(s3=paths, retries={"mode": "standard"}, max_pool_connections=32)
    made = _session().create_client(  # pyright: ignore[reportUnknownMemberType]
        service, region_name=region, config=settings
    )
    return cast("_Client", made)


def _plain(value: object) -> Value:
    match value:
        case datetime():
            return value.isoformat()
        case dict():
            return {str(key): _plain(part) for key, part in cast("dict[object, object]", value).items()}
        case list():
            return [_plain(part) for part in cast("list[object]", value)]
        case None | bool() | int() | float() | str():
            return value
        case _ if hasattr(value, "read"):
            return None  # the body of an object: nothing here reads one
        case _:
            return str(value)
