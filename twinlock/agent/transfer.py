"""The proof that a transfer goes through: a small object, written and read on the path that peers' packets take.

Forwarding, the firewall's rules for storage, the translation of addresses, the endpoint, its policy and the bucket's
are all in that path; each proof makes a connection of its own. It is read often and written once a minute.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address, ip_network
from typing import Protocol
from urllib.parse import urlsplit

from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.probe import take_socket

WRITE_SECONDS = 60.0
_SECONDS = 1.5  # for each step of a transfer
_LARGEST = 200  # bytes


class ProofStore(Protocol):
    """Where the object is: signed addresses, each good for a minute; nothing is asked of the cloud for them."""

    def proof_url(self, method: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Proof:
    ahead: float  # seconds that this gateway's clock is ahead of the storage's, to a second


class Transfer:
    """Of one thread."""

    def __init__(
        self,
        store: ProofStore,
        take: Callable[[], socket.socket] = take_socket,
        resolve: Callable[[str], str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._store, self._take, self._resolve = store, take, resolve or _address_of
        self._context = context or ssl.create_default_context()
        self._written: bytes | None = None
        self._write_at = float("-inf")

    def prove(self, storage: Sequence[str]) -> Proof | None:
        """`storage` are the CIDRs that peers reach it at: None if the name leads elsewhere here (interface endpoints).
        Raises CloudUnavailable with what did not go through."""
        began = time.monotonic()
        try:
            address = self._resolve(urlsplit(self._store.proof_url("GET")).hostname or "")
        except OSError as exc:
            raise CloudUnavailable(f"the storage's name: {exc}") from exc
        if not any(ip_address(address) in ip_network(cidr) for cidr in storage):
            return None
        if self._written is None or began >= self._write_at + WRITE_SECONDS:
            body = secrets.token_hex(16).encode()
            self._written = None
            self._send("PUT", address, body)
            self._written, self._write_at = body, began
        answer, found = self._send("GET", address, None)
        if found != self._written:
            raise CloudUnavailable("GET: what was read is not what was written")
        said = answer.getheader("Date")
        ahead = time.time() - parsedate_to_datetime(said).timestamp() if said else 0.0
        return Proof(ahead=ahead)

    def _send(self, method: str, address: str, body: bytes | None) -> tuple[http.client.HTTPResponse, bytes]:
        url = urlsplit(self._store.proof_url(method))
        host = url.hostname or ""
        connection = http.client.HTTPSConnection(host, timeout=_SECONDS)
        try:
            with self._take() as plain:
                plain.settimeout(_SECONDS)
                plain.connect((address, url.port or 443))
                with self._context.wrap_socket(plain, server_hostname=host) as secure:
                    connection.sock = secure
                    connection.request(method, f"{url.path}?{url.query}", body)
                    answer = connection.getresponse()
                    found = answer.read(_LARGEST)
        except (OSError, http.client.HTTPException) as exc:
            raise CloudUnavailable(f"{method}: {exc or type(exc).__name__}") from exc
        if answer.status != 200:
            raise CloudUnavailable(f"{method}: the storage answers {answer.status}")
        return answer, found


def _address_of(host: str) -> str:
    return str(socket.getaddrinfo(host, 443, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
