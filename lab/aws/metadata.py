"""The instance metadata service: 169.254.169.254:80 of each network, who asks told by the source address.

IMDSv2 as in "Use the Instance Metadata Service": a token by PUT, whose answer travels no further than the instance's
hop limit; without one, 401 where tokens are required.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.aws.metadata_tree import InstanceView, identity_document, listing, tree

log = logging.getLogger(__name__)

MAX_TOKEN_SECONDS = 21600
# cloud-init asks for dated versions and takes the newest that answers.
VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")


@dataclass(frozen=True, kw_only=True)
class RoleCredentials:
    """Temporary credentials of an instance's role."""

    role: str  # name
    access_key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    updated: datetime
    expires: datetime


# Who has a private address.
Lookup = Callable[[str], InstanceView | None]
# The name of the role that an instance has now, None without one; and credentials for it.
RoleOf = Callable[[InstanceView], str | None]
CredentialsOf = Callable[[InstanceView, str], RoleCredentials]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    kind: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


class Tokens:
    """Tokens that were given out: each is good for one instance, until its time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def give(self, instance: str, seconds: int) -> str:
        now = self._clock()
        token = secrets.token_urlsafe(42)
        with self._lock:
            self._given = {key: value for key, value in self._given.items() if value[1] > now}
            self._given[token] = (instance, now + seconds)
        return token

    def good(self, token: str, instance: str) -> bool:
        with self._lock:
            owner, until = self._given.get(token, ("", 0.0))
        return hmac.compare_digest(owner, instance) and until > self._clock()


class Answers:
    """What each request is answered with; no socket in here."""

    def __init__(self, role_of: RoleOf, credentials_of: CredentialsOf, tokens: Tokens) -> None:
        self._role_of, self._credentials_of, self._tokens = role_of, credentials_of, tokens

    def put(self, view: InstanceView, path: str, headers: dict[str, str]) -> Reply:
        if path != "/latest/api/token":
            return Reply(404)
        if "x-forwarded-for" in headers:  # a proxy asks: refused
            return Reply(403)
        given = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not given.isdigit() or not 1 <= int(given) <= MAX_TOKEN_SECONDS:
            return Reply(400)
        token = self._tokens.give(view.id, int(given))
        return Reply(200, token.encode(), headers=(("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", given),))

    def get(self, view: InstanceView, path: str, headers: dict[str, str]) -> Reply:
        token = headers.get("x-aws-ec2-metadata-token")
        if token is None and view.options.tokens == "required":
            return Reply(401)
        if token is not None and not self._tokens.good(token, view.id):
            return Reply(401)
        version, _, rest = path.lstrip("/").partition("/")
        if not version:
            return Reply(200, "\n".join(VERSIONS).encode())
        if version not in VERSIONS:
            return Reply(404)
        return self._value(view, rest)

    def _value(self, view: InstanceView, rest: str) -> Reply:
        category, _, name = rest.partition("/")
        match category:
            case "":
                return Reply(200, b"dynamic\nmeta-data\nuser-data" if view.user_data else b"dynamic\nmeta-data")
            case "user-data":
                return Reply(200, view.user_data, "application/octet-stream") if view.user_data else Reply(404)
            case "dynamic":
                return self._dynamic(view, name.strip("/"))
            case "meta-data":
                return self._metadata(view, name.strip("/"))
            case _:
                return Reply(404)

    @staticmethod
    def _dynamic(view: InstanceView, name: str) -> Reply:
        known = {"instance-identity/document": identity_document(view)}
        found = known.get(name) or listing(known, name)
        return Reply(200, found.encode()) if found else Reply(404)

    def _metadata(self, view: InstanceView, name: str) -> Reply:
        known = dict(tree(view))
        if view.profile:
            known["iam/info"] = ""
            known["iam/security-credentials/"] = ""
        if name == "iam" or name.startswith("iam/"):
            return self._iam(view, name.removeprefix("iam").strip("/"))
        found = known.get(name) or listing(known, name)
        return Reply(404) if found is None else Reply(200, found.encode())

    def _iam(self, view: InstanceView, name: str) -> Reply:
        role = self._role_of(view) if view.profile else None
        if role is None:
            return Reply(404)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if name == "":
            return Reply(200, b"info\nsecurity-credentials/")
        if name == "info":
            info = {"Code": "Success", "LastUpdated": now, "InstanceProfileArn": view.profile}
            return _json({**info, "InstanceProfileId": f"AIPA{view.id[-17:].upper()}"})
        if name == "security-credentials":
            return Reply(200, role.encode())
        if name == f"security-credentials/{role}":
            return _json(credentials_document(self._credentials_of(view, role)))
        return Reply(404)


def credentials_document(given: RoleCredentials) -> dict[str, str]:
    return {
        "Code": "Success",
        "LastUpdated": given.updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Type": "AWS-HMAC",
        "AccessKeyId": given.access_key,
        "SecretAccessKey": given.secret,
        "Token": given.token,
        "Expiration": given.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _json(document: dict[str, str]) -> Reply:
    return Reply(200, json.dumps(document, indent=2).encode(), "application/json")


class MetadataService:
    """Serves on a listening socket that somebody made inside a network's namespace. `stop` closes it."""

    def __init__(self, sock: socket.socket, lookup: Lookup, role_of: RoleOf, credentials_of: CredentialsOf) -> None:
        class Handler(_Handler):
            find = staticmethod(lookup)
            replies = Answers(role_of, credentials_of, Tokens())

        self._server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = sock
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._serve, name="metadata", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _serve(self) -> None:
        """Until the socket is shut down, by `stop` or by the fabric; serve_forever would spin on it then."""
        while True:
            try:
                request, address = self._server.get_request()
            except OSError:
                return
            self._server.process_request(request, address)

    def stop(self) -> None:
        with suppress(OSError):  # the fabric was faster
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    timeout = 30
    # Headers and body are two segments: the second would wait for the client's delayed acknowledgement, 40 ms.
    disable_nagle_algorithm = True
    find: Lookup
    replies: Answers

    def do_PUT(self) -> None:
        self._answer(self.replies.put)

    def do_GET(self) -> None:
        self._answer(self.replies.get)

    def do_HEAD(self) -> None:
        self._answer(self.replies.get)

    def _answer(self, act: Callable[[InstanceView, str, dict[str, str]], Reply]) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        view = self.find(self.client_address[0])
        if view is None:
            self._send(Reply(404))
            return
        if not view.options.enabled:
            self._send(Reply(403))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.command == "PUT":
            # For the rest of this connection: what is sent again because it was lost must not travel further either.
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, view.options.hop_limit)
        self._send(act(view, self.path.partition("?")[0], headers))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in (("Content-Type", reply.kind), ("Content-Length", str(len(reply.body))), *reply.headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug("%s " + format, self.client_address[0], *args)
