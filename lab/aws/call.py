"""One call of the AWS API, as the front hands it to whoever answers it, and how to answer in the service's own form.

Parameters are parsed, and answers written, from the models that botocore carries, by moto's parsers and serializers:
the same code that answers everything else in the lab.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast
from urllib.parse import parse_qsl

from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS, RequestDict
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict

# What parameters and results are made of, named as in boto3 ({"AutoScalingGroupNames": ["x"]}).
Value = None | bool | int | float | str | bytes | datetime | list["Value"] | dict[str, "Value"]
Parameters = dict[str, Value]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who signed a call."""

    arn: str  # arn:aws:iam::…:user/NAME or arn:aws:sts::…:assumed-role/ROLE/SESSION
    user_id: str  # aws:userid: AIDA… of a user, AROA…:SESSION of a role
    account: str
    role_name: str | None  # None for a user
    access_key: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a connection came from."""

    address: str  # IPv4, as the front's socket sees it
    endpoint: str | None  # id of the VPC endpoint that it came through


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that was signed and allowed. `headers` have lower-case names; `body` is empty for streamed S3 objects."""

    service: str  # botocore's name of the service: "ec2", "autoscaling", "s3", "logs", "cloudwatch", …
    action: str  # the operation's name in botocore's model: "RunInstances"
    region: str
    caller: Caller
    headers: Mapping[str, str]
    method: str
    path: str  # as sent, still percent-encoded
    query: str  # as sent, without "?"
    body: bytes
    source: Source


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Override = Callable[[Call], Answer]


def parameters(call: Call) -> Parameters:
    """The call's parameters, typed and named as in boto3. Blobs are bytes, times are naive UTC datetimes."""
    operation = _operation(call.service, call.action)
    parser = PROTOCOL_PARSERS[_protocol(call.service, call.headers)](operation)
    form = call.body.decode() if _is_form(call.headers) else ""
    values = MultiDict(parse_qsl(call.query, keep_blank_values=True) + parse_qsl(form, keep_blank_values=True))
    request: RequestDict = {
        "method": call.method,
        "values": values,
        "headers": Headers(list(call.headers.items())),
        "body": call.body,
        "url_path": call.path,
        "url_params": {},
    }
    return cast(Parameters, parser.parse(request))


def json_body(call: Call) -> Parameters:
    """The body of a JSON protocol's call as it was sent, numbers and nesting untouched.

    Raises ValueError when it is not a JSON object.
    """
    document: Value = json.loads(call.body or b"{}")
    if not isinstance(document, dict):
        raise ValueError(f"{call.service} {call.action}: the body is not a JSON object")  # noqa: TRY004
    return document


def answer(call: Call, result: Mapping[str, object]) -> Answer:
    """A success, written in the call's protocol. `result` is shaped as boto3 returns it."""
    return _serialize(call.service, call.action, call.headers, dict(result))


def fault(call: Call, code: str, message: str, status: int | None = None) -> Answer:
    """An error that boto3 raises as a ClientError with this code; the status is the service model's unless given."""
    return error(call.service, call.action, call.headers, code, message, status)


def error(
    service: str, action: str | None, headers: Mapping[str, str], code: str, message: str, status: int | None = None
) -> Answer:
    """As `fault`, for calls that could not be understood far enough to be a Call."""
    written = _serialize(service, action, headers, _Fault(code, message))
    return written if status is None else replace(written, status=status)


class _Fault(ServiceException):
    """A module of its own keeps moto from looking for the error in a service named after moto's module."""


# moto warns of codes that no model lists, such as AccessDenied.
warnings.filterwarnings("ignore", message=r"Exception\(_Fault\)")


def _serialize(service: str, action: str | None, headers: Mapping[str, str], result: object) -> Answer:
    request_id = str(uuid.uuid4())
    serializer = get_serializer_class(service, _protocol(service, headers))
    response = serializer(_operation(service, action), SerializationContext(request_id)).serialize(result)
    body = response["body"]
    sent = {name: str(value) for name, value in response["headers"].items()} | {"x-amzn-RequestId": request_id}
    return Answer(status=response["status_code"], headers=sent, body=body.encode() if isinstance(body, str) else body)


def _operation(service: str, action: str | None) -> OperationModel:
    model = get_service_model(service)
    return OperationModel(cast("dict[str, object]", {}), model) if action is None else model.operation_model(action)


def _protocol(service: str, headers: Mapping[str, str]) -> str:
    """The protocol that the call is in: services such as CloudWatch speak several."""
    content_type = headers.get("content-type", "")
    metadata = cast("dict[str, object]", get_service_model(service).metadata)  # pyright: ignore[reportUnknownMemberType]
    spoken = cast("list[str]", metadata.get("protocols", []))
    if content_type.startswith("application/x-amz-json") and "json" in spoken:
        return "json"
    if content_type.startswith("application/x-www-form-urlencoded") and "query" in spoken:
        return "query"
    return str(get_service_model(service).protocol)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


def _is_form(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
