"""The three roles' policies are compared with what the registry really writes and reads, in every act."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator

import pytest

from tests.registry_samples import ALICE, BOB, definition, public_key, write_definition
from twinlock.registry import policies
from twinlock.registry.dynamodb import DynamoTable
from twinlock.registry.store import Registry

TABLE, PARAMETER = "arn:aws:dynamodb:eu-west-1:123456789012:table/t", "arn:aws:ssm:eu-west-1:123456789012:parameter/x"
Asked = tuple[str, str]  # action, partition key


class Watched:
    """A DynamoDB client that notes every action on every partition key, as IAM sees them."""

    def __init__(self, client) -> None:
        self._client, self.asked = client, set()

    def get_item(self, **arguments):
        return self._noted("get_item", arguments, [("GetItem", arguments["Key"]["pk"]["S"])])

    def put_item(self, **arguments):
        return self._noted("put_item", arguments, [("PutItem", arguments["Item"]["pk"]["S"])])

    def query(self, **arguments):
        return self._noted("query", arguments, [("Query", arguments["ExpressionAttributeValues"][":p"]["S"])])

    def batch_get_item(self, **arguments):
        [request] = arguments["RequestItems"].values()
        return self._noted("batch_get_item", arguments, [("BatchGetItem", key["pk"]["S"]) for key in request["Keys"]])

    def transact_write_items(self, **arguments):
        return self._noted("transact_write_items", arguments, list(_acts(arguments["TransactItems"])))

    def _noted(self, method, arguments, asked):
        self.asked |= set(asked)
        return getattr(self._client, method)(**arguments)


def _acts(writes) -> Iterator[Asked]:
    for write in writes:
        [(kind, what)] = write.items()
        action = {"Put": "PutItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}[kind]
        yield action, (what.get("Item") or what["Key"])["pk"]["S"]


TAG = f"aws:PrincipalTag/{policies.TENANT_TAG}"


def allows(policy: policies.Policy, user_id: str, asked: Asked, tenant: str = "red") -> bool:
    """What IAM says to somebody who is tagged with `tenant`."""
    action, key = asked
    return any(
        f"dynamodb:{action}" in statement["Action"]
        and tenant in statement.get("Condition", {}).get("StringEquals", {}).get(TAG, [tenant])
        and any(
            fnmatch.fnmatchcase(key, pattern.replace("${aws:userid}", user_id).replace(f"${{{TAG}}}", tenant))
            for pattern in statement.get("Condition", {})
            .get("ForAllValues:StringLike", {})
            .get("dynamodb:LeadingKeys", ())
        )
        for statement in policy["Statement"]
    )


@pytest.fixture
def watched(dynamodb, registry_table):
    write_definition(dynamodb, registry_table, definition())
    return Watched(dynamodb)


@pytest.fixture
def registry(watched, registry_table):
    return Registry(DynamoTable(registry_table, watched))


def refused(policy: policies.Policy, user_id: str, watched: Watched, tenant: str = "red") -> set[Asked]:
    asked, watched.asked = watched.asked, set()
    assert asked, "nothing was asked: the test shows nothing"
    return {one for one in asked if not allows(policy, user_id, one, tenant)}


def test_an_enroller_may_do_what_enrolling_does_and_approving_is_beyond_it(registry, watched):
    policy = policies.enroller(TABLE, PARAMETER, ["auto"])
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    assert refused(policy, ALICE.user_id, watched) == set()
    registry.approve(BOB, "red", "laptop")
    assert refused(policy, BOB.user_id, watched) >= {
        ("PutItem", "peer#red"), ("DeleteItem", "pending#red"), ("PutItem", f"approval#{BOB.user_id}"),
    }  # fmt: skip


def test_an_enroller_may_touch_no_other_tenant_and_nobody_elses_word(registry, watched):
    policy = policies.enroller(TABLE, PARAMETER, ["auto"])
    registry.enrol(ALICE, "strict", "laptop", public_key(1))
    assert {key for _, key in refused(policy, ALICE.user_id, watched)} == {
        "pending#strict", "peer#strict", "lease#strict",
    }  # fmt: skip
    for key in ("meta", "change#red"):
        assert not allows(policy, ALICE.user_id, ("PutItem", key)), "numbers are not an enroller's"
    assert not allows(policy, ALICE.user_id, ("PutItem", f"enrolment#{BOB.user_id}"))
    assert not allows(policy, ALICE.user_id, ("PutItem", f"audit#{BOB.user_id}"))


def test_an_enroller_of_a_tenant_that_approves_by_itself_may_enrol_and_revoke_there(registry, watched):
    policy = policies.enroller(TABLE, PARAMETER, ["auto"])
    registry.enrol(ALICE, "auto", "job", public_key(1))
    registry.revoke(ALICE, "auto", "job")
    assert refused(policy, ALICE.user_id, watched, "auto") == set()
    assert not allows(policy, ALICE.user_id, ("PutItem", "peer#red"), "red")
    assert not allows(policy, ALICE.user_id, ("PutItem", "peer#auto"), "red")


def test_an_approver_may_approve_and_revoke_and_can_not_enrol(registry, watched):
    policy = policies.approver(TABLE, PARAMETER)
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    registry.enrol(ALICE, "red", "phone", public_key(2))
    assert refused(policy, ALICE.user_id, watched) >= {("PutItem", "key"), ("PutItem", f"enrolment#{ALICE.user_id}")}
    registry.approve(BOB, "red", "laptop")
    registry.revoke(BOB, "red", "laptop")
    registry.revoke(BOB, "red", "phone")
    assert refused(policy, BOB.user_id, watched) == set()
    assert not allows(policy, BOB.user_id, ("PutItem", f"approval#{ALICE.user_id}"))


def test_a_reader_may_read_and_write_nothing(registry, watched):
    registry.enrol(ALICE, "red", "laptop", public_key(1))
    watched.asked = set()
    registry.peers("red")
    registry.peer("red", "laptop")
    registry.generations()
    registry.gateways(["a", "b"])
    registry.identity("service")
    policy = policies.reader(TABLE, PARAMETER)
    assert refused(policy, ALICE.user_id, watched) == set()
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert actions == {"ssm:GetParameter", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}


def test_nobody_may_scan_and_every_statement_on_the_table_asks_for_a_key():
    for policy in (
        policies.reader(TABLE, PARAMETER),
        policies.enroller(TABLE, PARAMETER, []),
        policies.enroller(TABLE, PARAMETER, ["auto"]),
        policies.approver(TABLE, PARAMETER),
    ):
        for statement in policy["Statement"]:
            assert "dynamodb:Scan" not in statement["Action"]
            if statement["Resource"] == [TABLE]:
                assert statement["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}


def test_the_policies_fit_into_managed_ones_with_as_many_tenants_as_may_approve_by_themselves():
    table = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{'twinlock-' + 'e' * 20}"
    record = f"arn:aws:ssm:eu-central-1:123456789012:parameter/twinlock/{'e' * 20}/discovery"
    names = [f"tenant-{number:013}" for number in range(policies.AUTO_TENANTS_LIMIT)]
    for policy in (
        policies.reader(table, record), policies.enroller(table, record, names), policies.approver(table, record)
    ):  # fmt: skip
        assert len("".join(json.dumps(policy).split())) <= 6144
