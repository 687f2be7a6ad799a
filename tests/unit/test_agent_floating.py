"""The address that follows whoever serves: taken, looked after, never taken back. No cloud, no clock."""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import Stubber

from twinlock.agent.aws_floating import ElasticIp
from twinlock.agent.boot import Floating as BootFloating
from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.floating import AGAIN_SECONDS, LOOK_SECONDS, SOON_SECONDS, Floating

OWN = BootFloating(
    public_address="198.51.100.2", private_address="10.20.0.11", allocation="eipalloc-1", interface="eni-a"
)


class Stage:
    """An address, and a gateway that serves or not."""

    def __init__(self) -> None:
        self.at, self.serves, self.here, self.fails = 100.0, False, False, False
        self.taken = 0
        self.lost_while_looking = False
        self.floating = Floating(self, lambda: self.serves, lambda: self.at)

    def is_here(self) -> bool:
        if self.fails:
            raise CloudUnavailable("no answer")
        if self.lost_while_looking:
            self.serves = False
        return self.here

    def take(self) -> None:
        self.taken, self.here = self.taken + 1, True


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_who_begins_to_serve_takes_it_and_looks_again_soon_and_then_now_and_then(stage):
    assert stage.floating.step() == SOON_SECONDS and not stage.taken
    stage.serves = True
    assert stage.floating.step() == SOON_SECONDS
    assert (stage.taken, stage.floating.held) == (1, True)
    stage.at += 60
    assert stage.floating.step() == LOOK_SECONDS
    assert stage.taken == 1


def test_an_address_that_went_elsewhere_is_noticed_by_who_serves(stage):
    stage.serves = True
    stage.floating.step()
    stage.here = False
    stage.floating.step()
    assert stage.taken == 2


def test_who_serves_no_longer_never_takes_it_back(stage):
    stage.serves = True
    stage.floating.step()
    stage.serves = stage.here = False
    for _ in range(5):
        stage.at += 10
        stage.floating.step()
    assert (stage.taken, stage.floating.held) == (1, False)


def test_who_loses_its_role_while_it_looks_does_not_take_it(stage):
    stage.serves = stage.lost_while_looking = True
    stage.floating.step()
    assert (stage.taken, stage.floating.held) == (0, False)


def test_a_cloud_that_does_not_answer_is_asked_again_at_once(stage):
    stage.serves = stage.fails = True
    assert stage.floating.step() == AGAIN_SECONDS
    stage.fails = False
    stage.floating.step()
    assert stage.taken == 1


@pytest.fixture
def ec2():
    client = boto3.client("ec2", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    with Stubber(client) as stub:
        yield client, stub


def test_it_is_here_only_at_this_slots_interface_and_its_second_address(ec2):
    client, stub = ec2
    where = {"AllocationIds": ["eipalloc-1"]}
    leads = [
        ({"NetworkInterfaceId": "eni-a", "PrivateIpAddress": "10.20.0.11"}, True),
        ({"NetworkInterfaceId": "eni-a", "PrivateIpAddress": "10.20.0.10"}, False),
        ({"NetworkInterfaceId": "eni-b", "PrivateIpAddress": "10.20.16.11"}, False),
        ({}, False),
    ]
    for found, _ in leads:
        stub.add_response("describe_addresses", {"Addresses": [found]}, where)
    address = ElasticIp(lambda: client, OWN)
    assert [address.is_here() for _ in leads] == [here for _, here in leads]


def test_it_is_taken_from_wherever_it_is_and_a_refusal_is_one_line(ec2):
    client, stub = ec2
    asked = {
        "AllocationId": "eipalloc-1",
        "NetworkInterfaceId": "eni-a",
        "PrivateIpAddress": "10.20.0.11",
        "AllowReassociation": True,
    }
    stub.add_response("associate_address", {"AssociationId": "eipassoc-1"}, asked)
    stub.add_client_error("associate_address", "UnauthorizedOperation", "not\nallowed")
    address = ElasticIp(lambda: client, OWN)
    address.take()
    with pytest.raises(CloudUnavailable, match="not allowed"):
        address.take()
