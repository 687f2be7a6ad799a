"""Policies on their way in: the lab refuses what AWS refuses, in AWS's words."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from lab.aws.call import Call, Caller, Source
from lab.aws.documents import malformed
from lab.aws.identities import Identities, Principal

# moto warns of error codes that no model lists.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception\(_Fault\)")
ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}


def document(*statements: dict, indent: int | None = None) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=indent)


def call(service: str, action: str, body: bytes, path: str, content_type: str) -> Call:
    who = Caller(arn="arn:aws:iam::1:user/x", user_id="AIDA", account="1", role_name=None, access_key="AKIA")
    return Call(
        service=service,
        action=action,
        region="eu-west-1",
        caller=who,
        headers={"content-type": content_type},
        method="POST",
        path=path,
        query="",
        body=body,
        source=Source(address="192.0.2.1", endpoint=None),
    )


def in_form(service: str, action: str, **parameters: str) -> Call:
    form = "application/x-www-form-urlencoded; charset=utf-8"
    return call(service, action, urlencode({"Action": action, **parameters}).encode(), "/", form)


def code(made: Call, known: Identities | None = None) -> str | None:
    """The error's code, None when the policy is taken."""
    answer = malformed(made, known or Identities())
    if answer is None:
        return None
    assert answer.status in (400, 409)
    return answer.body.decode().partition("<Code>")[2].partition("</Code>")[0] or json.loads(answer.body)["__type"]


def put_role_policy(text: str) -> Call:
    return in_form("iam", "PutRolePolicy", RoleName="gateway", PolicyName="own", PolicyDocument=text)


def put_bucket_policy(*statements: dict) -> Call:
    return call("s3", "PutBucketPolicy", document(*statements).encode(), "/b", "application/xml")


def test_a_sound_policy_is_taken_wherever_it_hangs():
    assert code(put_role_policy(document(ALLOW))) is None
    assert code(put_bucket_policy({**ALLOW, "Principal": "*"})) is None
    assert code(in_form("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=document(TRUST))) is None
    assert code(in_form("iam", "UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=document(TRUST))) is None
    through = document({**ALLOW, "Principal": "*"})
    assert code(in_form("ec2", "CreateVpcEndpoint", VpcId="vpc-1", ServiceName="s3", PolicyDocument=through)) is None


def test_what_belongs_elsewhere_is_malformed():
    wrong = "MalformedPolicyDocument"
    assert code(put_role_policy(document({**ALLOW, "Principal": "*"}))) == wrong
    assert code(put_role_policy(document({"Effect": "Allow", "Action": "s3:*"}))) == wrong
    assert code(put_role_policy("{")) == wrong
    trust = {**TRUST, "Resource": "*"}
    assert code(in_form("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=document(trust))) == wrong
    assert code(put_bucket_policy(ALLOW)) == "MalformedPolicy"
    other = {**ALLOW, "Principal": "*", "Resource": "arn:aws:s3:::another/*"}
    assert code(put_bucket_policy(other)) == "MalformedPolicy"
    key = json.dumps({"KeyId": "k", "PolicyName": "default", "Policy": document(ALLOW)}).encode()
    made = call("kms", "PutKeyPolicy", key, "/", "application/x-amz-json-1.1")
    assert code(made) == "MalformedPolicyDocumentException"


def long(characters: int) -> dict:
    return {**ALLOW, "Resource": "arn:aws:s3:::b/" + "k" * characters}


def test_a_policy_over_awss_quota_is_refused():
    assert code(put_role_policy(document(long(10_000)))) is None
    assert code(put_role_policy(document(long(10_240)))) == "LimitExceeded"
    managed = {"PolicyName": "p", "PolicyDocument": document(long(6_200))}
    assert code(in_form("iam", "CreatePolicy", **managed)) == "LimitExceeded"


def test_white_space_is_not_counted_and_the_roles_other_policies_are():
    spaced = document(*[ALLOW] * 60, indent=12)
    assert len(spaced) > 10_240
    assert code(put_role_policy(spaced)) is None
    others = (("other", document(long(6_000))), ("own", document(long(6_000))), ("arn:aws:x", document(long(6_000))))
    role = Principal(kind="role", name="gateway", arn="arn:aws:iam::1:role/gateway", id="AROA", policies=others)
    assert code(put_role_policy(document(long(4_000))), Identities(principals=(role,))) is None
    assert code(put_role_policy(document(long(4_300))), Identities(principals=(role,))) == "LimitExceeded"
