"""What a call needs, service by service, against AWS's Service Authorization Reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from lab.aws.call import Call, Caller, Source
from lab.aws.identities import Identities, Principal, Secret
from lab.aws.needs import Group, UnknownNeedError
from lab.aws.needs_rest import needs
from lab.aws.s3_operations import operation_of

PLACE = "eu-west-1:123456789012"
KEY = f"arn:aws:kms:{PLACE}:key/0d4a4a4e-0000-0000-0000-000000000001"
SECRET = f"arn:aws:secretsmanager:{PLACE}:secret:twinlock/lab/service-AbCdEf"
GROUP = f"arn:aws:autoscaling:{PLACE}:autoScalingGroup:1-2-3:autoScalingGroupName/gateway-a"


@dataclass
class Known:
    """Resources without a cloud."""

    reading: Identities = field(default_factory=Identities)
    keys: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def identities(self) -> Identities:
        return self.reading

    def ec2_tags(self, identifier: str) -> Mapping[str, str]:
        return self.tags.get(identifier, {})

    def tied(self, association: str) -> str | None:
        return {"eipassoc-0123456789abcdef0": "eipalloc-0123456789abcdef0"}.get(association)

    def partition_key(self, table: str) -> str | None:
        return "pk" if table == "registry" else None

    def bucket_policy(self, bucket: str) -> str | None:
        return None

    def bucket_key(self, bucket: str) -> str | None:
        return self.keys.get(bucket)

    def group(self, name: str) -> Group | None:
        return Group(arn=GROUP, tags={"twinlock:environment": "lab"}) if name == "gateway-a" else None

    def group_of_instance(self, instance: str) -> Group | None:
        return self.group("gateway-a") if instance == "i-0123456789abcdef0" else None


def call(service: str, action: str, body: bytes = b"", path: str = "/", query: str = "", **headers: str) -> Call:
    who = Caller(arn="arn:aws:iam::1:user/x", user_id="AIDA", account="1", role_name=None, access_key="AKIA")
    return Call(
        service=service,
        action=action,
        region="eu-west-1",
        caller=who,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        method="POST",
        path=path,
        query=query,
        body=body,
        source=Source(address="192.0.2.1", endpoint=None),
    )


def asked(made: Call, known: Known | None = None) -> list[tuple[str, tuple[str, ...]]]:
    return [(need.action, need.resources) for need in needs(made, known or Known())]


def in_json(service: str, action: str, **parameters: object) -> Call:
    return call(service, action, json.dumps(parameters).encode(), content_type="application/x-amz-json-1.1")


def in_form(service: str, action: str, **parameters: str) -> Call:
    body = urlencode({name.replace("__", "."): value for name, value in parameters.items()} | {"Action": action})
    return call(service, action, body.encode(), content_type="application/x-www-form-urlencoded; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "bucket", "key", "query", "headers", "operation"),
    [
        ("GET", None, None, "", {}, "ListBuckets"),
        ("PUT", "b", None, "", {}, "CreateBucket"),
        ("GET", "b", None, "", {}, "ListObjects"),
        ("GET", "b", None, "list-type=2&prefix=a%2F", {}, "ListObjectsV2"),
        ("GET", "b", None, "versions", {}, "ListObjectVersions"),
        ("HEAD", "b", None, "", {}, "HeadBucket"),
        ("PUT", "b", None, "policy", {}, "PutBucketPolicy"),
        ("GET", "b", None, "publicAccessBlock=", {}, "GetPublicAccessBlock"),
        ("POST", "b", None, "delete", {}, "DeleteObjects"),
        ("PUT", "b", "k", "", {}, "PutObject"),
        ("PUT", "b", "k", "x-id=PutObject", {}, "PutObject"),
        ("PUT", "b", "k", "", {"x-amz-copy-source": "/a/b"}, "CopyObject"),
        ("PUT", "b", "k", "partNumber=1&uploadId=x", {}, "UploadPart"),
        ("POST", "b", "k", "uploads", {}, "CreateMultipartUpload"),
        ("POST", "b", "k", "uploadId=x", {}, "CompleteMultipartUpload"),
        ("DELETE", "b", "k", "uploadId=x", {}, "AbortMultipartUpload"),
        ("GET", "b", "k", "versionId=3", {}, "GetObject"),
        ("HEAD", "b", "k", "", {}, "HeadObject"),
        ("GET", "b", "k", "tagging", {}, "GetObjectTagging"),
        ("PATCH", "b", "k", "", {}, None),
    ],
)
def test_operations_of_s3_are_told_from_the_request(method, bucket, key, query, headers, operation):
    assert operation_of(method, bucket, key, query, headers) == operation


@pytest.mark.parametrize(
    ("action", "path", "query", "headers", "needed"),
    [
        ("ListBuckets", "/", "", {}, [("s3:ListAllMyBuckets", ("*",))]),
        ("ListObjectsV2", "/b", "list-type=2", {}, [("s3:ListBucket", ("arn:aws:s3:::b",))]),
        ("HeadBucket", "/b", "", {}, [("s3:ListBucket", ("arn:aws:s3:::b",))]),
        ("HeadObject", "/b/a%20b/c", "", {}, [("s3:GetObject", ("arn:aws:s3:::b/a b/c",))]),
        ("GetObject", "/b/k", "versionId=3", {}, [("s3:GetObjectVersion", ("arn:aws:s3:::b/k",))]),
        ("UploadPart", "/b/k", "partNumber=1&uploadId=x", {}, [("s3:PutObject", ("arn:aws:s3:::b/k",))]),
        ("GetBucketEncryption", "/b", "encryption", {}, [("s3:GetEncryptionConfiguration", ("arn:aws:s3:::b",))]),
        ("PutPublicAccessBlock", "/b", "", {}, [("s3:PutBucketPublicAccessBlock", ("arn:aws:s3:::b",))]),
        (
            "CopyObject",
            "/b/k",
            "",
            {"x_amz_copy_source": "/from/a%2Fb"},
            [("s3:GetObject", ("arn:aws:s3:::from/a/b",)), ("s3:PutObject", ("arn:aws:s3:::b/k",))],
        ),
    ],
)
def test_s3_needs_its_action_on_the_bucket_or_the_object(action, path, query, headers, needed):
    assert asked(call("s3", action, path=path, query=query, **headers)) == needed


def test_deleting_many_objects_needs_the_right_to_each():
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b &amp; c</Key></Object></Delete>"
    (need,) = needs(call("s3", "DeleteObjects", body, path="/b"), Known())
    assert need.resources == ("arn:aws:s3:::b/a", "arn:aws:s3:::b/b & c")


def test_an_encrypted_bucket_asks_for_its_key_as_well():
    known = Known(Identities(kms_policies={KEY: "{}"}), keys={"b": KEY})
    assert asked(call("s3", "PutObject", path="/b/k"), known)[1:] == [("kms:GenerateDataKey", (KEY,))]
    assert asked(call("s3", "GetObject", path="/b/k"), known)[1:] == [("kms:Decrypt", (KEY,))]
    (_, *kms) = needs(call("s3", "UploadPart", path="/b/k"), known)
    assert [need.action for need in kms] == ["kms:GenerateDataKey", "kms:Decrypt"]
    assert {need.via for need in kms} == {"s3.eu-west-1.amazonaws.com"}


TABLE = f"arn:aws:dynamodb:{PLACE}:table/registry"


def leading(made: Call) -> list[tuple[str, tuple[str, ...]]]:
    found = needs(made, Known())
    assert all(need.resources == (TABLE,) for need in found)
    return [(need.action.partition(":")[2], need.context.get("dynamodb:leadingkeys", ())) for need in found]


def test_leading_keys_are_read_from_items_keys_batches_and_queries():
    item = {"sk": {"S": "x"}, "pk": {"S": "peer#red"}}
    assert leading(in_json("dynamodb", "PutItem", TableName="registry", Item=item)) == [("PutItem", ("peer#red",))]
    assert leading(in_json("dynamodb", "GetItem", TableName=TABLE, Key=item)) == [("GetItem", ("peer#red",))]
    batch = {"registry": {"Keys": [item, {**item, "pk": {"S": "meta"}}]}}
    assert leading(in_json("dynamodb", "BatchGetItem", RequestItems=batch)) == [("BatchGetItem", ("peer#red", "meta"))]
    writes = {"registry": [{"PutRequest": {"Item": item}}, {"DeleteRequest": {"Key": {**item, "pk": {"S": "meta"}}}}]}
    made = in_json("dynamodb", "BatchWriteItem", RequestItems=writes)
    assert leading(made) == [("BatchWriteItem", ("peer#red", "meta"))]
    for expression, names in (("pk = :p AND begins_with(sk, :s)", {}), ("sk > :s and #k=:p", {"#k": "pk"})):
        made = in_json(
            "dynamodb",
            "Query",
            TableName="registry",
            KeyConditionExpression=expression,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={":p": {"S": "peer#red"}, ":s": {"S": "x"}},
        )
        assert leading(made) == [("Query", ("peer#red",))]


def test_a_scan_has_no_leading_key():
    assert leading(in_json("dynamodb", "Scan", TableName="registry")) == [("Scan", ())]


def test_a_transaction_is_authorised_as_what_is_in_it():
    kinds = {"Put": "Item", "Update": "Key", "Delete": "Key", "ConditionCheck": "Key"}
    items = [{kind: {"TableName": "registry", of: {"pk": {"S": kind}}}} for kind, of in kinds.items()]
    made = in_json("dynamodb", "TransactWriteItems", TransactItems=items)
    assert leading(made) == [
        ("PutItem", ("Put",)),
        ("UpdateItem", ("Update",)),
        ("DeleteItem", ("Delete",)),
        ("ConditionCheckItem", ("ConditionCheck",)),
    ]


def test_what_would_pass_by_the_leading_keys_is_no_part_of_the_lab():
    for action in ("ExecuteStatement", "ExecuteTransaction", "BatchExecuteStatement"):
        with pytest.raises(UnknownNeedError):
            needs(in_json("dynamodb", action, Statement="SELECT * FROM registry"), Known())


def test_ec2_needs_its_action_on_every_resource_that_it_names():
    assert asked(in_form("ec2", "DescribeInstances")) == [("ec2:DescribeInstances", ("*",))]
    made = in_form(
        "ec2", "AssociateAddress", AllocationId="eipalloc-0123456789abcdef0", NetworkInterfaceId="eni-01234567"
    )
    assert asked(made) == [
        ("ec2:AssociateAddress", (f"arn:aws:ec2:{PLACE}:elastic-ip/eipalloc-0123456789abcdef0",)),
        ("ec2:AssociateAddress", (f"arn:aws:ec2:{PLACE}:network-interface/eni-01234567",)),
    ]
    made = in_form("ec2", "GetManagedPrefixListEntries", PrefixListId="pl-01234567")
    assert asked(made)[0][1] == ("arn:aws:ec2:eu-west-1:aws:prefix-list/pl-01234567",)
    made = in_form("ec2", "CreateSubnet", VpcId="vpc-01234567", CidrBlock="10.0.0.0/24")
    assert [resource for _, (resource,) in asked(made)] == [
        f"arn:aws:ec2:{PLACE}:vpc/vpc-01234567",
        f"arn:aws:ec2:{PLACE}:subnet/*",
    ]


def test_tags_of_what_is_named_and_of_what_is_asked_come_into_the_conditions():
    known = Known(tags={"i-0123456789abcdef0": {"twinlock:environment": "lab"}})
    made = in_form("ec2", "TerminateInstances", InstanceId__1="i-0123456789abcdef0")
    (need,) = needs(made, known)
    assert need.context["ec2:resourcetag/twinlock:environment"] == ("lab",)
    tags = {"TagSpecification__1__ResourceType": "vpc", "TagSpecification__1__Tag__1__Key": "a"}
    need, tagging = needs(in_form("ec2", "CreateVpc", TagSpecification__1__Tag__1__Value="b", **tags), known)
    assert tagging.action == "ec2:CreateTags" and tagging.context["ec2:createaction"] == ("CreateVpc",)
    assert (need.context["aws:requesttag/a"], need.context["aws:tagkeys"]) == (("b",), ("a",))


def test_auto_scaling_needs_its_action_on_the_instances_own_group():
    made = in_form("autoscaling", "SetInstanceHealth", InstanceId="i-0123456789abcdef0", HealthStatus="Unhealthy")
    (need,) = needs(made, Known())
    assert (need.action, need.resources) == ("autoscaling:SetInstanceHealth", (GROUP,))
    assert need.context["aws:resourcetag/twinlock:environment"] == ("lab",)
    (need,) = needs(in_form("autoscaling", "StartInstanceRefresh", AutoScalingGroupName="other"), Known())
    assert need.resources[0].endswith("autoScalingGroupName/other")
    assert need.context == {}


def test_handing_a_role_to_instances_takes_the_right_to_pass_it():
    role = Principal(kind="role", name="gateway", arn="arn:aws:iam::123456789012:role/twinlock/gateway", id="AROA")
    made = in_form("iam", "AddRoleToInstanceProfile", InstanceProfileName="gateway", RoleName="gateway")
    assert asked(made, Known(Identities(principals=(role,)))) == [
        ("iam:AddRoleToInstanceProfile", ("arn:aws:iam::123456789012:instance-profile/gateway",)),
        ("iam:PassRole", (role.arn,)),
    ]


def test_a_secret_under_a_key_of_ones_own_needs_the_key_through_secrets_manager():
    secret = Secret(name="twinlock/lab/service", arn=SECRET, policy=None, kms_key=KEY.rpartition("/")[2], tags={})
    known = Known(Identities(secrets=(secret,), kms_policies={KEY: "{}"}))
    made = in_json("secretsmanager", "GetSecretValue", SecretId="twinlock/lab/service", VersionStage="own-1")
    read, decrypt = needs(made, known)
    assert (read.action, read.resources) == ("secretsmanager:GetSecretValue", (SECRET,))
    assert read.context["secretsmanager:versionstage"] == ("own-1",)
    assert (decrypt.action, decrypt.resources) == ("kms:Decrypt", (KEY,))
    assert decrypt.via == "secretsmanager.eu-west-1.amazonaws.com"
    assert decrypt.context["kms:encryptioncontext:secretarn"] == (SECRET,)
    made = in_json("secretsmanager", "PutSecretValue", SecretId=SECRET, SecretString="x", VersionStages=["own-1"])
    assert [need.action for need in needs(made, known)] == [
        "secretsmanager:PutSecretValue",
        "kms:GenerateDataKey",
        "kms:Decrypt",
    ]


def test_the_remaining_services_name_their_resources():
    made = in_json("ssm", "GetParameter", Name="/twinlock/lab/discovery")
    assert asked(made) == [("ssm:GetParameter", (f"arn:aws:ssm:{PLACE}:parameter/twinlock/lab/discovery",))]
    public = in_json("ssm", "GetParameter", Name="/aws/service/debian/release/13/latest/arm64")
    assert asked(public)[0][1] == ("arn:aws:ssm:eu-west-1::parameter/aws/service/debian/release/13/latest/arm64",)
    group = f"arn:aws:logs:{PLACE}:log-group:/twinlock/lab"
    made = in_json("logs", "PutLogEvents", logGroupName="/twinlock/lab", logStreamName="i-1")
    assert asked(made) == [("logs:PutLogEvents", (f"{group}:log-stream:i-1",))]
    made = in_json("logs", "CreateLogStream", logGroupName="/twinlock/lab", logStreamName="i-1")
    assert asked(made) == [("logs:CreateLogStream", (f"{group}:*",))]
    made = in_json("kms", "Decrypt", CiphertextBlob="", KeyId="alias/lab", EncryptionContext={"tenant": "red"})
    (need,) = needs(made, Known(Identities(kms_policies={KEY: "{}"}, kms_aliases={"alias/lab": KEY})))
    assert (need.resources, need.context["kms:encryptioncontext:tenant"]) == ((KEY,), ("red",))
    (need,) = needs(in_form("cloudwatch", "PutMetricData", Namespace="Twinlock"), Known())
    assert need.context == {"cloudwatch:namespace": ("Twinlock",)}
    assert needs(in_form("sts", "GetCallerIdentity"), Known()) == ()


def test_a_template_is_made_without_rights_on_what_it_names():
    named = {"LaunchTemplateData__ImageId": "ami-0123456789abcdef0", "LaunchTemplateName": "x"}
    found = needs(in_form("ec2", "CreateLaunchTemplate", **named), Known())
    assert [each.resources[0].split(":")[-1] for each in found] == ["launch-template/*"]


def test_an_association_stands_for_the_address_that_it_is_of():
    known = Known(tags={"eipalloc-0123456789abcdef0": {"twinlock:environment": "lab"}})
    (need,) = needs(in_form("ec2", "DisassociateAddress", AssociationId="eipassoc-0123456789abcdef0"), known)
    assert need.resources[0].endswith(":elastic-ip/eipalloc-0123456789abcdef0")
    assert need.context["aws:resourcetag/twinlock:environment"] == ("lab",)
