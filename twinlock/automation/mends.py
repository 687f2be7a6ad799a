"""What to do about a refusal of the cloud, by the code in its words: pure."""

from __future__ import annotations

import re

_AGAIN = "deploy again: it goes on from here, and nothing is made twice"
# The first that is found counts. Codes are AWS's: each service has its own words for the same thing.
_MENDS: tuple[tuple[str, str], ...] = (
    (
        r"ExpiredToken|InvalidClientTokenId|AuthFailure|UnrecognizedClient|NoCredential",
        f"sign in to AWS again, then {_AGAIN}",
    ),
    (
        r"AccessDenied|UnauthorizedOperation|not authorized|is not allowed",
        "the deployer lacks this right: `twinlock environment policy` prints all that it needs",
    ),
    (
        r"scheduled for deletion|pending deletion|PendingDeletion",
        "what had this name is in its recovery window: restore it, delete it at once, or wait",
    ),
    (
        r"AlreadyExists|ResourceExists|ResourceInUse|already exists|AlreadyAssociated|\.Duplicate|BucketAlreadyOwned",
        "something has this name already: after a killed deployment `twinlock environment recover` takes it over; "
        "else delete or rename what stands there",
    ),
    (
        r"InsufficientInstanceCapacity|Unsupported\b|InvalidParameterCombination.*instance type",
        "set another twinlock:gateway.instance_type, or other twinlock:network.zones",
    ),
    (
        r"Throttl|RequestLimitExceeded|TooManyRequests|ServiceUnavailable|Internal(Error|Failure|Service)|"
        r"ResourceUnavailable|SlowDown|OperationAborted|ConflictException|[Tt]imed? ?out",
        f"AWS could not do it just now: {_AGAIN}",
    ),
    (
        r"LimitExceeded|QuotaExceeded|TooMany",
        "ask AWS for a higher quota (Service Quotas), or delete what is not used, then deploy again",
    ),
    (r"InvalidAMIID|ImageId", "`twinlock environment image --update` pins an image that is there"),
    (r"DependencyViolation", "something that Twinlock did not make uses it: remove that first"),
)


def mend(reason: str) -> str:
    """One line, for every refusal of a resource."""
    return next((text for words, text in _MENDS if re.search(words, reason)), _AGAIN)
