"""Bodies on the wire: plain, HTTP chunked, and S3's aws-chunked inside either, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

PIECE = 256 * 1024  # bytes read at a time
LINE = 16 * 1024  # bytes of a chunk's header at most


@dataclass(frozen=True)
class Upload:
    """An object on its way in."""

    pieces: Iterator[bytes]
    length: int  # bytes


@dataclass(frozen=True)
class Streamed:
    """An answer whose body is read piece by piece. `headers` hold its Content-Length."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class BodyError(Exception):
    """The body is not what its headers say."""


def decoded_length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body once its chunks are taken apart; None when the headers do not say."""
    said = headers.get("x-amz-decoded-content-length") or headers.get("content-length")
    if said is None:
        return None if "transfer-encoding" in headers else 0
    return int(said)


def pieces(stream: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The body's bytes, chunks of either kind taken apart. Trailers are read and dropped. Raises BodyError."""
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    wire = _HttpChunks(stream) if chunked else _Plain(stream, int(headers.get("content-length", "0")))
    if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        yield from _aws_chunks(wire)
        while wire.read(PIECE):  # trailers, and the end of the outer chunks
            pass
        return
    while piece := wire.read(PIECE):
        yield piece


class _Plain:
    """A body of known length."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream, self._left = stream, length

    def read(self, size: int) -> bytes:
        piece = self._stream.read(min(size, self._left)) if self._left else b""
        if self._left and not piece:
            raise BodyError(f"the body ended {self._left} bytes early")
        self._left -= len(piece)
        return piece

    def line(self) -> bytes:
        line = self._stream.readline(min(LINE, self._left)) if self._left else b""
        self._left -= len(line)
        return line


class _HttpChunks:
    """A body in HTTP's own chunks: https://www.rfc-editor.org/rfc/rfc9112#section-7.1"""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left, self._ended = stream, 0, False

    def _next(self) -> None:
        size = _hex(self._stream.readline(LINE))
        self._left, self._ended = size, size == 0
        while self._ended and self._stream.readline(LINE).strip():
            pass

    def read(self, size: int) -> bytes:
        if not self._left and not self._ended:
            self._next()
        if self._ended:
            return b""
        piece = self._stream.read(min(size, self._left))
        return self._took(piece)

    def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and len(line) < LINE:
            if not self._left and not self._ended:
                self._next()
            if self._ended:
                return line
            line += self._took(self._stream.readline(min(LINE - len(line), self._left)))
        return line

    def _took(self, piece: bytes) -> bytes:
        if not piece:
            raise BodyError("the body ended inside a chunk")
        self._left -= len(piece)
        if not self._left:
            self._stream.readline(LINE)
        return piece


def _aws_chunks(wire: _Plain | _HttpChunks) -> Iterator[bytes]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html"""
    while size := _hex(wire.line()):
        while size:
            piece = wire.read(min(size, PIECE))
            if not piece:
                raise BodyError("the body ended inside a chunk")
            size -= len(piece)
            yield piece
        wire.line()


def _hex(line: bytes) -> int:
    """A chunk's size; what follows a semicolon is its extension or signature."""
    digits = line.split(b";")[0].strip()
    if not digits or not set(digits) <= set(b"0123456789abcdefABCDEF"):
        raise BodyError(f"a chunk begins with {line[:40]!r}, which is no size")
    return int(digits, 16)
