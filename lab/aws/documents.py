"""Policies on their way in: what AWS would refuse, or the lab could not judge later, is refused as it is put."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote

from lab.aws import call as calls
from lab.aws.call import Answer, Call
from lab.aws.context_keys import PolicyError
from lab.aws.identities import Identities
from lab.aws.policy import Statement, parse

Kind = Literal["identity", "trust", "resource"]
_CODES = {
    "ec2": "InvalidPolicyDocument",
    "iam": "MalformedPolicyDocument",
    "s3": "MalformedPolicy",
    "sts": "MalformedPolicyDocument",
}
# Service -> parameter -> what the document hangs on.
_PARAMETERS: dict[str, dict[str, Kind]] = {
    "ec2": {"PolicyDocument": "resource"},
    "iam": {"PolicyDocument": "identity", "AssumeRolePolicyDocument": "trust"},
    "kms": {"Policy": "resource"},
    "secretsmanager": {"ResourcePolicy": "resource"},
    "sts": {"Policy": "identity"},
}
_TRUSTS = frozenset({"UpdateAssumeRolePolicy"})  # its PolicyDocument is a trust policy


# Characters of a document, white space not counted in IAM's own:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (the default of trust policies)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html (20 KB)
# https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html (20,480)
# https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html (32 KB)
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html (20,480)
_INLINE = {"PutRolePolicy": 10_240, "PutUserPolicy": 2_048, "PutGroupPolicy": 5_120}  # together, of one identity
_SIZES = {"ec2": 20_480, "kms": 32_768, "s3": 20_480, "secretsmanager": 20_480, "sts": 2_048}
_MANAGED, _TRUST = 6_144, 2_048


class _TooLargeError(Exception):
    """Over AWS's quota."""


def malformed(call: Call, known: Identities) -> Answer | None:
    """The refusal of a policy in CALL, None when there is none or it is well."""
    try:
        for kind, document in _documents(call):
            _check(kind, parse(document), call)
            _check_size(kind, document, call, known)
    except PolicyError as error:
        return calls.fault(call, _CODES.get(call.service, "MalformedPolicyDocumentException"), str(error), 400)
    except _TooLargeError as error:
        return calls.fault(call, "LimitExceeded", str(error), 409)
    return None


def _check_size(kind: Kind, document: str, call: Call, known: Identities) -> None:
    if call.service != "iam":
        size, most = len(document), _SIZES[call.service]
    else:
        size = len("".join(document.split())) + (_other_inline(call, known) if call.action in _INLINE else 0)
        most = _TRUST if kind == "trust" else _INLINE.get(call.action, _MANAGED)
    if size > most:
        raise _TooLargeError(f"the policy is {size} characters, more than AWS's {most}: {call.service} {call.action}")


def _other_inline(call: Call, known: Identities) -> int:
    """Characters of the identity's other inline policies, which count against the same quota."""
    asked = calls.parameters(call)
    owner = (asked.get("RoleName") or asked.get("UserName"), asked.get("PolicyName"))
    return sum(
        len("".join(document.split()))
        for principal in known.principals
        for name, document in principal.policies
        if principal.name == owner[0] and name != owner[1] and not name.startswith("arn:")
    )


def _documents(call: Call) -> Iterator[tuple[Kind, str]]:
    if call.service == "s3" and call.action == "PutBucketPolicy":
        yield "resource", call.body.decode()
    if call.service not in _PARAMETERS or call.action.startswith(("Describe", "Get", "List", "Simulate")):
        return
    asked = calls.parameters(call)
    for name, kind in _PARAMETERS[call.service].items():
        document = asked.get(name)
        if isinstance(document, str):
            yield "trust" if call.action in _TRUSTS else kind, document


def _check(kind: Kind, statements: tuple[Statement, ...], call: Call) -> None:
    for one in statements:
        if kind == "identity" and one.principals is not None:
            raise PolicyError(f"{one.label}: a policy of an identity names no Principal")
        if kind != "identity" and one.principals is None:
            raise PolicyError(f"{one.label}: a policy of a resource names a Principal")
        if kind == "trust" and one.resources is not None:
            raise PolicyError(f"{one.label}: a trust policy names no Resource")
        if kind != "trust" and one.resources is None:
            raise PolicyError(f"{one.label}: no Resource")
        if call.service == "s3":
            _check_bucket(one, unquote(call.path.lstrip("/")))


def _check_bucket(one: Statement, bucket: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-arn-format.html: of this bucket alone."""
    own = f"arn:aws:s3:::{bucket}"
    for resource in one.resources or ():
        if resource not in ("*", own) and not resource.startswith((f"{own}/", f"{own}*")):
            raise PolicyError(f"{one.label}: policy has invalid resource {resource!r}, not of bucket {bucket}")
