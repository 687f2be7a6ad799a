"""A stack that breaks every rule of the policy pack once, in the ways that a preview knows."""

import base64
import json

from pulumi import ResourceOptions
from pulumi_aws.autoscaling.group import Group
from pulumi_aws.dynamodb.table import Table
from pulumi_aws.ec2.eip import Eip
from pulumi_aws.ec2.launch_template import LaunchTemplate
from pulumi_aws.ec2.security_group import SecurityGroup
from pulumi_aws.iam.role import Role
from pulumi_aws.iam.role_policy import RolePolicy
from pulumi_aws.kms.key import Key
from pulumi_aws.s3.bucket import Bucket
from pulumi_aws.s3.bucket_policy import BucketPolicy
from pulumi_aws.s3.bucket_public_access_block import BucketPublicAccessBlock
from pulumi_aws.s3.bucket_server_side_encryption_configuration import BucketServerSideEncryptionConfiguration
from pulumi_aws.s3.bucket_versioning import BucketVersioning
from pulumi_aws.secretsmanager.secret import Secret
from pulumi_aws.vpc.security_group_ingress_rule import SecurityGroupIngressRule

LEAK = "AKIA" + "IOSFODNN7EXAMPLE"


def document(effect: str, action: str, resource: str, **more: object) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


group = SecurityGroup("group", name="group", description="open")
SecurityGroupIngressRule(
    "ssh", security_group_id=group.id, ip_protocol="tcp", from_port=22, to_port=22, cidr_ipv4="0.0.0.0/0"
)
Eip("address", domain="vpc")
template = LaunchTemplate(
    "template",
    name="template",
    image_id="ami-0d13a640000000001",
    instance_type="t4g.small",
    metadata_options={"http_tokens": "optional", "http_endpoint": "enabled", "http_put_response_hop_limit": 2},
    block_device_mappings=[{"device_name": "/dev/xvda", "ebs": {"encrypted": "false", "volume_size": 8}}],
    user_data=base64.b64encode(f"#!/bin/sh\nexport KEY={LEAK}\n".encode()).decode(),
)
Group(
    "machines",
    name="machines",
    availability_zones=["eu-west-1a"],
    min_size=1,
    max_size=1,
    desired_capacity=1,
    launch_template={"id": template.id, "version": "1"},
)
Bucket("bare", bucket="twinlock-broken-bare", opts=ResourceOptions(protect=False))
bucket = Bucket("bucket", bucket="twinlock-broken", force_destroy=True)
BucketPublicAccessBlock("open", bucket=bucket.id, block_public_acls=False)
BucketVersioning("versions", bucket=bucket.id, versioning_configuration={"status": "Suspended"})
BucketServerSideEncryptionConfiguration(
    "encryption", bucket=bucket.id, rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}]
)
BucketPolicy(
    "given-away", bucket="elsewhere", policy=document("Allow", "s3:GetObject", "arn:aws:s3:::b/*", Principal="*")
)
away = {"StringNotEquals": {"aws:SourceIp": "203.0.113.1"}}
BucketPolicy(
    "policy",
    bucket=bucket.id,
    policy=document("Deny", "s3:*", "arn:aws:s3:::twinlock-broken/*", Principal="*", Condition=away),
)
role = Role(
    "role",
    name="role",
    assume_role_policy=document("Allow", "sts:AssumeRole", "*", Principal={"AWS": "*"}),
    managed_policy_arns=["arn:aws:iam::aws:policy/AdministratorAccess"],
)
RolePolicy("anything", name="anything", role=role.name, policy=document("Allow", "*", "*"))
Table("table", name="table", billing_mode="PAY_PER_REQUEST", hash_key="a", attributes=[{"name": "a", "type": "S"}])
Key("key", description="never rotated")
Secret("secret", name="secret", recovery_window_in_days=0)
