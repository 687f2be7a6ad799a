"""Elastic addresses of the lab: where they come from, and that a move takes its time."""

from __future__ import annotations

import re
import threading

import pytest
from moto import mock_aws

from lab.aws.addresses import AddressApi, Target
from lab.aws.launcher_values import Refused
from tests.unit.lab_account import Account


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


def allocate(account) -> tuple[str, str]:
    made = account.ask("ec2", "AllocateAddress", Domain="vpc")
    return made["AllocationId"], made["PublicIp"]


def test_an_address_that_moves_leads_to_its_old_interface_until_the_delay_is_over(account):
    told = threading.Event()
    addresses = AddressApi(account.moto, account.launcher.fleet.book, told.set, delay=0)
    allocation, address = allocate(account)
    old, new = account.interface("10.0.1.10"), account.interface("10.0.1.11")
    addresses.associate({"AllocationId": allocation, "NetworkInterfaceId": old})
    addresses.delay = 0.3
    addresses.associate({"AllocationId": allocation, "NetworkInterfaceId": new})
    assert addresses.effective() == {address: Target(old, "10.0.1.10")}
    shown = addresses.describe({})["Addresses"][0]
    assert shown["NetworkInterfaceId"] == new
    assert told.wait(5)
    assert addresses.effective() == {address: Target(new, "10.0.1.11")}


def test_a_fresh_address_leads_nowhere_until_the_delay_is_over(account):
    told = threading.Event()
    addresses = AddressApi(account.moto, account.launcher.fleet.book, told.set, delay=0.2)
    allocation, address = allocate(account)
    addresses.associate({"AllocationId": allocation, "NetworkInterfaceId": account.interface()})
    assert addresses.effective() == {}
    assert told.wait(5)
    assert list(addresses.effective()) == [address]


def test_an_address_that_is_taken_away_leads_nowhere_at_once(account):
    allocation, _ = allocate(account)
    made = account.ask("ec2", "AssociateAddress", AllocationId=allocation, NetworkInterfaceId=account.interface())
    assert account.launcher.addresses.effective()
    account.ask("ec2", "DisassociateAddress", AssociationId=made["AssociationId"])
    assert account.launcher.addresses.effective() == {}


def test_an_address_leads_to_the_private_address_that_was_asked_for(account):
    name = account.interface(PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.20", "Primary": False}])
    allocation, address = allocate(account)
    account.ask(
        "ec2",
        "AssociateAddress",
        AllocationId=allocation,
        NetworkInterfaceId=name,
        PrivateIpAddress="10.0.1.20",
    )
    assert account.launcher.addresses.effective() == {address: Target(name, "10.0.1.20")}


def test_a_sixth_address_is_refused_as_in_a_fresh_account(account):
    for _ in range(5):
        allocate(account)
    with pytest.raises(Refused, match="maximum number of addresses"):
        allocate(account)


def test_an_address_in_use_is_not_released(account):
    allocation, _ = allocate(account)
    account.ask("ec2", "AssociateAddress", AllocationId=allocation, NetworkInterfaceId=account.interface())
    with pytest.raises(Refused, match="in use"):
        account.ask("ec2", "ReleaseAddress", AllocationId=allocation)


def test_released_addresses_are_given_out_again(account):
    allocation, address = allocate(account)
    account.ask("ec2", "ReleaseAddress", AllocationId=allocation)
    assert allocate(account)[1] == address


def running(account, interface: str) -> str:
    account.group(account.gateway_template(interface))
    account.settle()
    return account.described()["Instances"][0]["InstanceId"]


def test_an_instance_stands_for_its_one_interface(account):
    interface = account.interface()
    instance = running(account, interface)
    allocation, address = allocate(account)
    account.ask("ec2", "AssociateAddress", AllocationId=allocation, InstanceId=instance)
    assert account.launcher.addresses.effective() == {address: Target(interface, "10.0.1.10")}
    assert account.ask("ec2", "DescribeAddresses")["Addresses"][0]["InstanceId"] == instance


def test_an_instance_that_leaves_it_open_which_interface_is_meant_is_refused(account):
    interface = account.interface()
    instance, (allocation, _) = running(account, interface), allocate(account)
    second = account.interface("10.0.1.11")
    both = {"AllocationId": allocation, "InstanceId": instance}
    for asked, code in (
        ({**both, "InstanceId": "i-0123456789abcdef0"}, r"InvalidInstanceID\.NotFound"),
        ({**both, "NetworkInterfaceId": interface}, "InvalidParameterCombination"),
    ):
        with pytest.raises(Refused) as refused:
            account.ask("ec2", "AssociateAddress", **asked)
        assert re.fullmatch(code, refused.value.code)
    account.ask("ec2", "AttachNetworkInterface", NetworkInterfaceId=second, InstanceId=instance, DeviceIndex=1)
    with pytest.raises(Refused, match="multiple interfaces"):
        account.ask("ec2", "AssociateAddress", **both)


def test_an_instance_that_has_ended_is_given_no_address(account):
    instance, (allocation, _) = running(account, account.interface()), allocate(account)
    account.ask("ec2", "TerminateInstances", InstanceIds=[instance])
    with pytest.raises(Refused, match="not in a valid state"):
        account.ask("ec2", "AssociateAddress", AllocationId=allocation, InstanceId=instance)
