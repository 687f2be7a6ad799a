"""The lab's policy evaluator against what AWS documents of elements, operators, missing keys and variables."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.aws.authorize import Policies, decide
from lab.aws.context_keys import PolicyError
from lab.aws.patterns import arn_like, glob
from lab.aws.policy import Ask, matches, parse

ROLE = "arn:aws:iam::123456789012:role/gateway"
SESSION = "arn:aws:sts::123456789012:assumed-role/gateway/i-1"


def document(*statements: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def ask(action: str = "s3:GetObject", resource: str = "arn:aws:s3:::bucket/key", **context: str | list[str]) -> Ask:
    """Context keys with __ for ":" and values as text or lists."""
    values = {key: tuple([value] if isinstance(value, str) else value) for key, value in context.items()}
    made = {key.replace("__", ":").lower(): value for key, value in values.items()}
    return Ask(action=action, resource=resource, principals=(SESSION, ROLE), account="123456789012", context=made)


def speaks(statement: dict, asked: Ask) -> bool:
    return bool(list(matches(parse(document({"Effect": "Allow", "Action": "*", "Resource": "*"} | statement)), asked)))


def condition(operator: str, key: str, value: object, **context: str | list[str]) -> bool:
    return speaks({"Condition": {operator: {key: value}}}, ask(**context))


@pytest.mark.parametrize(
    ("pattern", "action", "holds"),
    [
        ("s3:GetObject", "s3:GetObject", True),
        ("S3:getobject", "s3:GetObject", True),  # actions are case-insensitive
        ("s3:Get*", "s3:GetObject", True),
        ("s3:*Object", "s3:GetObject", True),
        ("s3:GetObjec?", "s3:GetObject", True),
        ("s3:Get", "s3:GetObject", False),
        ("*", "s3:GetObject", True),
        ("dynamodb:*", "s3:GetObject", False),
    ],
)
def test_actions_match_by_wildcard_whatever_their_case(pattern, action, holds):
    assert speaks({"Action": pattern}, ask(action)) is holds


@pytest.mark.parametrize(
    ("pattern", "arn", "holds"),
    [
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b", True),
        ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/a", False),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", False),
        ("arn:aws:s3:::BUCKET/*", "arn:aws:s3:::bucket/a", False),  # resources are case-sensitive
        ("arn:aws:s3:::b?cket/*", "arn:aws:s3:::bucket/a", True),
        ("arn:aws:dynamodb:*:*:table/t", "arn:aws:dynamodb:eu-west-1:123456789012:table/t", True),
        ("arn:aws:dynamodb:*:table/t", "arn:aws:dynamodb:eu-west-1:123456789012:table/t", False),  # not across parts
        ("arn:aws:logs:*:*:log-group:g:*", "arn:aws:logs:eu-west-1:1:log-group:g:log-stream:s", True),
        ("arn:aws:s3:::bucket/a\nb", "arn:aws:s3:::bucket/a\nb", True),
        ("*", "anything", True),
        ("arn:aws:s3:::*", "*", False),
    ],
)
def test_each_part_of_an_arn_matches_by_itself(pattern, arn, holds):
    assert arn_like(pattern, arn, {}) is holds


@given(st.text(alphabet="ab*?.[", max_size=8), st.text(alphabet="ab.[", max_size=8))
def test_wildcards_are_the_only_special_characters(pattern, text):
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    assert glob(pattern, text) is bool(re.fullmatch(regex, text))


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
@pytest.mark.parametrize(
    ("operator", "key", "value", "context", "holds"),
    [
        ("StringEquals", "aws:userid", "A:1", {"aws__userid": "A:1"}, True),
        ("StringEquals", "aws:userid", ["x", "A:1"], {"aws__userid": "A:1"}, True),  # values are joined by or
        ("StringEquals", "AWS:UserId", "A:1", {"aws__userid": "A:1"}, True),  # keys are case-insensitive
        ("StringEquals", "aws:userid", "a:1", {"aws__userid": "A:1"}, False),
        ("StringEquals", "aws:userid", "A:*", {"aws__userid": "A:1"}, False),
        ("StringEqualsIgnoreCase", "aws:userid", "a:1", {"aws__userid": "A:1"}, True),
        ("StringLike", "aws:userid", "A:*", {"aws__userid": "A:1"}, True),
        ("StringNotEquals", "aws:SourceVpce", "vpce-1", {"aws__sourcevpce": "vpce-2"}, True),
        ("StringNotEquals", "aws:SourceVpce", "vpce-1", {"aws__sourcevpce": "vpce-1"}, False),
        ("StringNotEquals", "aws:SourceVpce", ["vpce-1", "vpce-2"], {"aws__sourcevpce": "vpce-2"}, False),
        ("StringEquals", "aws:SourceVpce", "vpce-1", {}, False),  # an absent key never equals
        ("StringNotEquals", "aws:SourceVpce", "vpce-1", {}, True),  # and always differs
        ("StringEqualsIfExists", "aws:SourceVpce", "vpce-1", {}, True),
        ("StringEqualsIfExists", "aws:SourceVpce", "vpce-1", {"aws__sourcevpce": "vpce-2"}, False),
        ("StringNotLike", "aws:PrincipalArn", "arn:*:role/x", {"aws__principalarn": "arn:1:role/x"}, False),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/gate*", {"aws__principalarn": ROLE}, True),
        ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::*:role/gate*", {"aws__principalarn": ROLE}, True),
        ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:role/gate*", {"aws__principalarn": ROLE}, False),
        ("ArnNotEquals", "aws:PrincipalArn", "arn:aws:iam::*:role/x", {}, True),
        ("Bool", "aws:SecureTransport", "false", {"aws__securetransport": "true"}, False),
        ("Bool", "aws:SecureTransport", True, {"aws__securetransport": "true"}, True),
        ("Bool", "aws:ViaAWSService", "true", {}, False),
        ("BoolIfExists", "aws:ViaAWSService", "false", {}, True),
        ("Null", "aws:SourceVpce", "true", {}, True),
        ("Null", "aws:SourceVpce", "false", {}, False),
        ("Null", "aws:SourceVpce", "false", {"aws__sourcevpce": "vpce-1"}, True),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24", {"aws__sourceip": "203.0.113.9"}, True),
        ("IpAddress", "aws:SourceIp", "203.0.113.9", {"aws__sourceip": "203.0.113.9"}, True),
        ("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "203.0.113.0/24"], {"aws__sourceip": "203.0.113.9"}, False),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", {}, True),
        ("NumericLessThan", "s3:max-keys", "10", {"s3__max-keys": "9"}, True),
        ("NumericLessThanEquals", "s3:max-keys", 10, {"s3__max-keys": "10"}, True),
        ("NumericGreaterThan", "s3:max-keys", "10", {"s3__max-keys": "9"}, False),
        ("DateLessThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", {"aws__currenttime": "2025-12-31T23:59:59Z"}, True),
        ("DateGreaterThan", "aws:EpochTime", "1700000000", {"aws__epochtime": "1600000000"}, False),
    ],
)
def test_operators_hold_as_documented(operator, key, value, context, holds):
    assert condition(operator, key, value, **context) is holds


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
@pytest.mark.parametrize(
    ("operator", "keys", "holds"),
    [
        ("ForAllValues:StringEquals", ["a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAllValues:StringEquals", None, True),  # which is why Scan is granted to nobody
        ("ForAnyValue:StringEquals", ["c", "a"], True),
        ("ForAnyValue:StringEquals", ["c"], False),
        ("ForAnyValue:StringEquals", None, False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["c", "a"], False),
        ("ForAnyValue:StringNotEquals", ["a", "c"], True),
    ],
)
def test_quantifiers_hold_as_documented(operator, keys, holds):
    context = {} if keys is None else {"dynamodb__leadingkeys": keys}
    assert condition(operator, "dynamodb:LeadingKeys", ["a", "b"], **context) is holds


def test_conditions_of_one_statement_are_joined_by_and():
    both = {"StringEquals": {"aws:userid": "A:1", "aws:PrincipalAccount": "1"}, "Bool": {"aws:SecureTransport": "true"}}
    full = {"aws__userid": "A:1", "aws__principalaccount": "1", "aws__securetransport": "true"}
    assert speaks({"Condition": both}, ask(**full))
    for name in full:
        assert not speaks({"Condition": both}, ask(**{**full, name: "other"}))


def test_variables_stand_for_the_requests_own_values():
    own = {"Resource": "arn:aws:s3:::bucket/home/${aws:userid}/*"}
    there = ask(resource="arn:aws:s3:::bucket/home/AROA1:i-1/x", aws__userid="AROA1:i-1")
    assert speaks(own, there)
    assert not speaks(own, ask(resource="arn:aws:s3:::bucket/home/AROA1:i-2/x", aws__userid="AROA1:i-1"))
    assert not speaks(own, ask(resource="arn:aws:s3:::bucket/home//x"))
    tagged = {"Condition": {"StringEquals": {"aws:ResourceTag/env": "${aws:PrincipalTag/env}"}}}
    assert speaks(tagged, ask(**{"aws__resourcetag/env": "lab", "aws__principaltag/env": "lab"}))
    assert not speaks(tagged, ask(**{"aws__resourcetag/env": "lab", "aws__principaltag/env": "x"}))
    assert not speaks(tagged, ask(**{"aws__resourcetag/env": "lab"}))


def test_a_variables_value_is_text_and_no_pattern():
    own = {"Condition": {"StringLike": {"s3:prefix": "home/${aws:username}/*"}}}
    assert not speaks(own, ask(s3__prefix="home/else/x", aws__username="*"))
    assert speaks({"Condition": {"StringEquals": {"s3:prefix": "${*}"}}}, ask(s3__prefix="*"))
    fallback = {"Condition": {"StringEquals": {"s3:prefix": "${aws:username, 'nobody'}"}}}
    assert speaks(fallback, ask(s3__prefix="nobody"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"Condition": {"StringSortOf": {"aws:userid": "x"}}}, "StringSortOf"),
        ({"Condition": {"StringEquals": {"aws:NoSuchKey": "x"}}}, "aws:NoSuchKey"),
        ({"Condition": {"ForSome:StringEquals": {"aws:TagKeys": "x"}}}, "ForSome"),
        ({"Condition": {"StringEquals": {"dynamodb:LeadingKeys": "x"}}}, "ForAllValues"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}, "10.0.0.0/33"),
        ({"Condition": {"NumericLessThan": {"s3:max-keys": "few"}}}, "few"),
        ({"Condition": "StringEquals"}, "Condition"),
        ({"Efect": "Allow"}, "Efect"),
        ({"Effect": "allow"}, "allow"),
        ({"Action": "GetObject"}, "GetObject"),
        ({"Action": []}, "Action"),
        ({"Resource": "bucket/*"}, "bucket/*"),
        ({"NotResource": "*"}, "NotResource"),
        ({"Principal": {"Federated": "x"}}, "Federated"),
    ],
)
def test_what_the_lab_does_not_know_is_refused_by_name(change, named):
    with pytest.raises(PolicyError, match=re.escape(named)):
        parse(document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"} | change))


def test_documents_that_are_no_policies_are_refused():
    for text in ("{", "[]", '{"Statement": [1]}', '{"Version": "2020-01-01", "Statement": []}', '{"Rules": []}'):
        with pytest.raises(PolicyError):
            parse(text)


def policies(**given: object) -> Policies:
    empty = {"identity": (), "limits": (), "endpoint": None, "resource": None, "resource_decides": False}
    return Policies(**{**empty, **given})


ALLOW = document({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
DENY = document({"Sid": "No", "Effect": "Deny", "Action": "s3:*", "Resource": "*"})


def of_resource(principal: object, effect: str = "Allow") -> tuple[str, str]:
    statement = {"Effect": effect, "Principal": principal, "Action": "*", "Resource": "*"}
    return "the bucket's policy", document(statement)


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-req-context.html
ROOT = {"AWS": "arn:aws:iam::123456789012:root"}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, False),
        ({"identity": (("own", ALLOW),)}, True),
        ({"identity": (("own", ALLOW), ("other", DENY))}, False),
        ({"resource": of_resource({"AWS": ROLE})}, True),
        ({"resource": of_resource({"AWS": SESSION})}, True),
        ({"resource": of_resource("*")}, True),
        ({"resource": of_resource({"AWS": "arn:aws:iam::123456789012:role/other"})}, False),
        ({"resource": of_resource(ROOT)}, False),  # an account's word delegates to its own policies
        ({"resource": of_resource(ROOT), "identity": (("own", ALLOW),)}, True),
        ({"resource": of_resource("*", "Deny"), "identity": (("own", ALLOW),)}, False),
        ({"resource": of_resource({"Service": "ec2.amazonaws.com"})}, False),
        ({"identity": (("own", ALLOW),), "resource_decides": True}, False),  # a key without a word of its own
        ({"identity": (("own", ALLOW),), "resource": of_resource(ROOT), "resource_decides": True}, True),
        ({"resource": of_resource({"AWS": ROLE}), "resource_decides": True}, True),
        ({"identity": (("own", ALLOW),), "endpoint": ("endpoint", document())}, False),
        ({"identity": (("own", ALLOW),), "endpoint": of_resource("*")}, True),
        ({"identity": (("own", ALLOW),), "limits": (("boundary", document()),)}, False),
        ({"identity": (("own", ALLOW),), "limits": (("boundary", ALLOW),)}, True),
        ({"limits": (("boundary", ALLOW),)}, False),  # a boundary grants nothing
    ],
)
def test_policies_together_decide_as_documented(given, allowed):
    verdict = decide(ask(), policies(**given))
    assert verdict.allowed is allowed
    assert allowed or "s3:GetObject on arn:aws:s3:::bucket/key" in verdict.reason


def test_a_refusal_names_the_statement_that_decided():
    verdict = decide(ask(), policies(identity=(("policy own", ALLOW), ("policy other", DENY))))
    assert verdict.reason == "s3:GetObject on arn:aws:s3:::bucket/key: denied by policy other, No"


@given(st.permutations([("a", ALLOW), ("b", DENY), ("c", ALLOW)]))
def test_a_denial_decides_wherever_it_stands(order):
    assert not decide(ask(), policies(identity=tuple(order))).allowed


def test_only_the_rest_of_the_world_is_meant_by_not_principal():
    statement = {"Effect": "Deny", "NotPrincipal": {"AWS": [ROLE]}, "Action": "s3:*", "Resource": "*"}
    asked = ask()
    assert list(matches(parse(document(statement)), asked)) == []
    other = {**statement, "NotPrincipal": {"AWS": "arn:aws:iam::123456789012:role/other"}}
    assert [match.effect for match in matches(parse(document(other)), asked)] == ["Deny"]
