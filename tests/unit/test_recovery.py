"""What is made of a state whose engine was killed."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.program_build import build
from twinlock.leftovers import AGAIN, Account
from twinlock.recovery import settle

VPC, ROUTE, POLICY = "aws:ec2/vpc:Vpc", "aws:ec2/route:Route", "aws:s3/bucketPolicy:BucketPolicy"


class Cloud:
    """Has made what `there` lists, by type."""

    def __init__(self, *there: str) -> None:
        self.there, self.undone = there, list[str]()

    def knows(self, kind: str) -> bool:
        return Account().knows(kind)

    def ties(self, kind: str) -> bool:
        return Account().ties(kind)

    def find(self, kind: str, inputs: Mapping[str, object]) -> str | None:
        return "vpc-1" if kind in self.there else None

    def undo(self, kind: str, inputs: Mapping[str, object]) -> bool:
        self.undone += [kind] if kind in self.there else []
        return kind in self.there


def resource(kind: str, **more: object) -> dict[str, object]:
    return {"urn": f"urn:pulumi:s::p::{kind}::one", "type": kind, "inputs": {"cidrBlock": "10.0.0.0/16"}, **more}


def killed(*kinds: str, before: tuple[dict[str, object], ...] = (), type: str = "creating") -> dict[str, object]:
    pending = [{"type": type, "resource": resource(kind)} for kind in kinds]
    return {"version": 3, "deployment": {"resources": list(before), "pending_operations": pending}}


def outcomes(state: dict[str, object], cloud: Cloud) -> tuple[dict, list[str]]:
    mended, told = settle(state, cloud)
    return mended["deployment"], [each.outcome for each in told]


def test_what_was_made_enters_the_state_with_its_id():
    deployment, told = outcomes(killed(VPC), Cloud(VPC))
    assert told == ["adopted"] and deployment["pending_operations"] == []
    assert deployment["resources"] == [{**resource(VPC), "id": "vpc-1", "outputs": {}}]


def test_what_was_not_made_is_forgotten():
    deployment, told = outcomes(killed(VPC), Cloud())
    assert told == ["absent"] and deployment == {"resources": [], "pending_operations": []}


def test_a_tie_is_untied_and_what_overwrites_itself_is_left_alone():
    cloud = Cloud(ROUTE)
    deployment, told = outcomes(killed(ROUTE, POLICY), cloud)
    assert told == ["undone", "again"] and cloud.undone == [ROUTE] and deployment["pending_operations"] == []


def test_a_type_that_nobody_knows_stays_pending_and_is_named():
    deployment, told = outcomes(killed("aws:new/thing:Thing"), Cloud())
    assert told == ["unknown"] and len(deployment["pending_operations"]) == 1


def test_updates_and_deletions_are_left_for_a_look_at_the_cloud():
    state = killed(VPC, type="updating")
    assert settle(state, Cloud(VPC)) == (state, ())


def test_the_one_before_goes_when_its_replacement_was_made():
    deployment, _ = outcomes(killed(VPC, before=(resource(VPC, id="vpc-0"),)), Cloud(VPC))
    assert [(each["id"], each.get("delete", False)) for each in deployment["resources"]] == [
        ("vpc-0", True), ("vpc-1", False),
    ]  # fmt: skip


def test_every_type_that_the_program_makes_can_be_recovered():
    kinds = {each.type for each in build().made if each.custom and each.type.startswith(("aws:", "random:"))}
    assert len(kinds) > 20
    assert [kind for kind in sorted(kinds) if kind not in AGAIN and not Account().knows(kind)] == []
