"""A small account of its own in moto, in this process, with the launcher in front: what the lab's unit tests call."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import boto3

from lab.aws.adapter import read_topology
from lab.aws.launcher import Launcher
from lab.aws.launcher_backend import boto_backend
from lab.aws.launcher_machines import NullMachines
from lab.aws.seeds import IMAGES
from lab.topology import Topology

ZONE = "eu-west-1a"
# One for all: what makes a client slow is reading the services' models, which a session does once.
SESSION = boto3.Session("testing", "testing", region_name="eu-west-1")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Account:
    """`ask` answers like the front does: the launcher's actions by the launcher, the rest by moto."""

    def __init__(self, *, apply: Callable[[], None] = lambda: None, address_delay: float = 0) -> None:
        self.moto = boto_backend(SESSION.client)
        self.clock, self.machines = Clock(), NullMachines()
        self.launcher = Launcher(self.moto, self.machines, apply=apply, address_delay=address_delay, clock=self.clock)
        self.network = self.ask("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.ask(
            "ec2", "CreateSubnet", VpcId=self.network, CidrBlock="10.0.1.0/24", AvailabilityZone=ZONE
        )["Subnet"]["SubnetId"]
        self.image = next(image.ami_id for image in IMAGES if image.architecture == "arm64")

    def ask(self, service: str, action: str, **parameters):
        if action in self.launcher.handlers.get(service, {}):
            return self.launcher.call(service, action, parameters)
        return self.moto(service, action, parameters)

    def interface(self, address: str = "10.0.1.10", **more) -> str:
        made = self.ask("ec2", "CreateNetworkInterface", SubnetId=self.subnet, PrivateIpAddress=address, **more)
        return made["NetworkInterface"]["NetworkInterfaceId"]

    def template(self, name: str = "gateway-a", **data) -> str:
        data = {"ImageId": self.image, "InstanceType": "t4g.small", **data}
        made = self.ask("ec2", "CreateLaunchTemplate", LaunchTemplateName=name, LaunchTemplateData=data)
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def gateway_template(self, interface: str, **data) -> str:
        entry = {"NetworkInterfaceId": interface, "DeviceIndex": 0, "DeleteOnTermination": False}
        return self.template(NetworkInterfaces=[entry], **data)

    def group(self, template: str, name: str = "gateway-a", **more) -> str:
        """In the one form that goes with an existing interface, but for what `more` says."""
        asked = {
            "AutoScalingGroupName": name,
            "MinSize": 1,
            "MaxSize": 1,
            "DesiredCapacity": 1,
            "AvailabilityZones": [ZONE],
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
            "InstanceMaintenancePolicy": {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100},
        } | more
        self.ask("autoscaling", "CreateAutoScalingGroup", **{k: v for k, v in asked.items() if v is not None})
        return name

    def settle(self, steps: int = 12) -> None:
        """Lets the launcher go on until nothing moves."""
        for _ in range(steps):
            self.launcher.step()

    def instances(self, *states: str) -> list[dict]:
        found = self.ask("ec2", "DescribeInstances")["Reservations"]
        every = [instance for reservation in found for instance in reservation["Instances"]]
        return [item for item in every if not states or item["State"]["Name"] in states]

    def described(self, name: str = "gateway-a") -> dict:
        return self.ask("autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=[name])["AutoScalingGroups"][
            0
        ]

    def topology(self) -> Topology:
        return read_topology(self.moto, self.launcher)

    def role(self, name: str = "gateway") -> str:
        """An instance profile with a role; gives the profile's ARN."""
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        self.ask("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=trust)
        made = self.ask("iam", "CreateInstanceProfile", InstanceProfileName=name)
        self.ask("iam", "AddRoleToInstanceProfile", InstanceProfileName=name, RoleName=name)
        return made["InstanceProfile"]["Arn"]
