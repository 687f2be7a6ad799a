"""What Auto Scaling does with a group: sizes, replacements, hooks, refreshes, and which forms it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from lab.aws.groups import Group, Launch, Member, Terminate, next_steps
from lab.aws.launcher_values import Refused
from tests.unit.lab_account import Account

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = Group(
    name="g",
    arn="",
    template="lt-1",
    template_name="g",
    template_version="1",
    minimum=0,
    maximum=9,
    desired=1,
    zones=("eu-west-1a",),
    subnets=(),
    health_check="EC2",
    grace=0,
    cooldown=300,
    warmup=0,
    healthy_min=0,
    healthy_max=100,
    protect_new=False,
    tags=(),
    hooks=(),
    suspended=frozenset(),
    created=NOW,
    service_role="",
)


def member(name: str, lifecycle: str = "InService", *, healthy: bool = True) -> Member:
    return Member(
        instance=name,
        zone="eu-west-1a",
        type="t4g.small",
        template="lt-1",
        template_name="g",
        template_version="1",
        lifecycle=lifecycle,
        healthy=healthy,
        protected=False,
        joined=NOW,
        activity="",
    )


MEMBERS = st.lists(
    st.builds(
        member,
        st.uuids().map(str),
        st.sampled_from(["Pending", "Pending:Wait", "InService", "Terminating:Wait", "Terminating:Proceed"]),
        healthy=st.booleans(),
    ),
    max_size=6,
)


@given(MEMBERS, st.integers(0, 5))
def test_a_group_that_terminates_before_it_launches_never_has_more_than_it_wants(members, desired):
    steps = next_steps(replace(GROUP, desired=desired), members)
    launched = sum(isinstance(step, Launch) for step in steps)
    assert launched == 0 or len(members) + launched <= desired


@given(MEMBERS, st.integers(0, 5))
def test_a_step_never_names_an_instance_that_is_leaving_already(members, desired):
    leaving = {item.instance for item in members if item.leaving}
    for step in next_steps(replace(GROUP, desired=desired), members):
        assert not (isinstance(step, Terminate) and step.instance in leaving)


def test_a_whole_group_is_left_alone():
    assert next_steps(GROUP, [member("i-1")]) == ()


def test_a_sick_instance_goes_before_its_replacement_comes():
    (step,) = next_steps(GROUP, [member("i-1", healthy=False)])
    assert isinstance(step, Terminate)


def test_with_a_policy_of_a_hundred_percent_the_replacement_comes_first():
    group = replace(GROUP, healthy_min=100, healthy_max=200)
    (step,) = next_steps(group, [member("i-1", healthy=False)])
    assert isinstance(step, Launch)
    (step,) = next_steps(group, [member("i-1", healthy=False), member("i-2")])
    assert step == Terminate("i-1", step.cause)


def test_suspended_processes_do_nothing():
    sick = [member("i-1", healthy=False)]
    assert next_steps(replace(GROUP, suspended=frozenset({"Terminate", "Launch"})), sick) == ()
    assert next_steps(replace(GROUP, suspended=frozenset({"Launch"})), []) == ()


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


@pytest.fixture
def gateway(account):
    account.group(account.gateway_template(account.interface()))
    account.settle()
    return account.described()["Instances"][0]["InstanceId"]


WRONG_GROUPS = [
    ({"VPCZoneIdentifier": "subnet", "AvailabilityZones": None}, "VPCZoneIdentifier"),
    ({"MaxSize": 2}, "MaxSize must be 1"),
    ({"AvailabilityZones": ["eu-west-1b"]}, "AvailabilityZones must be exactly"),
    ({"InstanceMaintenancePolicy": None}, "InstanceMaintenancePolicy must be 0/100"),
    ({"InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110}}, "0/100"),
]


@pytest.mark.parametrize(("asked", "why"), WRONG_GROUPS)
def test_a_group_with_an_existing_interface_is_refused_in_every_other_form(account, asked, why):
    template = account.gateway_template(account.interface())
    if "VPCZoneIdentifier" in asked:
        asked = asked | {"VPCZoneIdentifier": account.subnet}
    with pytest.raises(Refused, match=why) as refused:
        account.group(template, **asked)
    assert refused.value.code == "ValidationError"


@pytest.mark.parametrize("version", ["$Latest", "$Default"])
def test_a_group_with_an_existing_interface_names_an_exact_version(account, version):
    template = account.gateway_template(account.interface())
    with pytest.raises(Refused, match="the version must be a number"):
        account.group(template, LaunchTemplate={"LaunchTemplateId": template, "Version": version})


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"DeviceIndex": 1}, "InvalidQueryParameter"),
        ({"DeleteOnTermination": True}, "ValidationError"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "ValidationError"),
        ({"Groups": ["sg-0123456789abcdef0"]}, "ValidationError"),
        ({"AssociatePublicIpAddress": True}, "ValidationError"),
        ({"PrivateIpAddress": "10.0.1.10"}, "InvalidQueryParameter"),
    ],
)
def test_a_template_says_nothing_of_an_existing_interface_but_its_id(account, entry, code):
    interface = account.interface()
    whole = {"NetworkInterfaceId": interface, "DeviceIndex": 0, "DeleteOnTermination": False} | entry
    with pytest.raises(Refused) as refused:
        account.group(account.template(NetworkInterfaces=[whole]))
    assert refused.value.code == code


def test_security_groups_beside_a_network_interface_are_refused_in_the_words_of_aws(account):
    entry = {"NetworkInterfaceId": account.interface(), "DeviceIndex": 0, "DeleteOnTermination": False}
    template = account.template(NetworkInterfaces=[entry], SecurityGroupIds=["sg-0123456789abcdef0"])
    with pytest.raises(Refused, match="When a network interface is provided, the security groups must be a part of it"):
        account.group(template)


@pytest.mark.parametrize("name", ["", "a" * 256, "with:colon", "ünlatin"])
def test_a_name_that_aws_would_refuse_is_refused(account, name):
    template = account.gateway_template(account.interface())
    with pytest.raises(Refused, match="autoScalingGroupName"):
        account.group(template, name=name)


def test_a_refused_update_leaves_the_group_as_it_was(account, gateway):
    with pytest.raises(Refused):
        account.ask("autoscaling", "UpdateAutoScalingGroup", AutoScalingGroupName="gateway-a", MaxSize=2)
    assert account.described()["MaxSize"] == 1


def test_an_ordinary_group_grows_and_shrinks_in_its_subnets(account):
    account.group(account.template(), VPCZoneIdentifier=account.subnet, AvailabilityZones=None, MaxSize=3)
    account.ask("autoscaling", "SetDesiredCapacity", AutoScalingGroupName="gateway-a", DesiredCapacity=3)
    account.settle()
    assert {item["SubnetId"] for item in account.instances("running")} == {account.subnet}
    assert len(account.instances("running")) == 3
    account.ask("autoscaling", "SetDesiredCapacity", AutoScalingGroupName="gateway-a", DesiredCapacity=1)
    account.settle()
    assert len(account.instances("running")) == 1
    interfaces = account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert len([item for item in interfaces if item["SubnetId"] == account.subnet]) == 1


def test_a_new_version_changes_no_instance_until_someone_replaces_it(account, gateway):
    template = account.described()["LaunchTemplate"]["LaunchTemplateId"]
    entry = account.described()["Instances"][0]
    data = account.ask("ec2", "DescribeLaunchTemplateVersions", LaunchTemplateId=template)["LaunchTemplateVersions"][0]
    newer = data["LaunchTemplateData"] | {"UserData": "bmV3"}
    account.ask("ec2", "CreateLaunchTemplateVersion", LaunchTemplateId=template, LaunchTemplateData=newer)
    wanted = {"LaunchTemplateId": template, "Version": "2"}
    account.ask("autoscaling", "UpdateAutoScalingGroup", AutoScalingGroupName="gateway-a", LaunchTemplate=wanted)
    account.settle()
    assert account.described()["Instances"][0]["InstanceId"] == entry["InstanceId"]
    account.ask(
        "autoscaling",
        "TerminateInstanceInAutoScalingGroup",
        InstanceId=gateway,
        ShouldDecrementDesiredCapacity=False,
    )
    account.settle()
    (after,) = account.described()["Instances"]
    assert after["LaunchTemplate"]["Version"] == "2"
    shown = account.ask("ec2", "DescribeInstanceAttribute", InstanceId=after["InstanceId"], Attribute="userData")
    assert shown["UserData"] == {"Value": "bmV3"}


def test_an_instance_refresh_replaces_the_instance_and_ends(account, gateway):
    started = account.ask("autoscaling", "StartInstanceRefresh", AutoScalingGroupName="gateway-a")
    with pytest.raises(Refused, match="already in progress"):
        account.ask("autoscaling", "StartInstanceRefresh", AutoScalingGroupName="gateway-a")
    account.settle()
    (refresh,) = account.ask("autoscaling", "DescribeInstanceRefreshes", AutoScalingGroupName="gateway-a")[
        "InstanceRefreshes"
    ]
    assert (refresh["InstanceRefreshId"], refresh["Status"]) == (started["InstanceRefreshId"], "Successful")
    assert account.described()["Instances"][0]["InstanceId"] != gateway


def test_a_cancelled_refresh_stops(account, gateway):
    account.ask("autoscaling", "StartInstanceRefresh", AutoScalingGroupName="gateway-a")
    account.ask("autoscaling", "CancelInstanceRefresh", AutoScalingGroupName="gateway-a")
    account.settle()
    (refresh,) = account.ask("autoscaling", "DescribeInstanceRefreshes", AutoScalingGroupName="gateway-a")[
        "InstanceRefreshes"
    ]
    assert refresh["Status"] == "Cancelled"
    assert account.described()["Instances"][0]["InstanceId"] == gateway


def put_hook(account, transition, **more):
    account.ask(
        "autoscaling",
        "PutLifecycleHook",
        AutoScalingGroupName="gateway-a",
        LifecycleHookName="drain",
        LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
        **({"HeartbeatTimeout": 30} | more),
    )


def complete(account, instance, result):
    account.ask(
        "autoscaling",
        "CompleteLifecycleAction",
        AutoScalingGroupName="gateway-a",
        LifecycleHookName="drain",
        InstanceId=instance,
        LifecycleActionResult=result,
    )


@pytest.mark.parametrize("result", ["CONTINUE", "ABANDON"])
def test_a_terminating_hook_holds_the_instance_and_ends_in_termination_whatever_its_result(account, gateway, result):
    put_hook(account, "TERMINATING")
    account.ask("autoscaling", "SetInstanceHealth", InstanceId=gateway, HealthStatus="Unhealthy")
    account.settle()
    assert account.described()["Instances"][0]["LifecycleState"] == "Terminating:Wait"
    assert account.machines.alive(gateway)
    complete(account, gateway, result)
    account.settle()
    assert account.described()["Instances"][0]["InstanceId"] != gateway


def test_a_hook_that_nobody_completes_ends_at_its_timeout_which_a_heartbeat_puts_off(account, gateway):
    put_hook(account, "TERMINATING", DefaultResult="CONTINUE")
    account.ask("autoscaling", "SetInstanceHealth", InstanceId=gateway, HealthStatus="Unhealthy")
    account.settle()
    account.clock.tick(29)
    account.ask(
        "autoscaling",
        "RecordLifecycleActionHeartbeat",
        AutoScalingGroupName="gateway-a",
        LifecycleHookName="drain",
        InstanceId=gateway,
    )
    account.clock.tick(29)
    account.settle()
    assert account.machines.alive(gateway)
    account.clock.tick(2)
    account.settle()
    assert not account.machines.alive(gateway)


def test_a_launching_hook_that_is_abandoned_ends_the_instance(account):
    account.group(account.gateway_template(account.interface()), DesiredCapacity=0, MinSize=0)
    put_hook(account, "LAUNCHING")
    account.ask("autoscaling", "SetDesiredCapacity", AutoScalingGroupName="gateway-a", DesiredCapacity=1)
    account.settle()
    (held,) = account.described()["Instances"]
    assert held["LifecycleState"] == "Pending:Wait"
    complete(account, held["InstanceId"], "ABANDON")
    account.settle()
    (other,) = account.described()["Instances"]
    assert other["InstanceId"] != held["InstanceId"]
    complete(account, other["InstanceId"], "CONTINUE")
    account.settle()
    assert account.described()["Instances"][0]["LifecycleState"] == "InService"


def test_a_group_with_instances_is_deleted_only_by_force_and_leaves_the_interface(account, gateway):
    with pytest.raises(Refused, match="still in the group"):
        account.ask("autoscaling", "DeleteAutoScalingGroup", AutoScalingGroupName="gateway-a")
    account.ask("autoscaling", "DeleteAutoScalingGroup", AutoScalingGroupName="gateway-a", ForceDelete=True)
    account.settle()
    assert account.ask("autoscaling", "DescribeAutoScalingGroups")["AutoScalingGroups"] == []
    assert not account.machines.alive(gateway)
    (interface,) = [
        item
        for item in account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"]
        if item["PrivateIpAddress"] == "10.0.1.10"
    ]
    assert interface["Status"] == "available"


def test_a_launch_that_fails_is_an_activity_that_says_why_and_is_tried_again(account):
    interface = account.interface()
    template = account.gateway_template(interface, IamInstanceProfile={"Name": "nobody"})
    account.group(template)
    account.settle()
    (activity,) = account.ask("autoscaling", "DescribeScalingActivities", AutoScalingGroupName="gateway-a")[
        "Activities"
    ]
    assert activity["StatusCode"] == "Failed"
    assert "Invalid IAM Instance Profile name" in activity["StatusMessage"]
    account.role("nobody")
    account.clock.tick(3)
    account.settle()
    assert len(account.instances("running")) == 1


def test_health_that_is_set_within_the_grace_period_counts_only_when_asked_to(account):
    account.group(account.gateway_template(account.interface()), HealthCheckGracePeriod=300)
    account.settle()
    (first,) = account.described()["Instances"]
    asked = {"InstanceId": first["InstanceId"], "HealthStatus": "Unhealthy"}
    account.ask("autoscaling", "SetInstanceHealth", **asked)
    account.settle()
    assert account.described()["Instances"][0]["InstanceId"] == first["InstanceId"]
    account.ask("autoscaling", "SetInstanceHealth", ShouldRespectGracePeriod=False, **asked)
    account.settle()
    assert account.described()["Instances"][0]["InstanceId"] != first["InstanceId"]


def test_tags_of_a_group_are_propagated_to_its_instances(account):
    tags = [
        {"Key": "twinlock:environment", "Value": "lab", "PropagateAtLaunch": True},
        {"Key": "owner", "Value": "me", "PropagateAtLaunch": False},
    ]
    account.group(account.gateway_template(account.interface()), Tags=tags)
    account.settle()
    (instance,) = account.instances("running")
    shown = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert shown["twinlock:environment"] == "lab"
    assert "owner" not in shown
    assert shown["aws:autoscaling:groupName"] == "gateway-a"


def test_an_impaired_instance_is_replaced_after_its_grace_period(account):
    account.group(account.gateway_template(account.interface()), HealthCheckGracePeriod=300)
    account.settle()
    (first,) = account.described()["Instances"]
    account.launcher.impair(first["InstanceId"])
    (status,) = account.ask("ec2", "DescribeInstanceStatus")["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == "impaired"
    account.settle()
    assert account.described()["Instances"][0]["InstanceId"] == first["InstanceId"]
    account.clock.tick(301)
    account.settle()
    assert account.described()["Instances"][0]["InstanceId"] != first["InstanceId"]
