"""Hands a request to the process behind the front, and its answer back."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping

from lab.aws.backends import BackendError
from lab.aws.call import Answer, Call
from lab.aws.requests import Request
from lab.aws.streams import PIECE, Streamed, Upload

ANSWER_SECONDS = 120.0
# Of one connection alone, or no longer true once the body's chunks are taken apart.
_NOT_PASSED_ON = frozenset(
    {"connection", "content-length", "expect", "host", "transfer-encoding", "x-amz-decoded-content-length"}
)
_NOT_PASSED_BACK = frozenset({"connection", "transfer-encoding", "server", "date"})
SMALL_ANSWER = 64 * 1024


def whole(port: int, call: Call) -> Answer:
    """A call as it stands, its answer read whole. Raises as `forward`."""
    headers = {name: value for name, value in call.headers.items() if name not in _NOT_PASSED_ON}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request(call.method, call.path, body=call.body, headers=headers)
        response = connection.getresponse()
        back = {name: value for name, value in response.getheaders() if name.lower() not in _NOT_PASSED_BACK}
        return Answer(status=response.status, headers=back, body=response.read())
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise BackendError(f"{call.service} {call.action}: the process behind did not answer: {error}") from error
    finally:
        connection.close()


def forward(port: int, request: Request, body: bytes, upload: Upload | None) -> Answer | Streamed:
    """Raises BackendError when the process behind does not answer, streams.BodyError when the upload breaks off."""
    try:
        return _forward(port, request, body, upload)
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise BackendError(f"{request.service} {request.action}: the process behind did not answer: {error}") from error


def _forward(port: int, request: Request, body: bytes, upload: Upload | None) -> Answer | Streamed:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, blocksize=PIECE)
    target = f"{request.path}?{request.query}" if request.query else request.path
    headers = passed_on(request, len(body) if upload is None else upload.length)
    connection.request(request.method, target, body=upload.pieces if upload else body, headers=headers)
    response = connection.getresponse()
    back = {name: value for name, value in response.getheaders() if name.lower() not in _NOT_PASSED_BACK}
    length = response.getheader("Content-Length")
    if request.method == "HEAD" or length is None or int(length) <= SMALL_ANSWER:
        whole = response.read()
        connection.close()
        return Answer(status=response.status, headers=back, body=whole)
    return Streamed(response.status, back, _pieces(connection, response))


def passed_on(request: Request, length: int) -> dict[str, str]:
    """The request's headers for the process behind, with the body's real length."""
    headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
    if request.service == "s3":
        headers |= _plain_object(request.headers)
        headers["host"] = f"s3.{request.region}.amazonaws.com"
    else:
        headers["host"] = request.headers.get("host", "")
    headers["content-length"] = str(length)
    return {name: value for name, value in headers.items() if value}


def _plain_object(headers: Mapping[str, str]) -> dict[str, str]:
    """S3's own chunks are gone by now, and so is the encoding that announced them."""
    if not headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return {}
    encodings = [one.strip() for one in headers.get("content-encoding", "").split(",")]
    left = ",".join(one for one in encodings if one and one != "aws-chunked")
    return {"x-amz-content-sha256": "UNSIGNED-PAYLOAD", "content-encoding": left, "x-amz-trailer": ""}


def _pieces(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(PIECE):
            yield piece
    finally:
        connection.close()
