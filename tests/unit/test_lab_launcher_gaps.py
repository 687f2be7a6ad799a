"""Where moto differs from AWS and the launcher stands in: each of these fails once moto has caught up.

Such a failure is good news: what stands in can go, and with it its test here.
"""

from __future__ import annotations

import pytest
from moto import mock_aws

from lab.aws.launcher_values import Refused
from tests.unit.lab_account import ZONE, Account

CAUGHT_UP = "moto has caught up: take out what stands in for it in lab/aws/"


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


def by_moto(account, interface):
    asked = {"NetworkInterfaceIds": [interface]}
    return account.moto("ec2", "DescribeNetworkInterfaces", asked)["NetworkInterfaces"][0]


def test_moto_puts_a_group_with_an_existing_interface_elsewhere(account):
    interface = account.interface()
    template = account.gateway_template(interface)
    account.moto(
        "autoscaling",
        "CreateAutoScalingGroup",
        {
            "AutoScalingGroupName": "g",
            "MinSize": 1,
            "MaxSize": 1,
            "AvailabilityZones": [ZONE],
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
        },
    )
    assert by_moto(account, interface)["Status"] == "available", f"{CAUGHT_UP}groups_*.py"


def test_moto_drops_the_metadata_options_of_a_template(account):
    template = account.template(MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1})
    asked = {"MinCount": 1, "MaxCount": 1, "SubnetId": account.subnet}
    made = account.moto("ec2", "RunInstances", {**asked, "LaunchTemplate": {"LaunchTemplateId": template}})
    options = made["Instances"][0].get("MetadataOptions", {})
    assert options.get("HttpTokens") != "required", f"{CAUGHT_UP}instances_api.py"


def test_moto_attaches_an_interface_twice(account):
    interface = account.interface()
    for _ in range(2):
        entry = {"NetworkInterfaceId": interface, "DeviceIndex": 0}
        asked = {"MinCount": 1, "MaxCount": 1, "ImageId": account.image, "NetworkInterfaces": [entry]}
        try:
            account.moto("ec2", "RunInstances", asked)
        except Refused:
            pytest.fail(f"{CAUGHT_UP}instances_fleet.py")


@pytest.mark.parametrize(
    "action", ["CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "StartInstanceRefresh"]
)
def test_moto_lacks_an_action_of_auto_scaling(action):
    from moto.autoscaling.responses import AutoScalingResponse

    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action).lstrip("_")
    assert not hasattr(AutoScalingResponse, name), f"{CAUGHT_UP}groups_hooks.py ({action})"


def test_moto_drops_delegated_prefixes(account):
    asked = {"SubnetId": account.subnet, "Ipv4PrefixCount": 1}
    made = account.moto("ec2", "CreateNetworkInterface", asked)["NetworkInterface"]
    assert not made.get("Ipv4Prefixes"), f"{CAUGHT_UP}instances_network.py"


def test_moto_deletes_a_subnet_that_holds_interfaces(account):
    account.interface()
    try:
        account.moto("ec2", "DeleteSubnet", {"SubnetId": account.subnet})
    except Refused:
        pytest.fail(f"{CAUGHT_UP}instances_network.py (delete_subnet)")


def test_moto_refuses_to_move_an_address_unless_told_to(account):
    allocation = account.moto("ec2", "AllocateAddress", {"Domain": "vpc"})["AllocationId"]
    for address in ("10.0.1.10", "10.0.1.11"):
        asked = {"AllocationId": allocation, "NetworkInterfaceId": account.interface(address)}
        if address == "10.0.1.10":
            account.moto("ec2", "AssociateAddress", asked)
            continue
        try:
            account.moto("ec2", "AssociateAddress", asked)
        except Refused as exc:
            assert exc.code == "Resource.AlreadyAssociated"
        else:
            pytest.fail(f"{CAUGHT_UP}addresses.py (AllowReassociation)")


def test_moto_gives_out_loopback_addresses(account):
    made = account.moto("ec2", "AllocateAddress", {"Domain": "vpc"})
    assert made["PublicIp"].startswith("127."), f"{CAUGHT_UP}addresses.py (POOL)"


def test_moto_takes_any_private_address_for_the_primary_one(account):
    name = account.interface(PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.20", "Primary": False}])
    allocation = account.moto("ec2", "AllocateAddress", {"Domain": "vpc"})["AllocationId"]
    asked = {"AllocationId": allocation, "NetworkInterfaceId": name, "PrivateIpAddress": "10.0.1.20"}
    account.moto("ec2", "AssociateAddress", asked)
    (shown,) = account.moto("ec2", "DescribeAddresses", {})["Addresses"]
    assert shown["PrivateIpAddress"] == "10.0.1.10", f"{CAUGHT_UP}addresses.py (_private)"


def test_moto_leaves_the_primary_address_out_of_the_list(account):
    name = account.interface(PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.20", "Primary": False}])
    listed = [item["PrivateIpAddress"] for item in by_moto(account, name)["PrivateIpAddresses"]]
    assert listed == ["10.0.1.20"], f"{CAUGHT_UP}instances_network.py (_complete)"
