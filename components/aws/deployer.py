"""The rights of whoever deploys an environment: what its resources need and nothing else; and what bounds its roles.

Plain IAM documents, from the settings alone. Some of what is read is asked by the real provider only. Rights to delete
what holds data come with `protect: false` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.aws import permissions
from components.aws.permissions import Condition, Statement
from components.models import Settings
from components.plan import bucket_name
from twinlock.registry import keys

TAG = "twinlock:environment"
Document = dict[str, object]

# EC2: kind of resource -> the call that makes one, and those that change or end it.
_EC2_MADE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "vpc": ("CreateVpc", ("ModifyVpcAttribute", "DeleteVpc")),
    "subnet": ("CreateSubnet", ("ModifySubnetAttribute", "DeleteSubnet")),
    "internet-gateway": (
        "CreateInternetGateway",
        ("AttachInternetGateway", "DetachInternetGateway", "DeleteInternetGateway"),
    ),
    "route-table": (
        "CreateRouteTable",
        ("CreateRoute", "DeleteRoute", "AssociateRouteTable", "DisassociateRouteTable", "DeleteRouteTable"),
    ),
    "security-group": (
        "CreateSecurityGroup",
        (
            "AuthorizeSecurityGroupIngress",
            "AuthorizeSecurityGroupEgress",
            "RevokeSecurityGroupIngress",
            "RevokeSecurityGroupEgress",
            "ModifySecurityGroupRules",
            "DeleteSecurityGroup",
        ),
    ),
    "vpc-endpoint": ("CreateVpcEndpoint", ("ModifyVpcEndpoint", "DeleteVpcEndpoints")),
    "elastic-ip": ("AllocateAddress", ("AssociateAddress", "DisassociateAddress", "ReleaseAddress")),
    "network-interface": (
        "CreateNetworkInterface",
        (
            "ModifyNetworkInterfaceAttribute",
            "AssignPrivateIpAddresses",
            "UnassignPrivateIpAddresses",
            "DetachNetworkInterface",
            "DeleteNetworkInterface",
        ),
    ),
    "launch-template": (
        "CreateLaunchTemplate",
        ("CreateLaunchTemplateVersion", "ModifyLaunchTemplate", "DeleteLaunchTemplate"),
    ),
}
# Where the network has IPv6: it comes to what is there already, and goes from it.
_EC2_BY_IPV6 = (
    "AssociateVpcCidrBlock", "DisassociateVpcCidrBlock", "AssociateSubnetCidrBlock", "DisassociateSubnetCidrBlock",
    "AssignIpv6Addresses", "UnassignIpv6Addresses",
)  # fmt: skip
_EC2_READ = (
    "Addresses", "AddressesAttribute", "AvailabilityZones", "Images", "InstanceTypeOfferings", "InternetGateways",
    "LaunchTemplates", "LaunchTemplateVersions", "ManagedPrefixLists", "NetworkAcls", "NetworkInterfaces",
    "PrefixLists", "RouteTables", "SecurityGroupRules", "SecurityGroups", "Subnets", "VpcAttribute",
    "VpcEndpoints", "VpcEndpointServices", "Vpcs",
)  # fmt: skip
_BUCKET_READ = (
    "ListBucket", "GetAccelerateConfiguration", "GetBucketAcl", "GetBucketCORS", "GetBucketLocation",
    "GetBucketLogging", "GetBucketObjectLockConfiguration", "GetBucketPolicy", "GetBucketPublicAccessBlock",
    "GetBucketRequestPayment", "GetBucketTagging", "GetBucketVersioning", "GetBucketWebsite",
    "GetEncryptionConfiguration", "GetLifecycleConfiguration", "GetReplicationConfiguration",
)  # fmt: skip
_BUCKET_MADE = (
    "CreateBucket", "PutBucketTagging", "PutBucketVersioning", "PutBucketPublicAccessBlock",
    "PutEncryptionConfiguration", "PutBucketPolicy", "DeleteBucketPolicy",
)  # fmt: skip
_BUCKET_ENDED = ("DeleteBucket", "ListBucketVersions")
_OBJECT_ENDED = ("DeleteObject", "DeleteObjectVersion")
# More buckets than this are named by a pattern, because a managed policy would not hold them.
_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class Place:
    """Whose account, where, and the environment's name in ARNs."""

    settings: Settings
    account: str

    @property
    def name(self) -> str:
        return f"twinlock-{self.settings.environment}"

    @property
    def gateway(self) -> str:
        """The name of any slot's role, profile and group. A slot is one letter: no other environment's are meant."""
        return f"{self.name}-gateway-?"

    def bucket(self, short: str) -> str:
        """Its ARN whatever the environment's random suffix, which has eight characters."""
        return f"arn:aws:s3:::{bucket_name(self.settings.environment, short, '?' * 8)}"

    @property
    def own(self) -> Condition:
        """Resources that carry the environment's tag."""
        return {"StringEquals": {f"aws:ResourceTag/{TAG}": self.settings.environment}}

    @property
    def asked(self) -> Condition:
        """Requests that give a new resource the environment's tag."""
        return {"StringEquals": {f"aws:RequestTag/{TAG}": self.settings.environment}}

    def arn(self, service: str, resource: str, *, region: bool = True) -> str:
        return f"arn:aws:{service}:{self.settings.region if region else ''}:{self.account}:{resource}"


def policies(settings: Settings, account: str) -> dict[str, Document]:
    """Three documents, each below a managed policy's 6,144 characters: network, data, roles."""
    place = Place(settings=settings, account=account)
    parts = {"network": _network(place), "data": _data(place), "roles": _roles(place)}
    return {name: permissions.written(statements) for name, statements in parts.items()}


def boundary(settings: Settings, account: str) -> Document:
    """The most that a gateway's role may ever do: the gateway's own policy, for any slot of this environment."""
    place = Place(settings=settings, account=account)
    secrets = place.arn("secretsmanager", f"secret:twinlock/{settings.environment}/*")
    most = permissions.GatewayRole(
        environment=settings.environment,
        slot="*",
        region=settings.region,
        account=account,
        table_arn=place.arn("dynamodb", f"table/{place.name}"),
        service_secret_arn=secrets,
        way_secret_arn=secrets,
        key_arn=place.arn("kms", "key/*"),
        agent_bucket_arn=place.bucket("agent"),
        storage_prefix_list="*",
        group_names=(place.gateway,),
        own_group=place.gateway,
        floating=("*", "*") if settings.gateway.floating else (),
    )
    return permissions.written(permissions.gateway(most))


def _may(
    sid: str, service: str, actions: Sequence[str], resources: Sequence[str], conditions: Condition | None = None
) -> Statement:
    named = tuple(f"{service}:{action}" for action in actions)
    return Statement(
        sid=sid, effect="Allow", actions=named, resources=tuple(resources), conditions=dict(conditions or {})
    )


def _network(place: Place) -> list[Statement]:
    made = {kind: place.arn("ec2", f"{kind}/*") for kind in _EC2_MADE}
    creates = [create for create, _ in _EC2_MADE.values()]
    changes = {change for _, several in _EC2_MADE.values() for change in several} | set(creates)
    changes = sorted(changes | set(_EC2_BY_IPV6 if place.settings.network.ipv6 else ()))
    statements = [
        _may("See", "ec2", [f"Describe{each}" for each in _EC2_READ] + ["GetManagedPrefixListEntries"], ["*"]),
        _may("Make", "ec2", creates, [*made.values()], place.asked),
        # A subnet is made in a network, an association between two: whatever exists must be the environment's.
        _may("Own", "ec2", [*changes, "CreateTags", "DeleteTags"], [place.arn("ec2", "*/*")], place.own),
        _may("TagNew", "ec2", ["CreateTags"], [place.arn("ec2", "*/*")], _at_creation(place, creates)),
        _may("ByTemplate", "ec2", ["RunInstances"], ["*"], _by_template(place)),
    ]
    if vpc := place.settings.network.vpc_id:
        inside = ["CreateSubnet", "CreateRouteTable", "CreateSecurityGroup", "CreateVpcEndpoint"]
        statements.append(_may("InNetwork", "ec2", inside, [place.arn("ec2", f"vpc/{vpc}")]))
    if place.settings.network.interface_endpoints:
        statements += _private(place)
    return [*statements, *_groups(place)]


def _private(place: Place) -> list[Statement]:
    """Of private endpoints: rules towards the storage's prefix list, which is AWS's, and AWS's zone with their names.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html (dependent actions)
    """
    lists = f"arn:aws:ec2:{place.settings.region}:aws:prefix-list/*"
    return [
        _may("ToStorage", "ec2", ["AuthorizeSecurityGroupEgress"], [lists]),
        _may("PrivateNames", "route53", ["AssociateVPCWithHostedZone"], ["arn:aws:route53:::hostedzone/*"]),
    ]


def _at_creation(place: Place, creates: Sequence[str]) -> Condition:
    also = ("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress")
    wanted = {**place.asked["StringEquals"], "ec2:CreateAction": [*creates, *also]}
    return {"StringEquals": wanted}


def _by_template(place: Place) -> Condition:
    """https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html"""
    return {
        "ArnLike": {"ec2:LaunchTemplate": place.arn("ec2", "launch-template/*")},
        "Bool": {"ec2:IsLaunchTemplateResource": "true"},
    }


def _groups(place: Place) -> list[Statement]:
    changes = ("CreateAutoScalingGroup", "UpdateAutoScalingGroup", "DeleteAutoScalingGroup", "CreateOrUpdateTags",
               "DeleteTags")  # fmt: skip
    group = place.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{place.gateway}")
    reads = ("AutoScalingGroups", "ScalingActivities", "WarmPool", "Tags")
    return [
        _may("SeeGroups", "autoscaling", [f"Describe{each}" for each in reads], ["*"]),
        _may("Groups", "autoscaling", changes, [group]),
    ]


def _data(place: Place) -> list[Statement]:
    return [*_buckets(place), *_tables(place), *_keys(place), *_secrets(place), *_parameters(place)]


def _buckets(place: Place) -> list[Statement]:
    storage = place.settings.storage
    agent = place.bucket("agent")
    every = [agent, *map(place.bucket, storage.buckets)] if len(storage.buckets) <= _NAMED else [place.bucket("*")]
    ends = [agent] if storage.protect else every
    files = ("GetObject", "GetObjectTagging", "PutObject", "PutObjectTagging")
    statements = [
        _may("Buckets", "s3", [*_BUCKET_READ, *_BUCKET_MADE], every),
        _may("EndBuckets", "s3", _BUCKET_ENDED, ends),
        _may("EndObjects", "s3", _OBJECT_ENDED, [f"{arn}/*" for arn in ends]),
        _may("Agent", "s3", files, [f"{agent}/agent/*"]),
    ]
    if storage.existing:
        arns = [f"arn:aws:s3:::{name}" for name in storage.existing.values()]
        writes = ("PutBucketPolicy", "DeleteBucketPolicy", "PutBucketPublicAccessBlock")
        statements.append(_may("Existing", "s3", [*_BUCKET_READ, *writes], arns))
    return statements


def _tables(place: Place) -> list[Statement]:
    table = place.arn("dynamodb", f"table/{place.name}")
    actions = ["CreateTable", "DescribeTable", "DescribeContinuousBackups", "DescribeTimeToLive", "UpdateTable",
               "UpdateTimeToLive", "UpdateContinuousBackups", "ListTagsOfResource", "TagResource",
               "UntagResource"]  # fmt: skip
    if not place.settings.registry.protect:
        actions.append("DeleteTable")
    definition = {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [keys.DEFINITION, keys.LAUNCH]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
    return [
        _may("Table", "dynamodb", actions, [table]),
        _may("Definition", "dynamodb", ["GetItem", "PutItem", "UpdateItem", "DeleteItem"], [table], definition),
    ]


def _keys(place: Place) -> list[Statement]:
    own = ["DescribeKey", "GetKeyPolicy", "PutKeyPolicy", "GetKeyRotationStatus", "EnableKeyRotation",
           "DisableKeyRotation", "ListResourceTags", "TagResource", "UntagResource", "UpdateKeyDescription",
           "CreateAlias", "UpdateAlias", "DeleteAlias"]  # fmt: skip
    if not place.settings.registry.protect:
        own.append("ScheduleKeyDeletion")
    return [
        _may("SeeKeys", "kms", ["ListAliases"], ["*"]),
        _may("NewKey", "kms", ["CreateKey", "TagResource"], ["*"], place.asked),
        _may("OwnKey", "kms", own, [place.arn("kms", "key/*")], place.own),
        _may("Alias", "kms", ["CreateAlias", "UpdateAlias", "DeleteAlias"], [place.arn("kms", f"alias/{place.name}")]),
    ]


def _secrets(place: Place) -> list[Statement]:
    """Containers alone: what is in them is nobody's but the gateways'."""
    actions = ["CreateSecret", "DescribeSecret", "GetResourcePolicy", "UpdateSecret", "TagResource", "UntagResource"]
    if not place.settings.registry.protect:
        actions.append("DeleteSecret")
    own = place.arn("secretsmanager", f"secret:twinlock/{place.settings.environment}/*")
    return [_may("Secrets", "secretsmanager", actions, [own])]


def _parameters(place: Place) -> list[Statement]:
    actions = ("GetParameter", "GetParameters", "PutParameter", "DeleteParameter", "AddTagsToResource",
               "RemoveTagsFromResource", "ListTagsForResource")  # fmt: skip
    own = place.arn("ssm", f"parameter/twinlock/{place.settings.environment}/*")
    published = f"arn:aws:ssm:{place.settings.region}::parameter/aws/service/debian/*"
    return [
        _may("Parameters", "ssm", actions, [own]),
        _may("SeeParameters", "ssm", ["DescribeParameters"], ["*"]),
        _may("NewestImage", "ssm", ["GetParameter"], [published]),
        _may(
            "Quotas",
            "servicequotas",
            ["GetServiceQuota"],
            [place.arn("servicequotas", f"{one}/*") for one in ("ec2", "vpc")],
        ),
    ]


def _roles(place: Place) -> list[Statement]:
    role = place.arn("iam", f"role/{place.gateway}", region=False)
    profile = place.arn("iam", f"instance-profile/{place.gateway}", region=False)
    people = [
        place.arn("iam", f"policy/{place.name}-{who}", region=False) for who in ("reader", "enroller", "approver")
    ]
    plain = ("GetRole", "DeleteRole", "TagRole", "UntagRole", "UpdateRole", "UpdateAssumeRolePolicy", "GetRolePolicy",
             "ListRolePolicies", "ListAttachedRolePolicies", "ListInstanceProfilesForRole")  # fmt: skip
    profiles = ("CreateInstanceProfile", "GetInstanceProfile", "DeleteInstanceProfile", "TagInstanceProfile",
                "UntagInstanceProfile", "AddRoleToInstanceProfile", "RemoveRoleFromInstanceProfile")  # fmt: skip
    managed = ("CreatePolicy", "GetPolicy", "GetPolicyVersion", "ListPolicyVersions", "CreatePolicyVersion",
               "DeletePolicyVersion", "DeletePolicy", "TagPolicy", "UntagPolicy")  # fmt: skip
    return [
        _may("Roles", "iam", plain, [role]),
        _may("RolesWithin", "iam", _BOUNDED, [role], _bounded(place)),
        _may("Profiles", "iam", profiles, [profile]),
        _may("Pass", "iam", ["PassRole"], [role], {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
        _may("People", "iam", managed, people),
        _may(
            "FirstGroup", "iam", ["CreateServiceLinkedRole"],
            [place.arn("iam", "role/aws-service-role/autoscaling.amazonaws.com/*", region=False)],
        ),
    ]  # fmt: skip


_BOUNDED = ("CreateRole", "PutRolePolicy", "DeleteRolePolicy", "PutRolePermissionsBoundary")


def _bounded(place: Place) -> Condition:
    """Where the stack file names a boundary, no role is made or changed without it."""
    named = place.settings.gateway.permissions_boundary
    return {"StringEquals": {"iam:PermissionsBoundary": named}} if named else {}
