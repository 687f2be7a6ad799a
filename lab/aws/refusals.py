"""A refusal in each service's own words, because programs look at the code."""

from __future__ import annotations

from collections.abc import Mapping

from lab.aws import call as calls
from lab.aws.call import Answer

_JSON = frozenset({"dynamodb", "kms", "logs", "secretsmanager", "ssm"})
# AWS's name for a signature's fault where the service has one of its own.
_S3_CODES = {"InvalidClientTokenId": "InvalidAccessKeyId", "MissingAuthenticationToken": "AccessDenied"}
_JSON_CODES = {
    "InvalidClientTokenId": "UnrecognizedClientException",
    "ExpiredToken": "ExpiredTokenException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}


def denied(service: str, action: str | None, headers: Mapping[str, str], message: str) -> Answer:
    """Signed rightly, and not allowed."""
    if service == "ec2":
        return calls.error(service, action, headers, "UnauthorizedOperation", message, 403)
    if _speaks_json(service, headers):
        return calls.error(service, action, headers, "AccessDeniedException", message, 400)
    return calls.error(service, action, headers, "AccessDenied", message, 403)


def unsigned(service: str, action: str | None, headers: Mapping[str, str], code: str, message: str) -> Answer:
    """Not signed, or not rightly. `code` is SignatureError's."""
    if service == "s3":
        status = 400 if code == "AuthorizationHeaderMalformed" else 403
        return calls.error(service, action, headers, _S3_CODES.get(code, code), message, status)
    if service == "ec2" and code in {"InvalidClientTokenId", "SignatureDoesNotMatch"}:
        return calls.error(service, action, headers, "AuthFailure", message, 401)
    if _speaks_json(service, headers):
        return calls.error(service, action, headers, _JSON_CODES.get(code, code), message, 400)
    return calls.error(service, action, headers, code, message, 403)


def _speaks_json(service: str, headers: Mapping[str, str]) -> bool:
    return service in _JSON or headers.get("content-type", "").startswith("application/x-amz-json")
