"""Resources as the engine describes them, right and wrong by one rule."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable

from policies.resource import UNKNOWN, Resource

COMPONENTS = "twinlock:aws:Environment$twinlock:aws:"


def made(kind: str, name: str = "one", *, protected: bool = False, component: str = "", **inputs: object) -> Resource:
    """`component`: the Twinlock component around it, such as Storage; none is somebody else's stack."""
    above = f"{COMPONENTS}{component}$" if component else ""
    return Resource(
        type=kind, name=name, urn=f"urn:pulumi:s::p::{above}{kind}::{name}", inputs=inputs, protected=protected  # type: ignore[arg-type]
    )  # fmt: skip


def ingress(protocol: str = "udp", first: int = 51820, last: int = 51820, **more: object) -> Resource:
    source = {"cidrIpv4": "203.0.113.0/24"} | more
    return made(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        ipProtocol=protocol, fromPort=first, toPort=last, **source,
    )  # fmt: skip


def template(**inputs: object) -> Resource:
    metadata = {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1.0}
    disks = [{"deviceName": "/dev/xvda", "ebs": {"encrypted": "true"}}]
    whole = {"metadataOptions": metadata, "blockDeviceMappings": disks, "tags": {"owner": "x"}} | inputs
    return made("aws:ec2/launchTemplate:LaunchTemplate", **whole)


def statement(effect: str, action: object, condition: object = None, resource: object = "arn:aws:s3:::b/*") -> dict:
    return {"Effect": effect, "Principal": "*", "Action": action, "Resource": resource, "Condition": condition or {}}


TLS = statement("Deny", "s3:*", {"Bool": {"aws:SecureTransport": "false"}})
ENDPOINT = statement(
    "Deny",
    ["s3:GetObject*", "s3:PutObject*", "s3:DeleteObject*", "s3:ListBucket"],
    {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
)


def bucket_policy(*found: dict) -> Resource:
    return made("aws:s3/bucketPolicy:BucketPolicy", bucket="b", policy=document(*found))


def document(*found: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(found)})


def role_policy(action: object, resource: object) -> Resource:
    return made("aws:iam/rolePolicy:RolePolicy", policy=document(statement("Allow", action, resource=resource)))


def user_data(text: str) -> Resource:
    return template(userData=base64.b64encode(text.encode()).decode())


def packed(text: str, encode: Callable[[bytes], bytes] = base64.b64encode) -> str:
    return encode(gzip.compress(text.encode())).decode()


def without(one: dict, key: str) -> dict:
    return {name: value for name, value in one.items() if name != key}


def table(*, protected: bool = True, **inputs: object) -> Resource:
    whole = {
        "pointInTimeRecovery": {"enabled": True},
        "deletionProtectionEnabled": True,
        "serverSideEncryption": {"enabled": True},
        "tags": {"owner": "x"},
    }
    return made("aws:dynamodb/table:Table", protected=protected, **(whole | inputs))


def group(name: str, zone: str) -> Resource:
    return made("aws:autoscaling/group:Group", name, availabilityZones=[zone], tags=[{"key": "owner", "value": "x"}])


def block(**inputs: object) -> Resource:
    names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    return made(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", bucket="b", **(dict.fromkeys(names, True) | inputs)
    )


def encryption(algorithm: str) -> Resource:
    rule = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": algorithm}}
    return made(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        bucket="b",
        rules=[rule],
    )


def versions(status: str) -> Resource:
    return made("aws:s3/bucketVersioning:BucketVersioning", bucket="b", versioningConfiguration={"status": status})


BUCKET = made("aws:s3/bucket:Bucket", "b", bucket="b", protected=True, tags={"owner": "x"})
KEY = "aws:kms/key:Key"
ROLE = "aws:iam/role:Role"
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole"}
SECRET = "aws:secretsmanager/secret:Secret"
KEY_OF_A_TUNNEL = base64.b64encode(bytes(range(32))).decode()
# Put together here, so that no scanner of sources takes them for real.
ACCESS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
RANDOM = "kR9vQ2mXz7LpT4wNs8BcY1hJf6Gd"

ARN = "arn:aws:s3:::b/*"
# So much that its base64 has several lines.
PROSE = " ".join(f"word-{random.Random(n).randrange(10**6)}" for n in range(200))
INLINE_RULE = {"protocol": "tcp", "fromPort": 80.0, "toPort": 80.0, "cidrBlocks": ["0.0.0.0/0"]}
OTHER_BUCKET = made("aws:s3/bucket:Bucket", "c", bucket="c", serverSideEncryptionConfiguration={"rule": {}})

# rule -> what it lets pass, what it must find
GOOD: dict[str, list[Resource]] = {
    "no-ingress-from-world": [ingress(), ingress(cidrIpv4=UNKNOWN), ingress(cidrIpv4="10.0.0.0/8")],
    "no-administration-from-world": [
        ingress(cidrIpv4="0.0.0.0/0"),
        ingress("tcp", 22, 22),
        made("aws:ec2/securityGroupRule:SecurityGroupRule", type="egress", protocol="-1", cidrBlocks=["0.0.0.0/0"]),
    ],
    "no-public-address": [made("aws:ec2/subnet:Subnet", mapPublicIpOnLaunch=False)],
    "metadata-tokens": [
        template(),
        template(metadataOptions=UNKNOWN),
        template(metadataOptions={"httpEndpoint": "disabled"}),
    ],
    "encrypted-disks": [template(), template(blockDeviceMappings=UNKNOWN)],
    "no-public-bucket": [block()],
    "encrypted-bucket": [encryption("aws:kms")],
    "encrypted-table": [table()],
    "bucket-versions": [versions("Enabled")],
    "bucket-tls-only": [bucket_policy(TLS), made("aws:s3/bucketPolicy:BucketPolicy", policy=UNKNOWN)],
    "bucket-endpoint-only": [
        bucket_policy(TLS, ENDPOINT),
        bucket_policy(TLS, {**without(ENDPOINT, "Action"), "NotAction": ["s3:PutBucketPolicy", "s3:GetBucketPolicy"]}),
    ],
    "bucket-no-lock-out": [bucket_policy(TLS, ENDPOINT)],
    "no-wildcards": [
        role_policy("s3:GetObject", "arn:aws:s3:::b/*"),
        role_policy("cloudwatch:PutMetricData", "*"),
        made("aws:iam/rolePolicy:RolePolicy", policy=UNKNOWN),
    ],
    "no-secrets": [
        user_data("#cloud-config\nruncmd: [apt-get install -y wireguard-tools]\n"),
        made("aws:ssm/parameter:Parameter", value="arn:aws:secretsmanager:eu-west-1:123456789012:secret:twinlock/a"),
        made("aws:ssm/parameter:Parameter", value="0a1b2c3d4e5f" * 6),
    ],
    "bucket-not-for-everyone": [
        bucket_policy(statement("Allow", "s3:GetObject", {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), TLS),
        made("aws:s3/bucketAcl:BucketAcl", bucket="b", acl="private"),
        made("aws:s3/bucketAcl:BucketAcl", bucket="b", acl=UNKNOWN),
    ],
    "no-administrators": [made(ROLE, managedPolicyArns=["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"])],
    "named-trust": [
        made(ROLE, assumeRolePolicy=document({**TRUST, "Principal": {"Service": "ec2.amazonaws.com"}})),
        made(ROLE, assumeRolePolicy=UNKNOWN),
    ],
    "tags": [table(), group("a", "eu-west-1a"), made(KEY, component="Secrets", tags={"twinlock:environment": "dev"})],
    "table-recovery": [table()],
    "deletion-protection": [table(), BUCKET],
    "secret-recovery": [made(SECRET, recoveryWindowInDays=30), made(SECRET), made(KEY, deletionWindowInDays=7)],
    "key-rotation": [made(KEY, enableKeyRotation=True)],
}
BAD: dict[str, list[Resource]] = {
    "no-ingress-from-world": [
        ingress(cidrIpv4="0.0.0.0/0"),
        ingress(cidrIpv4=None, cidrIpv6="::/0"),
        ingress(cidrIpv4="128.0.0.0/1"),
        made("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", ingress=[INLINE_RULE]),
        made("aws:ec2/securityGroup:SecurityGroup", ingress=[INLINE_RULE]),
    ],
    "no-administration-from-world": [
        ingress("tcp", 22, 22, cidrIpv4="0.0.0.0/0"),
        ingress("tcp", 20, 30, cidrIpv4="0.0.0.0/0"),
        ingress("-1", 0, 0, cidrIpv4="0.0.0.0/0"),
        made("aws:ec2/securityGroupRule:SecurityGroupRule", type="ingress", protocol="-1", cidrBlocks=["0.0.0.0/0"]),
    ],
    "no-public-address": [made("aws:ec2/eip:Eip"), made("aws:ec2/subnet:Subnet", mapPublicIpOnLaunch=True)],
    "metadata-tokens": [
        template(metadataOptions=None),
        template(metadataOptions={"httpTokens": "optional", "httpPutResponseHopLimit": 1}),
        template(metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 2}),
    ],
    "encrypted-disks": [
        template(blockDeviceMappings=[{"ebs": {"encrypted": "false"}}]),
        template(blockDeviceMappings=[{"ebs": {}}]),
        made("aws:ebs/volume:Volume", encrypted=False),
        made("aws:ec2/launchConfiguration:LaunchConfiguration", rootBlockDevice={"encrypted": False}),
    ],
    "no-public-bucket": [block(blockPublicPolicy=False), block(restrictPublicBuckets=None)],
    "encrypted-bucket": [encryption("AES256")],
    "encrypted-table": [table(serverSideEncryption=None), table(serverSideEncryption={"enabled": False})],
    "bucket-versions": [versions("Suspended")],
    "bucket-tls-only": [bucket_policy(ENDPOINT), bucket_policy({**TLS, "Effect": "Allow"})],
    "bucket-endpoint-only": [
        bucket_policy(TLS),
        bucket_policy(TLS, {**ENDPOINT, "Action": ["s3:GetObject"]}),
        bucket_policy(TLS, {**ENDPOINT, "Principal": {"AWS": "arn:aws:iam::123456789012:role/a"}}),
    ],
    "bucket-no-lock-out": [
        bucket_policy(TLS, {**ENDPOINT, "Action": "s3:*"}),
        bucket_policy(TLS, {**without(ENDPOINT, "Action"), "NotAction": "s3:GetObject"}),
        bucket_policy(TLS, {**without(ENDPOINT, "Principal"), "Action": "S3:PUT*", "NotPrincipal": {"AWS": "a"}}),
    ],
    "no-wildcards": [
        role_policy("*", "*"),
        role_policy("s3:*", "arn:aws:s3:::b"),
        role_policy(["s3:GetObject"], "*"),
        role_policy(["s3:GetObject"], "arn:aws:s3:::*"),
        role_policy(["cloudwatch:PutMetricData", "s3:GetObject"], "*"),
        made(ROLE, inlinePolicies=[{"name": "a", "policy": document(statement("Allow", "*", resource="*"))}]),
        made("aws:iam/policy:Policy", policy=document({"Effect": "Allow", "NotAction": "iam:*", "Resource": ARN})),
        made("aws:iam/policy:Policy", policy=document({"Effect": "Allow", "Action": "s3:Get", "NotResource": ARN})),
    ],
    "no-secrets": [
        user_data(f"[Interface]\nPrivateKey = {KEY_OF_A_TUNNEL}\n"),
        user_data("write_files:\n- content: " + base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----").decode()),
        made("aws:ssm/parameter:Parameter", value=ACCESS_KEY),
        made("aws:ssm/parameter:Parameter", value=GITHUB),
        made("aws:ssm/parameter:Parameter", value=RANDOM),
        made("aws:rds/instance:Instance", password="short"),
        made("aws:secretsmanager/secretVersion:SecretVersion", secretString="x"),
        made("aws:ec2/instance:Instance", userDataBase64=packed(f"a: {ACCESS_KEY}\n")),
        made("aws:ec2/instance:Instance", userDataBase64=packed(f"a: {ACCESS_KEY}\n", base64.urlsafe_b64encode)),
        made("aws:ec2/instance:Instance", userDataBase64=packed(f"{PROSE}\na: {ACCESS_KEY}\n", base64.encodebytes)),
        made("aws:rds/instance:Instance", nested=[{"password = ": "password: hunter2hunter2"}]),
    ],
    "bucket-not-for-everyone": [
        bucket_policy(statement("Allow", "s3:GetObject"), TLS),
        bucket_policy({"Effect": "Allow", "NotPrincipal": {"AWS": "arn:aws:iam::1:root"}, "Action": "s3:*"}),
        made("aws:s3/bucket:Bucket", acl="public-read"),
        made("aws:s3/bucketAcl:BucketAcl", acl="authenticated-read"),
    ],
    "no-administrators": [
        made(ROLE, managedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"]),
        made("aws:iam/userPolicyAttachment:UserPolicyAttachment", policyArn="arn:aws:iam::aws:policy/IAMFullAccess"),
    ],
    "named-trust": [made(ROLE, assumeRolePolicy=document({**TRUST, "Principal": {"AWS": "*"}}))],
    "tags": [table(tags=None), made(KEY, component="Secrets", tags={"Name": "x"}), made("aws:autoscaling/group:Group")],
    "table-recovery": [table(pointInTimeRecovery=None), table(pointInTimeRecovery={"enabled": False})],
    "deletion-protection": [
        table(deletionProtectionEnabled=False),
        table(protected=False),
        made("aws:s3/bucket:Bucket", protected=True, forceDestroy=True),
        made(KEY),
    ],
    "secret-recovery": [made(SECRET, recoveryWindowInDays=0.0)],
    "key-rotation": [made(KEY), made(KEY, enableKeyRotation=False)],
}  # fmt: skip
GOOD_STACKS: dict[str, list[Resource]] = {
    "two-zones": [group("a", "eu-west-1a"), group("b", "eu-west-1b")],
    "bucket-has-policy": [BUCKET, bucket_policy(TLS)],
    "bucket-has-public-access-block": [BUCKET, block()],
    "bucket-has-encryption": [BUCKET, encryption("aws:kms")],
    "bucket-has-versions": [BUCKET, versions("Enabled")],
}
BAD_STACKS: dict[str, list[Resource]] = {
    "two-zones": [group("a", "eu-west-1a"), group("b", "eu-west-1a")],
    "bucket-has-policy": [BUCKET, block()],
    "bucket-has-public-access-block": [BUCKET, bucket_policy(TLS)],
    "bucket-has-encryption": [BUCKET, OTHER_BUCKET],
    "bucket-has-versions": [BUCKET],
}  # fmt: skip
