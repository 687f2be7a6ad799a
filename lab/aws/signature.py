"""Signature version 4, the server's side: who signed a request, and whether the signature is theirs.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 15 * 60
UNSIGNED = "UNSIGNED-PAYLOAD"

_MISMATCH = "SignatureDoesNotMatch"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_FIELDS = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


class SignatureError(Exception):
    """The request is not signed as it should be. `code` is AWS's own error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What a request says of its own signature."""

    access_key: str
    date: str  # YYYYMMDD
    region: str
    service: str  # as in the scope: "s3", "monitoring", …
    signed_headers: tuple[str, ...]
    signature: str
    time: str  # YYYYMMDDTHHMMSSZ
    token: str | None  # of a session
    presigned_seconds: int | None  # set when the signature is in the query

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read(headers: Mapping[str, str], query: str) -> Signed | None:
    """The signature of a request; `headers` have lower-case names. None: it has none. Raises SignatureError."""
    authorization = headers.get("authorization", "")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if authorization.startswith(ALGORITHM):
        fields = dict(_FIELDS.findall(authorization))
        return _signed(fields, headers.get("x-amz-date", ""), headers.get("x-amz-security-token"), None)
    if asked.get("X-Amz-Algorithm") == ALGORITHM:
        fields = {name: asked.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")}
        seconds = int(asked.get("X-Amz-Expires", "0"))
        return _signed(fields, asked.get("X-Amz-Date", ""), asked.get("X-Amz-Security-Token"), seconds)
    if authorization:
        raise SignatureError("AuthorizationHeaderMalformed", "the lab takes signature version 4 alone")
    return None


def _signed(fields: Mapping[str, str], time: str, token: str | None, presigned: int | None) -> Signed:
    credential = fields.get("Credential", "").split("/")
    if len(credential) != 5 or not fields.get("Signature"):
        raise SignatureError("IncompleteSignature", "the signature lacks its credential scope or itself")
    access_key, date, region, service, terminator = credential
    if terminator != "aws4_request":
        raise SignatureError(_MISMATCH, "Credential should be scoped with a valid terminator: 'aws4_request'")
    signed_headers = tuple(fields.get("SignedHeaders", "").split(";"))
    if "host" not in signed_headers:
        raise SignatureError("SignatureDoesNotMatch", "the Host header must be signed")
    return Signed(
        access_key=access_key,
        date=date,
        region=region,
        service=service,
        signed_headers=signed_headers,
        signature=fields["Signature"],
        time=time,
        token=token,
        presigned_seconds=presigned,
    )


def verify(
    signed: Signed, secret: str, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> None:
    """Raises SignatureError unless SECRET made this signature, recently. `path` and `query` are as sent."""
    _verify_time(signed)
    payload = _payload_hash(signed, headers, body)
    canonical = canonical_request(signed, method, path, query, headers, payload)
    expected = sign(signed, secret, canonical)
    if not hmac.compare_digest(expected, signed.signature):
        raise SignatureError("SignatureDoesNotMatch", "the signature is not the one that this secret key makes")


def verify_scope(signed: Signed, services: Collection[str], region: str | None) -> None:
    """Raises SignatureError unless the credential's scope is one of these services, in the region (None: in any).

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
    """
    if signed.service not in services:
        raise SignatureError(_MISMATCH, f"Credential should be scoped to correct service: '{min(services)}'.")
    if not _REGION.fullmatch(signed.region) or region not in (None, signed.region):
        if signed.service == "s3":
            reason = f"the region '{signed.region}' is wrong; expecting '{region}'"
            raise SignatureError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {reason}")
        raise SignatureError(_MISMATCH, f"Credential should be scoped to a valid region, not '{signed.region}'.")
    if signed.date != signed.time[:8]:
        text = f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {signed.date}"
        raise SignatureError(_MISMATCH, text)


def canonical_request(
    signed: Signed, method: str, path: str, query: str, headers: Mapping[str, str], payload: str
) -> str:
    """The text that is signed."""
    uri = path if signed.service == "s3" else quote(path, safe="/-_.~")
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "X-Amz-Signature"]
    quoted = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed.signed_headers]
    parts = [method, uri, "&".join(f"{name}={value}" for name, value in quoted)]
    return "\n".join([*parts, "".join(lines), ";".join(signed.signed_headers), payload])


def sign(signed: Signed, secret: str, canonical: str) -> str:
    """The signature, hex."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, signed.time, signed.scope, digest])
    key = f"AWS4{secret}".encode()
    for part in (signed.date, signed.region, signed.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _payload_hash(signed: Signed, headers: Mapping[str, str], body: bytes) -> str:
    """S3 says the hash in a header (its bodies are streamed, and not hashed here); elsewhere it is the body's."""
    if signed.service == "s3":
        return UNSIGNED if signed.presigned_seconds is not None else headers.get("x-amz-content-sha256", UNSIGNED)
    return hashlib.sha256(body).hexdigest()


def _verify_time(signed: Signed) -> None:
    try:
        made = datetime.strptime(signed.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError("IncompleteSignature", f"x-amz-date is not a time: {signed.time!r}") from error
    age = (datetime.now(UTC) - made).total_seconds()
    if age < -SKEW_SECONDS or age > (signed.presigned_seconds or SKEW_SECONDS):
        raise SignatureError("RequestTimeTooSkewed", f"the request was signed {age:.0f} s ago")
