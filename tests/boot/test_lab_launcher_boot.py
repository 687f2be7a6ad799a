"""A group's instance on a real machine: cloud-init and boto3 against the lab's metadata service, IMDSv2 alone."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from lab.aws.adapter import read_topology
from lab.aws.control import ControlPlane
from lab.aws.launcher import Launcher
from lab.aws.launcher_front import backend_of, launcher_for
from lab.aws.launcher_views import InstanceRoles, Views, minted_by
from lab.aws.metadata import MetadataService
from lab.aws.names import NAMES
from lab.aws.seeds import IMAGES
from lab.fabric import Fabric
from lab.machines import Machines
from lab.paths import IMAGE

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.timeout(300),  # the first of them builds the image
]
PATIENCE = 60.0  # seconds; a boot takes one on an idle machine
ARM_IMAGE = next(image.ami_id for image in IMAGES if image.architecture == "arm64")
USER_DATA = """#cloud-config
write_files:
  - path: /root/who.py
    content: |
      import boto3
      who = boto3.client("sts", region_name="eu-west-1", verify="/etc/ssl/certs/ca-certificates.crt")
      print("caller", who.get_caller_identity()["Arn"], flush=True)
runcmd:
  - [sh, -c, "echo instance $(cloud-init query instance_id) is up > /dev/console"]
  - [sh, -c, "python3 /root/who.py > /dev/console 2>&1"]
  - [sh, -c, "curl -s -o /dev/null -w 'without a token %{http_code}\\n' http://169.254.169.254/latest/ > /dev/console"]
"""


@dataclass(frozen=True)
class Cloud:
    control: ControlPlane
    launcher: Launcher
    machines: Machines
    session: boto3.Session

    def client(self, service: str):
        return self.session.client(service, endpoint_url=self.control.endpoint, verify=str(self.control.ca_file))

    def in_service(self, name: str, *, but: str = "") -> str:
        """The id of a group's serving instance."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            group = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
            for member in group["AutoScalingGroups"][0]["Instances"]:
                if member["LifecycleState"] == "InService" and member["InstanceId"] != but:
                    return member["InstanceId"]
            time.sleep(0.05)
        said = self.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
        why = [activity.get("StatusMessage", activity["StatusCode"]) for activity in said]
        raise TimeoutError(f"no instance of {name} came into service: {why}")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    subprocess.run([ROOT / "tools/image/build", IMAGE], check=True)
    state = tmp_path_factory.mktemp("cloud")
    control = ControlPlane(state / "control", conflicts=0.0)
    control.start()
    fabric = Fabric("launchtest", NAMES)
    machines = Machines(lambda _: IMAGE, state / "machines", control.ca_file, fabric.machine_namespace)
    backend, applying = backend_of(control), threading.Lock()

    def apply() -> None:
        with applying:
            fabric.apply(read_topology(backend, launcher))

    def serve(network: str, sock: socket.socket) -> None:
        MetadataService(sock, views.lookup(network), roles.role_of, roles.credentials_of).start()

    launcher = launcher_for(control, machines, apply=apply, address_delay=0)
    views = Views(backend, launcher, region=control.region, account=control.account)
    roles = InstanceRoles(backend, minted_by(control))
    control.on_change(views.forget)
    fabric.on_network = serve
    fabric.start()
    for address in sorted({address for _, address in NAMES}):
        control.listen(fabric.listen("internet", address, 443), None)
    launcher.start()
    session = boto3.Session(control.admin.access_key, control.admin.secret, region_name=control.region)
    yield Cloud(control, launcher, machines, session)
    launcher.stop()
    for instance in launcher.running():
        machines.stop(instance.id)
    fabric.teardown()
    control.stop()


@pytest.fixture(scope="module")
def gateway(cloud: Cloud) -> str:
    """A group of one with a role, on an interface with a public address; gives the group's name."""
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="gateway", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    profile = iam.create_instance_profile(InstanceProfileName="gateway")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="gateway", RoleName="gateway")
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.1.0/24", AvailabilityZone="eu-west-1a")["Subnet"]
    door = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=door, VpcId=network)
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [network]}])["RouteTables"][0]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=door)
    made = ec2.create_network_interface(SubnetId=subnet["SubnetId"], PrivateIpAddress="10.0.1.10")
    interface = made["NetworkInterface"]["NetworkInterfaceId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)
    entry = {"DeviceIndex": 0, "NetworkInterfaceId": interface, "DeleteOnTermination": False}
    data = {
        "ImageId": ARM_IMAGE,
        "InstanceType": "t4g.small",
        "UserData": base64.b64encode(USER_DATA.encode()).decode(),
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "IamInstanceProfile": {"Arn": profile},
        "NetworkInterfaces": [entry],
    }
    template = ec2.create_launch_template(LaunchTemplateName="gateway", LaunchTemplateData=data)["LaunchTemplate"]
    cloud.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="gateway",
        MinSize=1,
        MaxSize=1,
        AvailabilityZones=["eu-west-1a"],
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
        InstanceMaintenancePolicy={"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100},
    )
    return "gateway"


def test_an_instance_boots_its_own_user_data_and_is_its_role(cloud: Cloud, gateway: str):
    instance = cloud.in_service(gateway)
    assert cloud.machines.wait_console(instance, f"instance {instance} is up", PATIENCE)
    caller = cloud.machines.wait_console(instance, "assumed-role", PATIENCE)
    assert re.search(rf"assumed-role/gateway/{instance}", caller)
    assert "401" in cloud.machines.wait_console(instance, "without a token", PATIENCE)


def test_a_machine_that_loses_power_is_replaced_and_the_new_one_boots_at_the_same_address(cloud: Cloud, gateway: str):
    first = cloud.in_service(gateway)
    cloud.machines.stop(first)
    second = cloud.in_service(gateway, but=first)
    cloud.machines.wait_console(second, f"instance {second} is up", PATIENCE)
    found = cloud.client("ec2").describe_instances(InstanceIds=[second])["Reservations"][0]["Instances"][0]
    assert found["PrivateIpAddress"] == "10.0.1.10"


def test_the_console_of_an_instance_is_read_through_the_api(cloud: Cloud, gateway: str):
    instance = cloud.in_service(gateway)
    cloud.machines.wait_console(instance, f"instance {instance} is up", PATIENCE)
    shown = cloud.client("ec2").get_console_output(InstanceId=instance)["Output"]
    assert f"instance {instance} is up" in shown
