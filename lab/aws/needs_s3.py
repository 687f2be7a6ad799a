"""S3: operations to actions, buckets and objects to ARNs."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

from lab.aws.call import Call
from lab.aws.names import ACCOUNT
from lab.aws.needs import Need, Resources, key_arn

_OBJECTS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObject": "DeleteObject",
    "DeleteObjectTagging": "DeleteObjectTagging",
    "GetObject": "GetObject",
    "GetObjectAcl": "GetObjectAcl",
    "GetObjectAttributes": "GetObject",
    "GetObjectTagging": "GetObjectTagging",
    "HeadObject": "GetObject",
    "ListParts": "ListMultipartUploadParts",
    "PutObject": "PutObject",
    "PutObjectAcl": "PutObjectAcl",
    "PutObjectTagging": "PutObjectTagging",
    "UploadPart": "PutObject",
}
_VERSIONED = frozenset({"GetObject", "HeadObject", "DeleteObject", "GetObjectTagging", "GetObjectAcl"})
# Where the action's name is not the operation's.
_BUCKETS = {
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
_HEADERS = ("x-amz-acl", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")
_WRITES = frozenset({"PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"})


def needs(call: Call, resources: Resources) -> tuple[Need, ...]:
    if call.action == "ListBuckets":
        return (Need(action="s3:ListAllMyBuckets"),)
    bucket, _, key = unquote(call.path.lstrip("/")).partition("/")
    context = _context(call)
    if call.action in ("CopyObject", "UploadPartCopy"):
        return _copy(call, bucket, key, context, resources)
    if call.action == "DeleteObjects":
        names = re.findall(rb"<Key>(.*?)</Key>", call.body, re.DOTALL)
        arns = tuple(f"arn:aws:s3:::{bucket}/{html.unescape(name.decode())}" for name in names)
        return (Need(action="s3:DeleteObject", resources=arns, context=context),)
    if not key:
        action = _BUCKETS.get(call.action, call.action)
        return (Need(action=f"s3:{action}", resources=(f"arn:aws:s3:::{bucket}",), context=context),)
    action = _OBJECTS.get(call.action, call.action)
    if call.action in _VERSIONED and "s3:versionid" in context:
        action = action.replace("Object", "ObjectVersion")
    need = Need(action=f"s3:{action}", resources=(f"arn:aws:s3:::{bucket}/{key}",), context=context)
    return (need, *_encryption(call, bucket, resources))


def _copy(
    call: Call, bucket: str, key: str, context: Mapping[str, tuple[str, ...]], resources: Resources
) -> tuple[Need, ...]:
    source = unquote(call.headers.get("x-amz-copy-source", "")).lstrip("/").partition("?")[0]
    return (
        Need(action="s3:GetObject", resources=(f"arn:aws:s3:::{source}",), context=context),
        Need(action="s3:PutObject", resources=(f"arn:aws:s3:::{bucket}/{key}",), context=context),
        *_encryption(call, bucket, resources),
    )


def _context(call: Call) -> dict[str, tuple[str, ...]]:
    asked = parse_qs(call.query, keep_blank_values=True)
    made = {"s3:resourceaccount": (ACCOUNT,), "aws:resourceaccount": (ACCOUNT,)}
    for name in ("prefix", "delimiter", "max-keys"):
        if name in asked:
            made[f"s3:{name}"] = (asked[name][0],)
    if "versionId" in asked:
        made["s3:versionid"] = (asked["versionId"][0],)
    return made | {f"s3:{name}": (call.headers[name],) for name in _HEADERS if name in call.headers}


def _encryption(call: Call, bucket: str, resources: Resources) -> tuple[Need, ...]:
    """S3 asks KMS in the caller's name: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html"""
    named = call.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    chosen = call.headers.get("x-amz-server-side-encryption")
    if chosen == "AES256":
        return ()
    key = named or resources.bucket_key(bucket)
    if key is None:
        return ()
    arn = key_arn(resources.identities(), key)
    via = f"s3.{call.region}.amazonaws.com"
    multipart = call.action in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
    actions = (["kms:GenerateDataKey"] if call.action in _WRITES else []) + (
        ["kms:Decrypt"] if multipart or call.action in ("GetObject", "HeadObject") else []
    )
    return tuple(Need(action=action, resources=(arn,), via=via) for action in actions)
