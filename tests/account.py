"""What of an environment is in the lab's account, by its tags or its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.cloud import Cloud

_EC2 = {
    "describe_vpcs": "Vpcs",
    "describe_subnets": "Subnets",
    "describe_internet_gateways": "InternetGateways",
    "describe_route_tables": "RouteTables",
    "describe_security_groups": "SecurityGroups",
    "describe_addresses": "Addresses",
    "describe_network_interfaces": "NetworkInterfaces",
    "describe_vpc_endpoints": "VpcEndpoints",
    "describe_launch_templates": "LaunchTemplates",
}


def held(made: Cloud, name: str) -> Counter[str]:
    """How often each thing is there, as "KIND NAME"; rules and routes can't be there twice. Not what is being deleted
    in a recovery window."""
    return Counter([*_tagged(made, name), *_keys(made, name), *_named(made, f"twinlock-{name}", f"twinlock/{name}/")])


def _tagged(made: Cloud, name: str) -> Iterator[str]:
    ec2 = made.control.client("ec2", overrides=True)
    tagged = [{"Name": "tag:twinlock:environment", "Values": [name]}]
    for operation, kind in _EC2.items():
        for row in getattr(ec2, operation)(Filters=tagged)[kind]:
            if str(row.get("State", "")).lower() != "deleted":
                tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", row.get("TagSet", []))}
                yield f"{kind} {tags.get('Name')}"


def _keys(made: Cloud, name: str) -> Iterator[str]:
    kms = made.control.client("kms")
    for key in kms.list_keys()["Keys"]:
        tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]}
        state = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]
        if tags.get("twinlock:environment") == name and state != "PendingDeletion":
            yield f"Keys {tags['Name']}"


def _named(made: Cloud, mark: str, path: str) -> Iterator[str]:
    """`mark` begins a name, `path` a name that has slashes."""
    iam, s3, tables = made.control.client("iam"), made.control.client("s3"), made.control.client("dynamodb")
    groups = made.control.client("autoscaling", overrides=True)
    names = {
        "Roles": [one["RoleName"] for one in iam.list_roles()["Roles"]],
        "Profiles": [one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]],
        "Policies": [one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]],
        "Buckets": [one["Name"] for one in s3.list_buckets()["Buckets"]],
        "Tables": tables.list_tables()["TableNames"],
        "Groups": [one["AutoScalingGroupName"] for one in groups.describe_auto_scaling_groups()["AutoScalingGroups"]],
        "Aliases": [
            one["AliasName"].removeprefix("alias/") for one in made.control.client("kms").list_aliases()["Aliases"]
        ],
        "Parameters": [
            one["Name"].lstrip("/") for one in made.control.client("ssm").describe_parameters()["Parameters"]
        ],
        "Secrets": [one["Name"] for one in made.control.client("secretsmanager").list_secrets()["SecretList"]],
    }
    for kind, found in names.items():
        yield from (f"{kind} {each}" for each in found if each.startswith((f"{mark}-", path)) or each == mark)
