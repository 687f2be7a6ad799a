"""What is said when something went wrong, and when an environment ends."""

from __future__ import annotations

import pytest

from twinlock.automation.mends import mend
from twinlock.change import Left
from twinlock.remains import left

STACK = "urn:pulumi:dev::twinlock"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("VpcLimitExceeded: The maximum number of VPCs has been reached", "higher quota"),
        ("RequestLimitExceeded: too fast", "deploy again"),
        ("UnauthorizedOperation: dev is not allowed: ec2:CreateVpc on *", "environment policy"),
        ("EntityAlreadyExists: Role with name x already exists.", "environment recover"),
        ("InvalidRequestException: a secret with this name is already scheduled for deletion.", "recovery window"),
        ("InsufficientInstanceCapacity: no t4g.small", "gateway.instance_type"),
        ("InvalidAMIID.NotFound: the image does not exist", "environment image"),
        ("ExpiredTokenException: expired", "sign in"),
        ("DependencyViolation: has dependencies", "remove that first"),
        ("something nobody has seen", "deploy again"),
    ],
)
def test_every_refusal_of_the_cloud_has_a_mend(reason: str, told: str):
    assert told in mend(reason)


def resource(kind: str, name: str, *, protect: bool = False, **inputs: object) -> dict[str, object]:
    return {"urn": f"{STACK}::{kind}::{name}", "type": kind, "protect": protect, "inputs": inputs}


def state(*resources: dict[str, object]) -> dict[str, object]:
    return {"deployment": {"resources": list(resources)}}


def test_what_is_protected_and_what_can_be_restored_is_named_with_its_cost():
    bucket = resource("aws:s3/bucket:Bucket", "data", protect=True)
    key = resource("aws:kms/key:Key", "key", deletionWindowInDays=7.0)
    gone = resource("aws:secretsmanager/secret:Secret", "at-once", recoveryWindowInDays=0)
    secret = resource("aws:secretsmanager/secret:Secret", "later", recoveryWindowInDays=30)
    suffix = resource("random:index/randomId:RandomId", "suffix")
    found = list(left(state(bucket, key, gone, secret, suffix), state(bucket, suffix)))
    assert [(one.name, one.why, one.days) for one in found] == [
        ("data", "protected", None),
        ("key", "recovery", 7),
        ("later", "recovery", 30),
    ]
    assert "$0.023" in found[0].cost and found[1].cost == "nothing"


def test_what_was_there_before_is_named_as_its_owners_and_what_it_costs_too():
    adopted = {**resource("aws:s3/bucket:Bucket", "archive"), "retainOnDelete": True}
    [found] = left(state(adopted), state())
    assert (found.name, found.why, found.days) == ("archive", "adopted", None) and "$0.023" in found.cost


def test_nothing_is_left_of_an_environment_that_was_never_made():
    assert list(left({"deployment": {}}, {"deployment": {}})) == []
    assert Left(urn=f"{STACK}::a:b:C::x", why="protected", days=None, cost="").name == "x"
