"""IAM policy documents: parsed strictly, and asked which of their statements speak of a request. Pure.

Whatever the lab does not know (an element, an operator, a form of ARN) is refused with a PolicyError that names it: a
policy that the lab half understands would pass here and fail in AWS.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from lab.aws.conditions import Condition, condition, holds
from lab.aws.context_keys import Context, PolicyError
from lab.aws.patterns import arn_like, glob

_ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
VERSIONS = ("2012-10-17", "2008-10-17")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement. `principals` are (kind, value) pairs, None in identity policies."""

    label: str  # Sid, or its place in the document
    effect: Literal["Allow", "Deny"]
    principals: tuple[tuple[str, str], ...] | None
    not_principals: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...] | None  # None: the resource is what the policy hangs on
    not_resources: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One action on one resource by one principal."""

    action: str  # "s3:GetObject"
    resource: str  # ARN or "*"
    principals: tuple[str, ...]  # ARNs that name the caller directly: the user's, or the session's and its role's
    account: str
    service: str | None = None  # "ec2.amazonaws.com" when a service of AWS calls by itself
    context: Context


@dataclass(frozen=True)
class Match:
    """A statement that speaks of an Ask. `direct`: it names the caller (or everyone), not just the caller's account."""

    label: str
    effect: Literal["Allow", "Deny"]
    direct: bool


@functools.lru_cache(maxsize=1024)
def parse(document: str) -> tuple[Statement, ...]:
    """The statements of a document. Raises PolicyError."""
    try:
        policy: object = json.loads(document)
    except ValueError as error:
        raise PolicyError(f"the policy is not JSON: {error}") from error
    if not isinstance(policy, dict):
        raise PolicyError("the policy is not a JSON object")
    policy = cast("dict[str, object]", policy)
    if unknown := set(policy) - {"Version", "Id", "Statement"}:
        raise PolicyError(f"the policy has elements that AWS does not know: {sorted(unknown)}")
    if policy.get("Version", VERSIONS[1]) not in VERSIONS:
        raise PolicyError(f"Version {policy.get('Version')!r} is none of {VERSIONS}")
    statements = policy.get("Statement")
    rows = cast("list[object]", statements if isinstance(statements, list) else [statements])
    return tuple(_statement(row, place) for place, row in enumerate(rows))


def matches(statements: tuple[Statement, ...], ask: Ask) -> Iterator[Match]:
    """The statements that speak of ASK. Raises PolicyError at a condition key that the lab does not know."""
    for one in statements:
        direct = _names_caller(one, ask)
        if direct is None or not _acts(one, ask.action) or not _covers(one, ask):
            continue
        if all(holds(each, ask.context) for each in one.conditions):
            yield Match(one.label, one.effect, direct)


def _statement(row: object, place: int) -> Statement:
    if not isinstance(row, dict):
        raise PolicyError(f"statement {place} is not a JSON object")
    row = cast("dict[str, object]", row)
    label = str(row.get("Sid") or f"statement {place}")
    if unknown := set(row) - _ELEMENTS:
        raise PolicyError(f"{label}: elements that AWS does not know: {sorted(unknown)}")
    effect = row.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError(f"{label}: Effect is Allow or Deny, not {effect!r}")
    actions, not_actions = _either(row, "Action", label)
    resources, not_resources = _either(row, "Resource", label)
    if actions is None:
        raise PolicyError(f"{label}: no Action")
    for action in actions:
        if action != "*" and not re.fullmatch(r"[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+", action):
            raise PolicyError(f"{label}: {action!r} is not SERVICE:ACTION")
    for resource in resources or ():
        if resource != "*" and (not resource.startswith("arn:") or resource.count(":") < 5):
            raise PolicyError(f"{label}: {resource!r} is neither an ARN of six parts nor *")
    principals = row.get("Principal", row.get("NotPrincipal"))
    return Statement(
        label=label,
        effect=effect,
        principals=None if principals is None else tuple(_principals(principals, label)),
        not_principals="NotPrincipal" in row,
        actions=actions,
        not_actions=not_actions,
        resources=resources,
        not_resources=not_resources,
        conditions=tuple(_conditions(row.get("Condition", {}), label)),
    )


def _either(row: Mapping[str, object], name: str, label: str) -> tuple[tuple[str, ...] | None, bool]:
    """An element or its Not form, and whether it is the Not form."""
    if name in row and f"Not{name}" in row:
        raise PolicyError(f"{label}: {name} and Not{name} exclude each other")
    value = row.get(name, row.get(f"Not{name}"))
    return (None if value is None else texts(value, f"{label}: {name}")), f"Not{name}" in row


def texts(value: object, what: str) -> tuple[str, ...]:
    """A string or a list of strings, as IAM takes them everywhere."""
    rows = cast("list[object]", value if isinstance(value, list) else [value])
    if not rows or not all(isinstance(row, str | bool | int | float) for row in rows):
        raise PolicyError(f"{what}: neither a string nor a list of strings: {value!r}")
    return tuple(str(row).lower() if isinstance(row, bool) else str(row) for row in rows)


def _principals(value: object, label: str) -> Iterator[tuple[str, str]]:
    if value == "*":
        yield "AWS", "*"
        return
    if not isinstance(value, dict):
        raise PolicyError(f"{label}: Principal is * or an object")
    for kind, rows in cast("dict[str, object]", value).items():
        if kind not in ("AWS", "Service"):
            raise PolicyError(f"{label}: the lab knows no principals of kind {kind!r}")
        for row in texts(rows, f"{label}: Principal"):
            yield kind, row


def _conditions(value: object, label: str) -> Iterator[Condition]:
    if not isinstance(value, dict):
        raise PolicyError(f"{label}: Condition is not an object")
    for operator, keys in cast("dict[str, object]", value).items():
        if not isinstance(keys, dict):
            raise PolicyError(f"{label}: {operator} has no keys")
        for key, values in cast("dict[str, object]", keys).items():
            yield condition(operator, key, texts(values, f"{label}: {operator} {key}"), label)


def _names_caller(one: Statement, ask: Ask) -> bool | None:
    """True: directly; False: by its account; None: not at all."""
    if one.principals is None:
        return True
    found = {_named(kind, value, ask) for kind, value in one.principals} - {None}
    if one.not_principals:
        return True if not found else None
    return None if not found else True in found


def _named(kind: str, value: str, ask: Ask) -> bool | None:
    if kind == "Service":
        return True if ask.service == value else None
    if ask.service is not None:
        return True if value == "*" else None
    if value == "*" or value in ask.principals:
        return True
    return False if value in (ask.account, f"arn:aws:iam::{ask.account}:root") else None


def _acts(one: Statement, action: str) -> bool:
    return any(glob(pattern.lower(), action.lower()) for pattern in one.actions) != one.not_actions


def _covers(one: Statement, ask: Ask) -> bool:
    if one.resources is None:
        return True
    return any(arn_like(pattern, ask.resource, ask.context) for pattern in one.resources) != one.not_resources
