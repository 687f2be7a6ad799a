"""The front: HTTP/1.1 over TLS on AWS's own host names, before the processes that answer.

For each request: which service and operation, who signed it, may they, and then whoever answers: an override of the
lab's own or the process behind. Objects of S3 are streamed through; everything else is small and read whole.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer
from typing import BinaryIO, cast

from lab.aws import call as calls
from lab.aws import streams
from lab.aws.call import Answer, Source
from lab.aws.requests import Request, RequestError, understand

SMALL_BODY = 64 * 1024 * 1024  # bytes that are read whole at most
STREAMED = frozenset({"PutObject", "UploadPart"})
IDLE_SECONDS = 120.0

log = logging.getLogger(__name__)


Handle = Callable[[Request, bytes, streams.Upload | None, Source], Answer | streams.Streamed]


class Listener:
    """Serves one listening socket: a thread that accepts, a thread for each connection."""

    def __init__(
        self, sock: socket.socket, context: Callable[[], ssl.SSLContext] | None, endpoint: str | None, handle: Handle
    ) -> None:
        self._sock, self._context, self._endpoint, self._handle = sock, context, endpoint, handle
        self._open: set[socket.socket] = set()
        self._stopped = False
        self.port = int(sock.getsockname()[1])
        threading.Thread(target=self._accept, name=f"front:{self.port}", daemon=True).start()

    def stop(self) -> None:
        """Closes the socket and every connection that came through it."""
        self._stopped = True
        for one in (self._sock, *tuple(self._open)):
            _shut(one)

    def _accept(self) -> None:
        while not self._stopped:
            try:
                connection, address = self._sock.accept()
            except OSError:
                if self._stopped:
                    return
                time.sleep(0.01)  # out of descriptors, or the peer is gone already
                continue
            serve = threading.Thread(target=self._serve, args=(connection, str(address[0])), daemon=True)
            serve.start()

    def _serve(self, connection: socket.socket, address: str) -> None:
        self._open.add(connection)
        try:
            connection.settimeout(IDLE_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._context().wrap_socket(connection, server_side=True) if self._context else connection
            self._open.add(wrapped)
            try:
                _Connection(wrapped, address, Source(address=address, endpoint=self._endpoint), self._handle)
            finally:
                self._open.discard(wrapped)
                _shut(wrapped)
        except (OSError, ssl.SSLError):
            return  # the client went away, or does not trust the lab's authority: its side tells
        finally:
            self._open.discard(connection)
            _shut(connection)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected, or closed from the other side
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class _Connection(BaseHTTPRequestHandler):
    """One connection; http.server parses the request line and headers."""

    protocol_version = "HTTP/1.1"
    rbufsize = streams.PIECE
    wbufsize = 0

    def __init__(self, connection: socket.socket, address: str, source: Source, handle: Handle) -> None:
        self._source, self._answer_to = source, handle
        self._expects = False  # the client waits for the go-ahead
        self._upload: Iterator[bytes] | None = None
        super().__init__(connection, (address, 0), cast(BaseServer, None))  # no server behind: Listener is it

    def handle_expect_100(self) -> bool:
        """The go-ahead is given when the body is wanted, so that a refused upload is never sent."""
        self._expects = True
        return True

    def _any_method(self) -> None:
        headers = _headers(self.headers.items())
        try:
            answer = self._answer(headers)
        except (RequestError, streams.BodyError) as error:
            self.close_connection = True
            log.warning("%s %s from %s: %s", self.command, headers.get("host"), self._source.address, error)
            answer = Answer(status=400, headers={"Content-Type": "text/plain"}, body=str(error).encode())
        except Exception as error:
            self.close_connection = True
            log.exception("%s %s: %s", self.command, self.path.partition("?")[0], headers.get("host"))
            text = f"the lab failed: {type(error).__name__}: {error}"
            answer = Answer(status=500, headers={"Content-Type": "text/plain"}, body=text.encode())
        self._send(answer)
        self._drain()
        self._expects = False

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _any_method  # noqa: N815

    def _answer(self, headers: Mapping[str, str]) -> Answer | streams.Streamed:
        request = understand(self.command, self.path, headers)
        length = streams.decoded_length(headers)
        if request.service == "s3" and request.action in STREAMED:
            if length is None:
                return calls.error("s3", None, headers, "MissingContentLength", "say how long the object is", 411)
            self._upload = self._body(headers)
            answer = self._answer_to(request, b"", streams.Upload(self._upload, length), self._source)
            self.close_connection = self.close_connection or self._expects
            return answer
        whole = self._whole(headers, length)
        return self._answer_to(understand(self.command, self.path, headers, whole), whole, None, self._source)

    def _body(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        if self._expects:
            self._expects = False
            self.send_response_only(100)
            self.end_headers()
        yield from streams.pieces(cast(BinaryIO, self.rfile), headers)

    def _whole(self, headers: Mapping[str, str], length: int | None) -> bytes:
        if length is not None and length > SMALL_BODY:
            raise RequestError(f"a body of {length} bytes is more than this operation takes ({SMALL_BODY})")
        return b"".join(self._body(headers))

    def _drain(self) -> None:
        """What a refused upload still sends: a client reads no answer before it has sent everything, unless it waits
        for the go-ahead, which it was not given."""
        upload, self._upload = self._upload, None
        if upload is None or self._expects:
            return
        try:
            for _ in upload:
                pass
        except streams.BodyError:
            self.close_connection = True

    def _send(self, answer: Answer | streams.Streamed) -> None:
        self.send_response_only(answer.status)
        present = {name.lower() for name in answer.headers}
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "date" not in present:
            self.send_header("Date", self.date_time_string())
        if isinstance(answer, Answer) and "content-length" not in present and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in (answer.body,) if isinstance(answer, Answer) else answer.pieces:
            self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:
        """The journal says what was called."""


def _headers(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Lower-case names; a name that is sent twice has its values joined, as HTTP says."""
    merged: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        merged[lower] = f"{merged[lower]},{value}" if lower in merged else value
    return merged
