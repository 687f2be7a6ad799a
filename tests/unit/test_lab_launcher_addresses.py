"""Elastic addresses of the lab: where they come from, and that a move takes its time."""

from __future__ import annotations

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
    addresses = AddressApi(account.moto, told.set, delay=0)
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
    addresses = AddressApi(account.moto, told.set, delay=0.2)
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
