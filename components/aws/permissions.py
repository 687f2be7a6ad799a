"""IAM policy documents as plain data: who may do what, and from where. Each statement names its resources.

Values may be outputs of resources: a document becomes text with `pulumi.Output.json_dumps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from components.plan import Part
from twinlock.registry import keys

ANY_SHARD = keys.shard(0).removesuffix("0") + "*"

Text = pulumi.Input[str]
Condition = Mapping[str, Mapping[str, object]]

# What a bucket's policy refuses away from the endpoint: data and listings. Managing the bucket is spared, or the next
# deployment would be locked out.
OBJECT_ACTIONS = (
    "s3:GetObject*",
    "s3:PutObject*",
    "s3:DeleteObject*",
    "s3:RestoreObject",
    "s3:ReplicateObject",
    "s3:ReplicateDelete",
    "s3:ReplicateTags",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
LISTING_ACTIONS = ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads")
# What a tenant's principal may do with the objects of its buckets.
TENANT_OBJECT_ACTIONS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
TENANT_BUCKET_ACTIONS = ("s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation")
# The statements of a bucket's policy that the program writes; others in an existing bucket's policy stay.
OWN_SIDS = ("TlsOnly", "ThroughEndpointOnly", "TenantsObjects", "TenantsListings", "PartOf*")
# Where each gateway keeps the small object that it writes and reads as a peer would (twinlock/agent/transfer.py).
HEALTH_PREFIX = "health/"
HEALTH_ACTIONS = ("s3:GetObject", "s3:PutObject")
TABLE_READ_ACTIONS = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:ConditionCheckItem")
TABLE_WRITE_ACTIONS = ("dynamodb:PutItem", "dynamodb:UpdateItem")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement. `principals` stays empty in a role's policy."""

    sid: str
    effect: Literal["Allow", "Deny"]
    actions: tuple[str, ...]
    resources: tuple[Text, ...]
    principals: Mapping[str, object] | Literal["*"] | None = None
    conditions: Condition = field(default_factory=dict[str, Mapping[str, object]])


def joined(*parts: Text) -> Text:
    """One text; plain where all of its parts are, so that what is known beforehand needs no engine."""
    plain = [part for part in parts if isinstance(part, str)]
    return "".join(plain) if len(plain) == len(parts) else pulumi.Output.concat(*parts)


def written(statements: Sequence[Statement]) -> dict[str, object]:
    """A document of statements that hold plain values alone."""
    return {"Version": "2012-10-17", "Statement": [_statement(statement) for statement in statements]}


def document(statements: Sequence[Statement], foreign: Sequence[Mapping[str, object]] = ()) -> pulumi.Output[str]:
    """The statements as the JSON text that AWS takes, after `foreign` ones, which are as they were."""
    return pulumi.Output.json_dumps(
        {"Version": "2012-10-17", "Statement": [*foreign, *(_statement(statement) for statement in statements)]}
    )


def _statement(statement: Statement) -> dict[str, object]:
    plain: dict[str, object] = {"Sid": statement.sid, "Effect": statement.effect}
    if statement.principals is not None:
        plain["Principal"] = statement.principals
    plain |= {"Action": list(statement.actions), "Resource": list(statement.resources)}
    if statement.conditions:
        plain["Condition"] = statement.conditions
    return plain


def trusts_ec2() -> pulumi.Output[str]:
    """Who may take a gateway's role: its machine."""
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
            ],
        }
    )


@dataclass(frozen=True, kw_only=True)
class GatewayRole:
    """What one slot's gateway touches."""

    slot: str
    region: str
    account: Text
    table_arn: Text
    service_secret_arn: Text
    way_secret_arn: Text
    key_arn: Text
    agent_bucket_arn: Text
    storage_prefix_list: Text
    environment: str
    group_names: tuple[str, ...]  # of the environment: a twin reports a hung gateway
    own_group: str  # this slot's: an outdated gateway asks for its own replacement
    floating: tuple[Text, ...] = ()  # the floating address's allocation, and this slot's interface


def gateway(role: GatewayRole) -> tuple[Statement, ...]:
    """The whole policy of a slot's gateway."""
    return (
        _table("ReadRegistry", TABLE_READ_ACTIONS, role.table_arn, _read_keys()),
        _table("WriteOwnRecords", TABLE_WRITE_ACTIONS, role.table_arn, _written_keys(role.slot)),
        *_identities(role),
        Statement(
            sid="FetchAgent",
            effect="Allow",
            actions=("s3:GetObject",),
            resources=(joined(role.agent_bucket_arn, "/agent/*"),),
        ),
        Statement(
            sid="ProveTransfers",
            effect="Allow",
            actions=HEALTH_ACTIONS,
            resources=(joined(role.agent_bucket_arn, f"/{HEALTH_PREFIX}{role.slot}"),),
        ),
        Statement(
            sid="ReadStoragePrefixes",
            effect="Allow",
            actions=("ec2:GetManagedPrefixListEntries",),
            # The account of a list that AWS keeps is written "aws".
            resources=(joined("arn:aws:ec2:", role.region, ":*:prefix-list/", role.storage_prefix_list),),
        ),
        Statement(
            sid="ReportHungGateway",
            effect="Allow",
            actions=("autoscaling:SetInstanceHealth",),
            resources=tuple(_group_arn(role, name) for name in role.group_names),
        ),
        Statement(
            sid="ReplaceItself",
            effect="Allow",
            actions=("autoscaling:TerminateInstanceInAutoScalingGroup",),
            resources=(_group_arn(role, role.own_group),),
        ),
        *_floating(role),
    )


def _floating(role: GatewayRole) -> tuple[Statement, ...]:
    """Each gateway takes the floating address to itself, and nothing else anywhere."""
    if not role.floating:
        return ()
    place = joined(f"arn:aws:ec2:{role.region}:", role.account, ":")
    kinds = ("elastic-ip", "network-interface")
    return (
        Statement(
            sid="TakeFloatingAddress",
            effect="Allow",
            actions=("ec2:AssociateAddress",),
            resources=tuple(joined(place, f"{kind}/", one) for kind, one in zip(kinds, role.floating, strict=True)),
        ),
        Statement(
            sid="FindFloatingAddress",
            effect="Allow",
            actions=("ec2:DescribeAddresses",),
            resources=("*",),
            conditions={"StringEquals": {"aws:RequestedRegion": role.region}},
        ),
    )


def _read_keys() -> list[str]:
    """Partition keys: every tenant's, so that a new tenant changes no role."""
    return [
        keys.DEFINITION,
        keys.IDENTITY,
        keys.META,
        keys.peer("*"),
        keys.revoked("*"),
        keys.change("*"),
        keys.gateway("*"),
        keys.ways("*"),
        ANY_SHARD,
        keys.SWITCH,
        keys.ROTATION,
        keys.LAUNCH,
        keys.ROLLING,
        keys.moved("*"),
        keys.enrolment("*"),
        keys.approval("*"),
        keys.data_key("*"),
    ]


def _written_keys(slot: str) -> list[str]:
    # A rotation ends when the last peer has moved, and it is the gateways that see it. A tenant's first data key is
    # theirs to make, so that enrollers need not write one.
    return [
        keys.IDENTITY,
        keys.gateway(slot),
        keys.ways(slot),
        keys.traffic(slot),
        ANY_SHARD,
        keys.ROTATION,
        keys.ROLLING,
        keys.moved("*"),
        keys.data_key("*"),
    ]


def _table(sid: str, actions: tuple[str, ...], table_arn: Text, leading: list[str]) -> Statement:
    """ForAllValues alone is true when there is no key at all (a Scan): Null asks for one."""
    return Statement(
        sid=sid,
        effect="Allow",
        actions=actions,
        resources=(table_arn,),
        conditions={
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": leading},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    )


def _identities(role: GatewayRole) -> tuple[Statement, ...]:
    return (
        Statement(
            sid="KeepIdentities",
            effect="Allow",
            actions=(
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
                # A secret holds 20 labels: the oldest are dropped before a new version.
                "secretsmanager:ListSecretVersionIds",
            ),
            resources=(role.service_secret_arn, role.way_secret_arn),
        ),
        Statement(
            sid="SealIdentities",
            effect="Allow",
            actions=("kms:Decrypt", "kms:GenerateDataKey"),
            resources=(role.key_arn,),
            conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{role.region}.amazonaws.com"}},
        ),
        Statement(
            sid="OpenDataKeys",
            effect="Allow",
            # Makes a tenant's first one without seeing it, and opens them: pre-shared keys are wrapped with these.
            actions=("kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"),
            resources=(role.key_arn,),
            conditions={"StringEquals": {f"kms:EncryptionContext:{keys.CONTEXT_ENVIRONMENT}": role.environment}},
        ),
    )


def _group_arn(role: GatewayRole, name: str) -> Text:
    group = f":autoScalingGroup:*:autoScalingGroupName/{name}"
    return joined(f"arn:aws:autoscaling:{role.region}:", role.account, group)


def key(region: str, account: Text, principals: Sequence[str]) -> tuple[Statement, ...]:
    """The environment's key: the account's own policies decide, and tenants' principals use it through storage."""
    statements = [
        Statement(
            sid="AccountDecides",
            effect="Allow",
            actions=("kms:*",),
            resources=("*",),
            principals={"AWS": joined("arn:aws:iam::", account, ":root")},
        )
    ]
    if principals:
        statements.append(
            Statement(
                sid="TenantsThroughStorage",
                effect="Allow",
                actions=("kms:Decrypt", "kms:GenerateDataKey"),
                resources=("*",),
                principals={"AWS": list(principals)},
                conditions={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}},
            )
        )
    return tuple(statements)


def tls_only(bucket_arn: Text) -> Statement:
    return Statement(
        sid="TlsOnly",
        effect="Deny",
        actions=("s3:*",),
        resources=_bucket_and_objects(bucket_arn),
        principals="*",
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )


def through_endpoint_only(bucket_arn: Text, endpoints: Sequence[Text], break_glass: Sequence[str]) -> Statement:
    """Refuses data and listings that come through none of `endpoints`, sparing the cloud's services and `break_glass`.

    IfExists: an anonymous request has no such key and must be refused, too. A missing aws:SourceVpce makes
    StringNotEquals true.
    """
    conditions: dict[str, Mapping[str, object]] = {
        "StringNotEquals": {"aws:SourceVpce": list(endpoints)},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    }
    if break_glass:
        conditions["ArnNotLike"] = {"aws:PrincipalArn": list(break_glass)}
    return Statement(
        sid="ThroughEndpointOnly",
        effect="Deny",
        actions=(*OBJECT_ACTIONS, *LISTING_ACTIONS),
        resources=_bucket_and_objects(bucket_arn),
        principals="*",
        conditions=conditions,
    )


def health_through_endpoint_only(bucket_arn: Text, endpoints: Sequence[Text]) -> Statement:
    """What gateways write to prove that transfers go through is refused away from the endpoint, as users' objects are:
    a gateway whose proof took another path has proven nothing."""
    return Statement(
        sid="HealthThroughEndpointOnly",
        effect="Deny",
        # Deleting is spared: who ends the environment empties the bucket from anywhere.
        actions=("s3:GetObject*", "s3:PutObject*"),
        resources=(joined(bucket_arn, f"/{HEALTH_PREFIX}*"),),
        principals="*",
        conditions={"StringNotEquals": {"aws:SourceVpce": list(endpoints)}},
    )


def admits(bucket_arn: Text, principals: Sequence[str]) -> tuple[Statement, ...]:
    """Lets the tenants' principals use the bucket's objects."""
    if not principals:
        return ()
    named = {"AWS": list(principals)}
    objects, bucket = (joined(bucket_arn, "/*"),), (bucket_arn,)
    return (
        Statement(
            sid="TenantsObjects", effect="Allow", actions=TENANT_OBJECT_ACTIONS, resources=objects, principals=named
        ),
        Statement(
            sid="TenantsListings", effect="Allow", actions=TENANT_BUCKET_ACTIONS, resources=bucket, principals=named
        ),
    )


def own_part(bucket_arn: Text, part: Part, break_glass: Sequence[str]) -> tuple[Statement, ...]:
    """Keeps a part of the bucket for one tenant: its principals, and whatever keys come from its own addresses alone.

    A request that came through no endpoint has no aws:VpcSourceIp, which makes NotIpAddress true.
    """
    # Names of tenants are lower case: a capital can't be part of one. A statement's name takes letters and digits only.
    sid = f"PartOf{part.tenant.replace('-', 'D')}"
    objects, keys_of = (joined(bucket_arn, "/", part.prefix, "*"),), {"s3:prefix": f"{part.prefix}*"}
    elsewhere: dict[str, Mapping[str, object]] = {
        "NotIpAddress": {"aws:VpcSourceIp": list(part.sources)},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
    }
    if break_glass:
        elsewhere["ArnNotLike"] = {"aws:PrincipalArn": list(break_glass)}
    refused = (
        Statement(
            sid=f"{sid}Objects", effect="Deny", actions=OBJECT_ACTIONS, resources=objects, principals="*",
            conditions=elsewhere,
        ),
        Statement(
            sid=f"{sid}Listings", effect="Deny", actions=LISTING_ACTIONS, resources=(bucket_arn,), principals="*",
            conditions={**elsewhere, "StringLike": keys_of},
        ),
    )  # fmt: skip
    if not part.principals:
        return refused
    named = {"AWS": list(part.principals)}
    return (
        *refused,
        Statement(
            sid=f"{sid}MayObjects", effect="Allow", actions=TENANT_OBJECT_ACTIONS, resources=objects, principals=named
        ),
        Statement(
            sid=f"{sid}MayListings", effect="Allow", actions=TENANT_BUCKET_ACTIONS[:2], resources=(bucket_arn,),
            principals=named, conditions={"StringLike": keys_of},
        ),
    )  # fmt: skip


def storage_endpoint(
    bucket_arns: Sequence[Text], agent_bucket_arn: Text, other_buckets: Literal["refuse", "allow"]
) -> tuple[Statement, ...]:
    """What passes the storage endpoint: the buckets' own policies decide the rest."""
    everything = tuple(arn for bucket in bucket_arns for arn in _bucket_and_objects(bucket))
    agent = (joined(agent_bucket_arn, "/agent/*"),)
    own = Statement(sid="OwnBuckets", effect="Allow", actions=("s3:*",), resources=everything, principals="*")
    fetch = Statement(sid="Agent", effect="Allow", actions=("s3:GetObject",), resources=agent, principals="*")
    proofs = (joined(agent_bucket_arn, f"/{HEALTH_PREFIX}*"),)
    health = Statement(sid="Health", effect="Allow", actions=HEALTH_ACTIONS, resources=proofs, principals="*")
    other = Statement(sid="OtherBuckets", effect="Allow", actions=("s3:*",), resources=("*",), principals="*")
    return (own, fetch, health, other) if other_buckets == "allow" else (own, fetch, health)


def registry_endpoint(table_arn: Text) -> tuple[Statement, ...]:
    """What passes the registry's endpoint: the environment's own table, item by item."""
    actions = (*TABLE_READ_ACTIONS, *TABLE_WRITE_ACTIONS, "dynamodb:DeleteItem")
    return (Statement(sid="OwnTable", effect="Allow", actions=actions, resources=(table_arn,), principals="*"),)


def own_account(account: Text) -> tuple[Statement, ...]:
    """What passes an interface endpoint: nobody else's principals, who could carry data out through it."""
    return (
        Statement(
            sid="OwnAccount",
            effect="Allow",
            actions=("*",),
            resources=("*",),
            principals="*",
            conditions={"StringEquals": {"aws:PrincipalAccount": account}},
        ),
    )


def _bucket_and_objects(bucket_arn: Text) -> tuple[Text, Text]:
    return (bucket_arn, joined(bucket_arn, "/*"))
