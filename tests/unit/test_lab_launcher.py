"""Instances and groups of the lab's launcher, over real moto in this process."""

from __future__ import annotations

import pytest
from moto import mock_aws

from lab.aws.launcher_values import Refused
from tests.unit.lab_account import Account


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


@pytest.fixture
def gateway(account):
    """A group of one on an interface that outlives its instances; gives the interface's id."""
    interface = account.interface()
    account.group(account.gateway_template(interface))
    account.settle()
    return interface


def attached(account, interface):
    found = account.ask("ec2", "DescribeNetworkInterfaces", NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    return found["Status"], found.get("Attachment", {}).get("InstanceId")


def test_a_group_launches_its_instance_onto_the_interface_that_its_template_names(account, gateway):
    (instance,) = account.instances("running")
    assert [item["NetworkInterfaceId"] for item in instance["NetworkInterfaces"]] == [gateway]
    assert instance["PrivateIpAddress"] == "10.0.1.10"
    assert attached(account, gateway) == ("in-use", instance["InstanceId"])
    (member,) = account.described()["Instances"]
    assert (member["InstanceId"], member["LifecycleState"]) == (instance["InstanceId"], "InService")


def test_the_topology_shows_the_machine_on_its_interface(account, gateway):
    (machine,) = account.topology().machines
    assert machine.interfaces == (gateway,)


def test_a_terminated_instance_is_replaced_on_the_same_interface(account, gateway):
    (first,) = account.instances("running")
    account.ask("ec2", "TerminateInstances", InstanceIds=[first["InstanceId"]])
    account.settle()
    (second,) = account.instances("running")
    assert second["InstanceId"] != first["InstanceId"]
    assert attached(account, gateway) == ("in-use", second["InstanceId"])
    assert [item["InstanceId"] for item in account.instances("terminated")] == [first["InstanceId"]]


def test_a_machine_that_dies_is_replaced_on_the_same_interface(account, gateway):
    (first,) = account.instances("running")
    account.machines.stop(first["InstanceId"])
    account.settle()
    (second,) = account.instances("running")
    assert second["InstanceId"] != first["InstanceId"]
    assert account.machines.alive(second["InstanceId"])


def test_no_two_machines_of_a_group_of_one_ever_run_at_once(account, gateway):
    (first,) = account.instances("running")
    account.ask("autoscaling", "SetInstanceHealth", InstanceId=first["InstanceId"], HealthStatus="Unhealthy")
    for _ in range(12):
        account.launcher.step()
        assert len(account.instances("pending", "running", "shutting-down")) <= 1
    assert account.instances("running")[0]["InstanceId"] != first["InstanceId"]


def test_an_interface_in_use_is_not_attached_to_a_second_instance(account, gateway):
    with pytest.raises(Refused, match="in use"):
        account.ask(
            "ec2",
            "RunInstances",
            MinCount=1,
            MaxCount=1,
            LaunchTemplate={"LaunchTemplateName": "gateway-a", "Version": "1"},
        )
    assert len(account.instances("pending", "running")) == 1
