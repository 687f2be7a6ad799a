"""Who signed a request, and what is known of them: one cached reading of moto's identities."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.aws import identities, names, signature
from lab.aws.backends import BackendError
from lab.aws.call import Caller
from lab.aws.identities import Identities, Key, Principal
from lab.aws.names import ACCOUNT
from lab.aws.requests import Request
from lab.aws.signature import SignatureError


class Directory:
    """The latest reading, kept until `forget`."""

    def __init__(self, fetch: Callable[[], Identities]) -> None:
        self._fetch, self._lock = fetch, threading.Lock()
        self._reading: Identities | None = None

    def reading(self) -> Identities:
        """Raises BackendError when moto does not answer."""
        with self._lock:
            if self._reading is None:
                self._reading = self._fetch()
            return self._reading

    def forget(self) -> None:
        """To be called after every write that could change who may do what."""
        with self._lock:
            self._reading = None


def fetch(port: int) -> Identities:
    """A reading from moto's process at PORT."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/lab/identities")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise BackendError(f"moto can't say who there is: {response.status} {body[:200]!r}")
    return identities.read(body)


@dataclass(frozen=True)
class Signer:
    """A caller and what stands behind them."""

    caller: Caller
    principal: Principal
    key: Key


def signer(request: Request, body: bytes, known: Identities) -> Signer:
    """Who made the request's signature. Raises SignatureError."""
    signed = request.signed
    if signed is None:
        raise SignatureError("MissingAuthenticationToken", "the request is not signed")
    key = next((one for one in known.keys if one.access_key == signed.access_key), None)
    if key is None:
        raise SignatureError("InvalidClientTokenId", f"no access key {signed.access_key} exists")
    if key.token != signed.token:
        raise SignatureError("InvalidClientTokenId", "the session token is not the access key's")
    if key.expires and datetime.fromisoformat(key.expires).replace(tzinfo=UTC) < datetime.now(UTC):
        raise SignatureError("ExpiredToken", f"the session ended at {key.expires}")
    scopes = {scope for scope, service in names.SERVICES.items() if service == request.service}
    signature.verify_scope(signed, scopes, names.region_of_host(request.headers.get("host", "")))
    signature.verify(signed, key.secret, request.method, request.sent_path, request.query, request.headers, body)
    return _signer(key, known)


def _signer(key: Key, known: Identities) -> Signer:
    wanted = ("user", key.user) if key.user else ("role", (key.role_arn or "").rpartition("/")[2])
    principal = next((one for one in known.principals if (one.kind, one.name) == wanted), None)
    if principal is None:
        raise SignatureError("InvalidClientTokenId", f"the {wanted[0]} {wanted[1]} of this access key is gone")
    if principal.kind == "user":
        caller = Caller(
            arn=principal.arn, user_id=principal.id, account=ACCOUNT, role_name=None, access_key=key.access_key
        )
    else:
        caller = Caller(
            arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{principal.name}/{key.session}",
            user_id=f"{principal.id}:{key.session}",
            account=ACCOUNT,
            role_name=principal.name,
            access_key=key.access_key,
        )
    return Signer(caller, principal, key)
