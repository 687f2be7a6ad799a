"""What botocore's errors mean to whoever reads them: one line, with the mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from botocore.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
    BotoCoreError,
    ClientError,
    ConfigParseError,
    ConnectionClosedError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.registry.errors import NotSignedIn, Refused, RegistryError, Unavailable

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.UnauthorizedOperation"})
_STALE = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
                      "SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthFailure"})  # fmt: skip

_NOT_SIGNED_IN = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoRegionError,
    ProfileNotFound,
    ConfigParseError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)


def code_of(exc: ClientError) -> str:
    error = cast(Mapping[str, Mapping[str, str]], exc.response).get("Error", {})
    return error.get("Code", "")


def explained(exc: BotoCoreError | ClientError | ResponseParserError, where: str) -> RegistryError:
    """The error to raise in its place: Refused if access is denied, NotSignedIn, Unavailable otherwise."""
    if isinstance(exc, ClientError):
        return _answered(exc, where)
    if isinstance(exc, ResponseParserError):
        return Unavailable(f"{where}: what answered is not AWS; is a proxy in between, and AWS_ENDPOINT_URL right?")
    told = f"{where}: {_unanswered(exc)}"
    return NotSignedIn(told) if isinstance(exc, _NOT_SIGNED_IN) else Unavailable(told)


def _answered(exc: ClientError, where: str) -> RegistryError:
    code = code_of(exc)
    if code in _DENIED:
        return Refused(f"{where}: access denied ({_message(exc)}); ask for the role that may do this")
    if code in _STALE:
        return NotSignedIn(f"{where}: the AWS credentials have expired; sign in again")
    if code in _UNKNOWN:
        return NotSignedIn(f"{where}: AWS does not know these credentials ({code}); check them and the clock")
    if code == "ResourceNotFoundException":
        return Unavailable(f"{where}: there is no such table in this account and region; is the environment still up?")
    return Unavailable(f"{where}: {code}: {_message(exc)}")


def _message(exc: ClientError) -> str:
    error = cast(Mapping[str, Mapping[str, str]], exc.response).get("Error", {})
    return " ".join(error.get("Message", "no message").split())


def _unanswered(exc: BotoCoreError) -> str:
    match exc:
        case NoCredentialsError() | PartialCredentialsError():
            return "no AWS credentials found; sign in, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
        case NoRegionError():
            return "no AWS region; set AWS_REGION, or one in the profile"
        case InvalidRegionError():
            return f"{' '.join(str(exc).split())} Set AWS_REGION to one such as eu-west-1"
        case ProfileNotFound():
            return f"{exc}; set AWS_PROFILE to one of your profiles"
        case ConfigParseError():
            return f"{exc}; mend that file, or set AWS_CONFIG_FILE"
        case CredentialRetrievalError() | TokenRetrievalError() | UnauthorizedSSOTokenError():
            return f"{' '.join(str(exc).split())}; sign in again"
        case SSLError():
            return "the certificate is not trusted; is AWS_CA_BUNDLE right?"
        case EndpointConnectionError() | ConnectionClosedError() | ReadTimeoutError() | HTTPClientError():
            return (
                f"AWS can't be reached ({' '.join(str(exc).split())}); is the network up, and AWS_ENDPOINT_URL right?"
            )
        case _:
            return " ".join(str(exc).split())
