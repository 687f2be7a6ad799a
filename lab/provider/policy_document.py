"""Policy documents: what IAM, S3, KMS and the others take as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from .json_path import rows, text
from .resource import Problem, Rule
from .values import Json, Value

_ELEMENTS = frozenset({"Version", "Id", "Statement"})
_OF_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


def written(document: Value) -> str | None:
    """A document as text: botocore has parsed it already where the API sends it percent-encoded."""
    return json.dumps(document) if isinstance(document, dict) else document if isinstance(document, str) else None


def policy_rule(name: str, *, longest: int) -> Rule:
    """A rule for a property that holds a policy of at most `longest` characters, white space not counted.

    Grammar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """

    def rule(inputs: Json) -> Iterator[Problem]:
        document = inputs.get(name)
        if not isinstance(document, str):
            return
        size = len("".join(document.split()))
        if size > longest:
            yield Problem(name, f"{size} characters, and AWS takes at most {longest}")
        try:
            parsed = cast("Value", json.loads(document))
        except ValueError as broken:
            yield Problem(name, f"is not JSON: {broken}")
            return
        for reason in grammar(parsed):
            yield Problem(name, reason)

    return rule


def grammar(document: Value) -> Iterator[str]:
    """What IAM would call malformed."""
    if not isinstance(document, dict):
        yield "a policy is an object with Version and Statement"
        return
    if unknown := document.keys() - _ELEMENTS:
        yield f"has no {', '.join(sorted(unknown))}"
    if text(document, "Version") not in ("2012-10-17", "2008-10-17"):
        yield "Version must be 2012-10-17"
    statement = document.get("Statement")
    statements = [statement] if isinstance(statement, dict) else rows(document, "Statement")
    if not statements:
        yield "Statement is missing"
    for position, each in enumerate(statements):
        for reason in _statement(each):
            yield f"Statement {position} ({text(each, 'Sid') or 'no Sid'}) {reason}"


def _statement(statement: Json) -> Iterator[str]:
    if unknown := statement.keys() - _OF_STATEMENT:
        yield f"has no {', '.join(sorted(unknown))}"
    if text(statement, "Effect") not in ("Allow", "Deny"):
        yield "needs an Effect of Allow or Deny"
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")):
        if one in statement and other in statement:
            yield f"has both {one} and {other}"
    if "Action" not in statement and "NotAction" not in statement:
        yield "needs an Action"
    if not text(statement, "Sid").replace("-", "").replace("_", "").isalnum() and text(statement, "Sid"):
        yield "has a Sid with characters other than letters and digits"
