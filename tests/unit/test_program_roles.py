"""A gateway's role: what it may do is named, and nothing of another slot's is in it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.unit.program_build import Recording, build, document
from twinlock.registry import keys

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/twinlock-test"


@pytest.fixture(scope="module")
def made() -> Recording:
    return build()


def role(made: Recording, slot: str) -> list[dict]:
    return document(made.one("RolePolicy", f"gateway-{slot}-policy"))["Statement"]


def may(made: Recording, action: str, partition: str, slot: str = "a") -> bool:
    """Whether a slot's gateway may do `action` on an item under that partition key."""
    return any(
        action in statement["Action"]
        and statement["Resource"] == [TABLE]
        and statement["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}
        and any(
            fnmatchcase(partition, pattern)
            for pattern in statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        )
        for statement in role(made, slot)
    )


def test_each_statement_names_its_actions_and_resources(made: Recording):
    for statement in role(made, "a") + role(made, "b"):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in statement["Action"])
        assert "*" not in statement["Resource"]


def test_only_a_machine_takes_a_gateways_role(made: Recording):
    for each in made.of("Role"):
        (statement,) = document(each, "assumeRolePolicy")["Statement"]
        assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert len(made.of("InstanceProfile")) == 2


@pytest.mark.parametrize(
    "partition",
    [
        keys.DEFINITION, keys.IDENTITY, keys.META, keys.peer("red"), keys.revoked("red"), keys.change("red"),
        keys.gateway("b"), keys.shard(3), keys.enrolment("AIDA"), keys.approval("AIDA"), keys.LAUNCH, keys.ROLLING,
    ],
)  # fmt: skip
def test_a_gateway_reads_what_it_serves_from(made: Recording, partition: str):
    assert may(made, "dynamodb:Query", partition) and may(made, "dynamodb:GetItem", partition)


@pytest.mark.parametrize("partition", [keys.pending("red"), keys.audit("AIDA"), keys.address_lease("red")])
def test_a_gateway_does_not_read_what_is_none_of_its_business(made: Recording, partition: str):
    assert not may(made, "dynamodb:Query", partition)


@pytest.mark.parametrize("partition", [keys.IDENTITY, keys.gateway("a"), keys.shard(0), keys.ROLLING])
def test_a_gateway_writes_its_own_records(made: Recording, partition: str):
    assert may(made, "dynamodb:PutItem", partition) and may(made, "dynamodb:UpdateItem", partition)


@pytest.mark.parametrize(
    "partition",
    [
        keys.peer("red"), keys.pending("red"), keys.revoked("red"), keys.approval("AIDA"), keys.enrolment("AIDA"),
        keys.META, keys.change("red"), keys.DEFINITION, keys.gateway("b"), keys.audit("AIDA"),
        keys.address_lease("red"), keys.LAUNCH,
    ],
)  # fmt: skip
def test_a_gateway_that_is_taken_over_can_make_no_peer_and_be_no_other(made: Recording, partition: str):
    assert not may(made, "dynamodb:PutItem", partition)
    assert not may(made, "dynamodb:UpdateItem", partition)


def test_nobody_scans_or_deletes(made: Recording):
    actions = {action for statement in role(made, "a") for action in statement["Action"]}
    assert not actions & {"dynamodb:Scan", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
    # ForAllValues is true of a call without keys; Null refuses that.
    for statement in role(made, "a"):
        if "ForAllValues:StringLike" in statement.get("Condition", {}):
            assert statement["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}


def test_a_gateway_has_the_services_identity_and_its_own_way_and_no_others(made: Recording):
    (secrets,) = [statement for statement in role(made, "a") if statement["Sid"] == "KeepIdentities"]
    assert [arn.rsplit(":", 1)[-1] for arn in secrets["Resource"]] == ["twinlock-test-service", "twinlock-test-way-a"]


def test_a_gateway_uses_the_key_through_the_secret_store_alone(made: Recording):
    (key,) = [statement for statement in role(made, "a") if statement["Sid"] == "SealIdentities"]
    assert set(key["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert key["Condition"] == {"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}}


def test_a_gateway_reaches_no_data_of_the_users(made: Recording):
    resources = [
        resource
        for statement in role(made, "a")
        if any(action.startswith("s3:") for action in statement["Action"])
        for resource in statement["Resource"]
    ]
    bucket = "arn:aws:s3:::twinlock-test-agent-0a1b2c3d"
    assert resources == [f"{bucket}/agent/*", f"{bucket}/health/a"], "its program, and its own proof of transfer"


def test_a_gateway_reports_only_gateways_of_its_own_environment(made: Recording):
    (health,) = [statement for statement in role(made, "a") if statement["Sid"] == "ReportHungGateway"]
    names = [resource.rsplit("/", 1)[-1] for resource in health["Resource"]]
    assert names == ["twinlock-test-gateway-a", "twinlock-test-gateway-b"]


@pytest.mark.parametrize("slot", ["a", "b"])
def test_a_gateway_has_no_machine_replaced_but_its_own_slots(made: Recording, slot: str):
    ends = "autoscaling:TerminateInstanceInAutoScalingGroup"
    (own,) = [statement for statement in role(made, slot) if ends in statement["Action"]]
    assert own["Action"] == [ends]
    assert [resource.rsplit("/", 1)[-1] for resource in own["Resource"]] == [f"twinlock-test-gateway-{slot}"]
    actions = {action for statement in role(made, slot) for action in statement["Action"]}
    assert {action for action in actions if action.startswith("autoscaling:")} == {
        ends,
        "autoscaling:SetInstanceHealth",
    }
