"""A Backend over boto3: the one place where its untyped documents come in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs]

from lab.aws.launcher_values import Backend, Document, Refused, record, text


class ApiClient(Protocol):
    """What is used of boto3's clients: the call below their methods, by the operation's name."""

    def _make_api_call(self, operation_name: str, api_params: Mapping[str, object]) -> Mapping[str, object]: ...


def boto_backend(client: Callable[[str], object]) -> Backend:
    """Asks through boto3 clients, each made once. Answers of several pages come whole: moto gives them in one."""
    made: dict[str, ApiClient] = {}
    lock = threading.Lock()

    def ask(service: str, action: str, parameters: Document) -> Document:
        with lock:
            if service not in made:
                made[service] = cast(ApiClient, client(service))
        sent = {key: value for key, value in parameters.items() if value is not None}
        try:
            found = made[service]._make_api_call(action, sent)  # pyright: ignore[reportPrivateUsage]
        except ClientError as exc:
            error = record(cast(Document, exc.response), "Error")
            raise Refused(text(error, "Code"), text(error, "Message")) from exc
        return {key: value for key, value in found.items() if key != "ResponseMetadata"}

    return ask
