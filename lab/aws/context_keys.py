"""The condition keys that the lab puts into a request's context, whenever AWS would; any other key is refused.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from collections.abc import Mapping

# Lower-case key -> its values in the request. A key that is not there is absent from the request.
Context = Mapping[str, tuple[str, ...]]


class PolicyError(Exception):
    """A policy that the lab can't judge. AWS would refuse it, or the lab must learn it."""


_KNOWN = frozenset(
    key.lower()
    for key in (
        "aws:CurrentTime",
        "aws:EpochTime",
        "aws:PrincipalAccount",
        "aws:PrincipalArn",
        "aws:PrincipalIsAWSService",
        "aws:PrincipalServiceName",
        "aws:PrincipalType",
        "aws:RequestedRegion",
        "aws:ResourceAccount",
        "aws:SecureTransport",
        "aws:SourceAccount",
        "aws:SourceArn",
        "aws:SourceIp",
        "aws:SourceVpc",
        "aws:SourceVpce",
        "aws:TagKeys",
        "aws:userid",
        "aws:username",
        "aws:ViaAWSService",
        "aws:VpcSourceIp",
        "cloudwatch:namespace",
        "dynamodb:EnclosingOperation",
        "dynamodb:LeadingKeys",
        "dynamodb:Select",
        "ec2:CreateAction",
        "ec2:IsLaunchTemplateResource",
        "ec2:LaunchTemplate",
        "iam:PassedToService",
        "iam:PermissionsBoundary",
        "kms:CallerAccount",
        "kms:EncryptionContextKeys",
        "kms:ViaService",
        "s3:delimiter",
        "s3:max-keys",
        "s3:prefix",
        "s3:ResourceAccount",
        "s3:VersionId",
        "s3:x-amz-acl",
        "s3:x-amz-server-side-encryption",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "secretsmanager:Name",
        "secretsmanager:SecretId",
        "secretsmanager:VersionId",
        "secretsmanager:VersionStage",
        "sts:ExternalId",
        "sts:RoleSessionName",
    )
)
_TAGS = tuple(
    prefix.lower()
    for prefix in (
        "aws:PrincipalTag/",
        "aws:RequestTag/",
        "aws:ResourceTag/",
        "autoscaling:ResourceTag/",
        "ec2:ResourceTag/",
        "kms:EncryptionContext:",
        "secretsmanager:ResourceTag/",
    )
)
# Keys that may have several values: AWS wants a quantifier with them.
SEVERAL = frozenset({"aws:tagkeys", "dynamodb:leadingkeys", "kms:encryptioncontextkeys"})


def known(key: str) -> bool:
    """Whether the lab would give this key (lower case) a value."""
    return key in _KNOWN or key.startswith(_TAGS)
