"""EC2's instances and interfaces, as the launcher answers for them."""

from __future__ import annotations

import base64

import pytest
from moto import mock_aws

from lab.aws.instances_network import choose_prefixes
from lab.aws.launcher_values import Refused
from tests.unit.lab_account import Account


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


def run(account, **more) -> str:
    asked = {"MinCount": 1, "MaxCount": 1, "ImageId": account.image, "InstanceType": "t4g.small"}
    if "NetworkInterfaces" not in more:
        asked["SubnetId"] = account.subnet
    made = account.ask("ec2", "RunInstances", **(asked | more))
    assert made["Instances"][0]["State"]["Name"] == "pending"
    account.settle()
    return made["Instances"][0]["InstanceId"]


def one(account, instance) -> dict:
    return account.ask("ec2", "DescribeInstances", InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def test_an_instance_keeps_what_its_template_version_says(account):
    profile = account.role()
    template = account.template(
        UserData=base64.b64encode(b"#cloud-config\n").decode(),
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        IamInstanceProfile={"Arn": profile},
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeType": "gp3"}}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "gw"}]}],
    )
    instance = run(account, LaunchTemplate={"LaunchTemplateId": template, "Version": "1"})
    shown = one(account, instance)
    assert shown["IamInstanceProfile"]["Arn"] == profile
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    assert shown["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert shown["BlockDeviceMappings"][0]["DeviceName"] == "/dev/xvda"
    assert {"Key": "Name", "Value": "gw"} in shown["Tags"]
    data = account.ask("ec2", "DescribeInstanceAttribute", InstanceId=instance, Attribute="userData")
    assert base64.b64decode(data["UserData"]["Value"]) == b"#cloud-config\n"


def test_an_instance_stops_starts_and_ends_with_its_machine(account):
    instance = run(account)
    for action, state, alive in (
        ("StopInstances", "stopped", False),
        ("StartInstances", "running", True),
        ("RebootInstances", "running", True),
        ("TerminateInstances", "terminated", False),
    ):
        account.ask("ec2", action, InstanceIds=[instance])
        account.settle()
        assert one(account, instance)["State"]["Name"] == state
        assert account.machines.alive(instance) is alive


def test_a_machine_that_powers_itself_off_is_a_stopped_instance(account):
    instance = run(account)
    account.machines.stop(instance)
    account.settle()
    assert one(account, instance)["State"]["Name"] == "stopped"
    assert one(account, instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_an_interface_made_for_an_instance_goes_with_it_and_one_that_was_there_stays(account):
    own = account.interface()
    made = run(account)
    kept = run(account, NetworkInterfaces=[{"NetworkInterfaceId": own, "DeviceIndex": 0}])
    account.ask("ec2", "TerminateInstances", InstanceIds=[made, kept])
    account.settle()
    left = account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert [item["NetworkInterfaceId"] for item in left] == [own]


def test_a_terminated_instance_is_described_for_an_hour(account):
    instance = run(account)
    account.ask("ec2", "TerminateInstances", InstanceIds=[instance])
    account.settle()
    account.clock.tick(3599)
    account.settle()
    assert one(account, instance)["State"]["Name"] == "terminated"
    account.clock.tick(10)
    account.settle()
    with pytest.raises(Refused, match="does not exist"):
        one(account, instance)


def test_an_instance_that_ends_before_it_booted_never_boots(account):
    asked = {"MinCount": 1, "MaxCount": 1, "ImageId": account.image, "InstanceType": "t4g.small"}
    made = account.ask("ec2", "RunInstances", SubnetId=account.subnet, **asked)["Instances"][0]["InstanceId"]
    account.ask("ec2", "TerminateInstances", InstanceIds=[made])
    account.settle()
    assert one(account, made)["State"]["Name"] == "terminated"
    assert not account.machines.alive(made)


def test_the_network_is_made_before_the_machine_boots():
    order = []
    with mock_aws():
        account = Account(apply=lambda: order.append(("apply", len(account.topology().machines))))
        start = account.machines.start
        account.machines.start = lambda name: (order.append(("start", 1)), start(name))
        run(account)
    assert order[:2] == [("apply", 1), ("start", 1)]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"InstanceType": "m5.large"}, "InvalidParameterValue"),
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"NetworkInterfaces": [{"DeviceIndex": 1, "SubnetId": "subnet-1"}]}, "InvalidParameterValue"),
    ],
)
def test_a_launch_that_aws_would_refuse_is_refused_and_leaves_nothing(account, asked, code):
    with pytest.raises(Refused) as refused:
        run(account, **asked)
    assert refused.value.code == code
    assert account.instances() == []
    assert account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"] == []


def test_one_unknown_id_stops_a_call_for_all(account):
    instance = run(account)
    with pytest.raises(Refused, match="does not exist"):
        account.ask("ec2", "TerminateInstances", InstanceIds=[instance, "i-00000000000000000"])
    assert one(account, instance)["State"]["Name"] == "running"


def test_instances_are_found_by_filters_and_an_unknown_filter_is_refused(account):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "gateway"}]}]
    instance = run(account, TagSpecifications=tags)
    run(account)

    def found(name, *values):
        asked = account.ask("ec2", "DescribeInstances", Filters=[{"Name": name, "Values": list(values)}])
        return [item["InstanceId"] for group in asked["Reservations"] for item in group["Instances"]]

    assert found("tag:role", "gate*") == [instance]
    assert len(found("instance-state-name", "running", "pending")) == 2
    assert found("instance-state-name", "stopped") == []
    with pytest.raises(Refused, match="filter 'colour'"):
        found("colour", "red")


def test_a_tag_set_later_is_shown_and_can_be_taken_away(account):
    instance = run(account)
    tag = [{"Key": "twinlock:slot", "Value": "a"}]
    account.ask("ec2", "CreateTags", Resources=[instance], Tags=tag)
    assert tag[0] in one(account, instance)["Tags"]
    account.ask("ec2", "DeleteTags", Resources=[instance], Tags=tag)
    assert tag[0] not in one(account, instance)["Tags"]


def test_what_is_in_use_is_not_deleted(account):
    own = account.interface()
    instance = run(account, NetworkInterfaces=[{"NetworkInterfaceId": own, "DeviceIndex": 0}])
    with pytest.raises(Refused, match="in use"):
        account.ask("ec2", "DeleteNetworkInterface", NetworkInterfaceId=own)
    with pytest.raises(Refused, match="has dependencies"):
        account.ask("ec2", "DeleteSubnet", SubnetId=account.subnet)
    account.ask("ec2", "TerminateInstances", InstanceIds=[instance])
    account.settle()
    account.ask("ec2", "DeleteNetworkInterface", NetworkInterfaceId=own)
    account.ask("ec2", "DeleteSubnet", SubnetId=account.subnet)


def test_interfaces_are_found_by_who_holds_them(account):
    own = account.interface()
    account.interface("10.0.1.11")
    instance = run(account, NetworkInterfaces=[{"NetworkInterfaceId": own, "DeviceIndex": 0}])

    def found(name, value):
        asked = account.ask("ec2", "DescribeNetworkInterfaces", Filters=[{"Name": name, "Values": [value]}])
        return [item["NetworkInterfaceId"] for item in asked["NetworkInterfaces"]]

    assert found("attachment.instance-id", instance) == [own]
    assert found("status", "in-use") == [own]
    assert len(found("subnet-id", account.subnet)) == 2


def test_delegated_prefixes_are_kept_named_and_taken_away(account):
    name = account.interface()
    given = account.ask("ec2", "AssignPrivateIpAddresses", NetworkInterfaceId=name, Ipv4PrefixCount=2)
    prefixes = [item["Ipv4Prefix"] for item in given["AssignedIpv4Prefixes"]]
    assert prefixes == ["10.0.1.16/28", "10.0.1.32/28"]
    account.ask("ec2", "UnassignPrivateIpAddresses", NetworkInterfaceId=name, Ipv4Prefixes=prefixes[:1])
    (shown,) = account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert shown["Ipv4Prefixes"] == [{"Ipv4Prefix": "10.0.1.32/28"}]


def test_prefixes_are_refused_that_are_taken_too_small_or_outside():
    neighbour = {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.1.40"}]}
    for prefix, why in (
        ("10.0.1.32/28", "already in use"),
        ("10.0.1.48/29", "not a /28"),
        ("10.0.2.16/28", "not a /28 inside"),
        ("10.0.1.0/28", "already in use"),
        ("10.0.1.50/28", "invalid"),
    ):
        with pytest.raises(Refused, match=why):
            choose_prefixes("10.0.1.0/24", [neighbour], 0, (prefix,))
    with pytest.raises(Refused, match="sufficient free"):
        choose_prefixes("10.0.1.0/27", [neighbour], 2, ())


def test_an_interface_that_can_not_have_its_prefixes_is_not_made(account):
    with pytest.raises(Refused):
        account.interface(Ipv4Prefixes=[{"Ipv4Prefix": "10.9.0.0/28"}])
    assert account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"] == []


def test_a_launch_that_fails_half_way_leaves_no_interface_behind(account):
    taken = {"DeviceIndex": 1, "SubnetId": "subnet-00000000000000000"}
    with pytest.raises(Refused):
        run(account, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": account.subnet}, taken])
    assert account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"] == []


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("ab", {}, "InvalidLaunchTemplateName.MalformedException"),
        ("a" * 129, {}, "InvalidLaunchTemplateName.MalformedException"),
        ("with space", {}, "InvalidLaunchTemplateName.MalformedException"),
        ("gateway", {"UserData": "not base64!"}, "InvalidUserData.Malformed"),
        ("gateway", {"UserData": base64.b64encode(b"x" * 16385).decode()}, "InvalidUserData.Malformed"),
        ("gateway", {"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
    ],
)
def test_a_template_that_aws_would_refuse_is_refused(account, name, data, code):
    with pytest.raises(Refused) as refused:
        account.template(name, **data)
    assert refused.value.code == code


def test_user_data_of_sixteen_kibibytes_is_taken(account):
    assert account.template(UserData=base64.b64encode(b"x" * 16384).decode())
