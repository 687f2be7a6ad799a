"""What a request asks for: service, operation, bucket and key, told from host, path, headers and body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote

from lab.aws import names, signature
from lab.aws.s3_operations import operation_of
from lab.aws.signature import Signed

# First parts of a path that moto keeps for itself, whatever the service.
_MOTOS_OWN = frozenset({"moto-api", "latest", "favicon.ico"})


class RequestError(Exception):
    """Not a request that the lab's cloud knows."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """An understood request."""

    service: str
    action: str | None  # None: no such operation
    region: str
    method: str
    path: str  # path style for S3 ("/bucket/key"), as sent elsewhere; percent-encoded
    query: str
    headers: Mapping[str, str] = field(repr=False)  # lower-case names
    sent_path: str  # as it was signed
    signed: Signed | None
    bucket: str | None = None
    key: str | None = None  # decoded


def understand(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Request:
    """The request for TARGET (path and query). Raises RequestError."""
    path, _, query = target.partition("?")
    try:
        signed = signature.read(headers, query)
    except (signature.SignatureError, ValueError) as error:
        raise RequestError(str(error)) from error
    service, bucket = _service(headers.get("host", ""), signed)
    region = signed.region if signed else names.REGION
    if service == "s3":
        return _s3(method, path, query, headers, signed, bucket, region)
    if path not in ("", "/"):
        raise RequestError(f"{service} has no path {path!r}")
    return Request(
        service=service,
        action=_action(headers, query, body),
        region=region,
        method=method,
        path=path,
        query=query,
        headers=headers,
        sent_path=path,
        signed=signed,
    )


def _service(host: str, signed: Signed | None) -> tuple[str, str | None]:
    if named := names.of_host(host):
        return named
    scope = signed.service if signed else "s3"
    if scope not in names.SERVICES:
        raise RequestError(f"the lab has no service {scope!r} (host {host!r})")
    return names.SERVICES[scope], None


def _s3(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed: Signed | None,
    bucket: str | None,
    region: str,
) -> Request:
    styled = f"/{quote(bucket)}{path}" if bucket else path
    in_path, _, key = styled.lstrip("/").partition("/")
    bucket = unquote(in_path) or None
    if bucket in _MOTOS_OWN:
        raise RequestError(f"the lab can have no bucket {bucket!r}")
    return Request(
        service="s3",
        action=operation_of(method, bucket, key, query, headers),
        region=region,
        method=method,
        path=styled,
        query=query,
        headers=headers,
        sent_path=path,
        signed=signed,
        bucket=bucket,
        key=unquote(key) or None,
    )


def _action(headers: Mapping[str, str], query: str, body: bytes) -> str | None:
    """JSON protocols name the operation in a header, query protocols in a parameter."""
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    form = body.decode(errors="replace") if "x-www-form-urlencoded" in headers.get("content-type", "") else ""
    found = {name for text in (query, form) for name in parse_qs(text).get("Action", [])}
    if len(found) > 1:
        raise RequestError(f"the request asks for several operations: {sorted(found)}")
    return found.pop() if found else None
