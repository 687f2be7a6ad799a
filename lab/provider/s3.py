"""Buckets, what is set on them, and single objects."""

from __future__ import annotations

import base64
import ipaddress
import mimetypes
import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import listed, mapped
from .errors import ApiError
from .json_path import at, fields, flag, given, rows, text
from .patience import found
from .policy_document import policy_rule
from .resource import Change, Problem, ResourceType, words
from .values import Asset, Json

_UNSET = frozenset(
    {"NoSuchTagSet", "ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration"}
    | {"NoSuchBucketPolicy", "NoSuchBucket", "404"}
)


def _get(api: Api, operation: str, bucket: str) -> Json | None:
    """A setting of a bucket, None where it is not set."""
    try:
        return api.call("s3", operation, Bucket=bucket)
    except ApiError as refused:
        if refused.code in _UNSET:
            return None
        raise


def _create(api: Api, inputs: Json) -> str:
    """us-east-1 is the one region that must not be named as a location."""
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": api.region}}
    api.call("s3", "create_bucket", Bucket=inputs["bucket"], **(elsewhere if api.region != "us-east-1" else {}))
    return str(inputs["bucket"])


def _tag(api: Api, identifier: str, inputs: Json) -> None:
    if tags := listed(inputs.get("tags")):
        api.call("s3", "put_bucket_tagging", Bucket=identifier, Tagging={"TagSet": tags})


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    if found(lambda: api.call("s3", "head_bucket", Bucket=identifier)) is None:
        return None
    return {
        "arn": f"arn:{api.partition}:s3:::{identifier}",
        "bucket": identifier,
        "bucketPrefix": "",
        "bucketDomainName": f"{identifier}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{identifier}.s3.{api.region}.amazonaws.com",
        "bucketRegion": api.region,
        "bucketNamespace": "global",
        "requestPayer": "BucketOwner",
        "tags": mapped((_get(api, "get_bucket_tagging", identifier) or {}).get("TagSet")),
    }


def _update(api: Api, change: Change) -> None:
    if "tags" in change.names:
        if change.new.get("tags"):
            _tag(api, change.id, change.new)
        else:
            api.call("s3", "delete_bucket_tagging", Bucket=change.id)


def _delete(api: Api, identifier: str, state: Json) -> None:
    if flag(state, "forceDestroy"):
        _empty(api, identifier)
    api.call("s3", "delete_bucket", Bucket=identifier)


def _empty(api: Api, bucket: str) -> None:
    """Every version and marker, a page of a thousand at a time."""
    while True:
        page = api.call("s3", "list_object_versions", Bucket=bucket, MaxKeys=1000)
        entries = [*rows(page, "Versions"), *rows(page, "DeleteMarkers")]
        if not entries:
            return
        objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]
        refused = rows(
            api.call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True}), "Errors"
        )
        if refused:
            raise ApiError(text(refused, 0, "Code"), f"{text(refused, 0, 'Key')}: {text(refused, 0, 'Message')}")


def _name(inputs: Json) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""
    name = inputs.get("bucket")
    if not isinstance(name, str):
        return
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) or ".." in name or _is_address(name):
        yield Problem(
            "bucket", f"3 to 63 of a-z, 0-9, dots and hyphens, no address, begins and ends with a-z, 0-9: {name}"
        )
    starts, ends = ("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
    if name.startswith(starts) or name.endswith(ends):
        yield Problem("bucket", f"begins or ends with what S3 keeps for itself: {name}")


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


BUCKET = ResourceType(
    token="aws:s3/bucket:Bucket",  # noqa: S106
    create=_create,
    finish=_tag,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("bucket"),
    in_place=words("forceDestroy tags"),
    named="bucket",
    longest_name=63,
    defaults={"forceDestroy": False},
    rules=(_name,),
)


def _set_versioning(api: Api, inputs: Json) -> str:
    status = {"Status": text(inputs, "versioningConfiguration", "status")}
    if status["Status"] != "Disabled":
        api.call("s3", "put_bucket_versioning", Bucket=inputs["bucket"], VersioningConfiguration=status)
    return text(inputs, "bucket")


def _read_versioning(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = found(lambda: api.call("s3", "get_bucket_versioning", Bucket=identifier))
    if answer is None:
        return None
    return {
        "bucket": identifier,
        "versioningConfiguration": {"status": text(answer, "Status") or "Disabled", "mfaDelete": ""},
    }


def _update_versioning(api: Api, change: Change) -> None:
    _set_versioning(api, change.new)


def _suspend(api: Api, identifier: str, state: Json) -> None:
    """A bucket can't go back to unversioned: the real provider suspends."""
    if text(state, "versioningConfiguration", "status") == "Enabled":
        suspended = {"Status": "Suspended"}
        api.call("s3", "put_bucket_versioning", Bucket=identifier, VersioningConfiguration=suspended)


def _status(inputs: Json) -> Iterator[Problem]:
    """PutBucketVersioning, and the provider's Disabled for a bucket that never was versioned."""
    status = fields(inputs, "versioningConfiguration").get("status")
    if isinstance(status, str) and status not in ("Enabled", "Suspended", "Disabled"):
        yield Problem("versioningConfiguration.status", f"must be Enabled, Suspended or Disabled, got {status}")


VERSIONING = ResourceType(
    token="aws:s3/bucketVersioning:BucketVersioning",  # noqa: S106
    create=_set_versioning,
    read=_read_versioning,
    update=_update_versioning,
    delete=_suspend,
    forces_new=words("bucket"),
    in_place=words("versioningConfiguration.status"),
    rules=(_status,),
)


def _set_encryption(api: Api, inputs: Json) -> str:
    entries: list[Json] = []
    for rule in rows(inputs, "rules"):
        default = fields(rule, "applyServerSideEncryptionByDefault")
        applied = given(SSEAlgorithm=default.get("sseAlgorithm"), KMSMasterKeyID=default.get("kmsMasterKeyId"))
        entries.append(
            given(ApplyServerSideEncryptionByDefault=applied or None, BucketKeyEnabled=rule.get("bucketKeyEnabled"))
        )
    wanted = {"Rules": entries}
    api.call("s3", "put_bucket_encryption", Bucket=inputs["bucket"], ServerSideEncryptionConfiguration=wanted)
    return text(inputs, "bucket")


def _read_encryption(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = _get(api, "get_bucket_encryption", identifier)
    if answer is None:
        return None
    shown: list[Json] = []
    for rule in rows(answer, "ServerSideEncryptionConfiguration", "Rules"):
        default = fields(rule, "ApplyServerSideEncryptionByDefault")
        applied = given(sseAlgorithm=text(default, "SSEAlgorithm"), kmsMasterKeyId=default.get("KMSMasterKeyID"))
        shown.append(
            {"applyServerSideEncryptionByDefault": applied, "bucketKeyEnabled": flag(rule, "BucketKeyEnabled")}
        )
    return {"bucket": identifier, "rules": shown}


def _update_encryption(api: Api, change: Change) -> None:
    _set_encryption(api, change.new)


def _delete_encryption(api: Api, identifier: str, _state: Json) -> None:
    api.call("s3", "delete_bucket_encryption", Bucket=identifier)


def _algorithms(inputs: Json) -> Iterator[Problem]:
    """PutBucketEncryption: one rule; a key goes with aws:kms and aws:kms:dsse alone."""
    entries = rows(inputs, "rules")
    if len(entries) > 1:
        yield Problem("rules", f"a bucket has one rule, got {len(entries)}")
    for position, rule in enumerate(entries):
        default = fields(rule, "applyServerSideEncryptionByDefault")
        path, algorithm = f"rules[{position}].applyServerSideEncryptionByDefault", default.get("sseAlgorithm")
        if algorithm == "AES256" and default.get("kmsMasterKeyId") is not None:
            yield Problem(f"{path}.kmsMasterKeyId", "does not go with AES256")


ENCRYPTION = ResourceType(
    token="aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",  # noqa: S106
    create=_set_encryption,
    read=_read_encryption,
    update=_update_encryption,
    delete=_delete_encryption,
    forces_new=words("bucket"),
    in_place=words(
        "rules.applyServerSideEncryptionByDefault.sseAlgorithm rules.applyServerSideEncryptionByDefault.kmsMasterKeyId "
        "rules.bucketKeyEnabled"
    ),
    rules=(_algorithms,),
)

_BLOCKS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _set_block(api: Api, inputs: Json) -> str:
    block = {key: inputs.get(name, False) for name, key in _BLOCKS.items()}
    api.call("s3", "put_public_access_block", Bucket=inputs["bucket"], PublicAccessBlockConfiguration=block)
    return text(inputs, "bucket")


def _read_block(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = _get(api, "get_public_access_block", identifier)
    if answer is None:
        return None
    block = fields(answer, "PublicAccessBlockConfiguration")
    return {"bucket": identifier, **{name: flag(block, key) for name, key in _BLOCKS.items()}}


def _update_block(api: Api, change: Change) -> None:
    _set_block(api, change.new)


def _delete_block(api: Api, identifier: str, _state: Json) -> None:
    api.call("s3", "delete_public_access_block", Bucket=identifier)


PUBLIC_ACCESS_BLOCK = ResourceType(
    token="aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",  # noqa: S106
    create=_set_block,
    read=_read_block,
    update=_update_block,
    delete=_delete_block,
    forces_new=words("bucket"),
    in_place=frozenset(_BLOCKS),
)


def _set_policy(api: Api, inputs: Json) -> str:
    api.call("s3", "put_bucket_policy", Bucket=inputs["bucket"], Policy=inputs["policy"])
    return text(inputs, "bucket")


def _read_policy(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = _get(api, "get_bucket_policy", identifier)
    return {"bucket": identifier, "policy": text(answer, "Policy")} if answer else None


def _update_policy(api: Api, change: Change) -> None:
    _set_policy(api, change.new)


def _delete_policy(api: Api, identifier: str, _state: Json) -> None:
    api.call("s3", "delete_bucket_policy", Bucket=identifier)


POLICY = ResourceType(
    token="aws:s3/bucketPolicy:BucketPolicy",  # noqa: S106
    create=_set_policy,
    read=_read_policy,
    update=_update_policy,
    delete=_delete_policy,
    forces_new=words("bucket"),
    in_place=words("policy"),
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html: 20 KB
    rules=(policy_rule("policy", longest=20480),),
)


def _put(api: Api, inputs: Json) -> str:
    tags = "&".join(f"{tag['Key']}={tag['Value']}" for tag in listed(inputs.get("tags")))
    kind = inputs.get("contentType") or mimetypes.guess_type(text(inputs, "key"))[0] or "application/octet-stream"
    api.call(
        "s3",
        "put_object",
        Bucket=inputs["bucket"],
        Key=inputs["key"],
        Body=_body(inputs),
        ContentType=kind,
        **({"Tagging": tags} if tags else {}),
    )
    return text(inputs, "key")


def _body(inputs: Json) -> bytes:
    source = inputs.get("source")
    if isinstance(source, Asset):
        return source.content()
    if "contentBase64" in inputs:
        return base64.b64decode(text(inputs, "contentBase64"))
    return text(inputs, "content").encode()


def _read_object(api: Api, identifier: str, inputs: Json) -> Json | None:
    place = {"Bucket": inputs["bucket"], "Key": identifier}
    head = found(lambda: api.call("s3", "head_object", **place))
    if head is None:
        return None
    return {
        "arn": f"arn:{api.partition}:s3:::{inputs['bucket']}/{identifier}",
        "bucket": inputs["bucket"],
        "key": identifier,
        "contentType": text(head, "ContentType"),
        "etag": text(head, "ETag").strip('"'),
        "versionId": text(head, "VersionId"),
        "bucketKeyEnabled": flag(head, "BucketKeyEnabled"),
        "serverSideEncryption": text(head, "ServerSideEncryption"),
        "kmsKeyId": text(head, "SSEKMSKeyId"),
        "storageClass": text(head, "StorageClass") or "STANDARD",
        "acl": "private",
        "forceDestroy": False,
        **{name: at(head, name[0].upper() + name[1:]) or "" for name in _CHECKSUMS},
        "tags": mapped(api.call("s3", "get_object_tagging", **place).get("TagSet")),
    }


_CHECKSUMS = ("checksumCrc32", "checksumCrc32c", "checksumCrc64nvme", "checksumSha1", "checksumSha256")


def _update_object(api: Api, change: Change) -> None:
    if change.names - {"tags"}:
        _put(api, change.new)
    elif "tags" in change.names:
        place = {"Bucket": change.new["bucket"], "Key": change.id}
        api.call("s3", "put_object_tagging", **place, Tagging={"TagSet": listed(change.new.get("tags"))})


def _delete_object(api: Api, identifier: str, state: Json) -> None:
    """All its versions, as the real provider."""
    bucket = state["bucket"]
    page = found(lambda: api.call("s3", "list_object_versions", Bucket=bucket, Prefix=identifier)) or {}
    for entry in [*rows(page, "Versions"), *rows(page, "DeleteMarkers")]:
        if entry["Key"] == identifier:
            api.call("s3", "delete_object", Bucket=bucket, Key=identifier, VersionId=entry["VersionId"])


def _one_source(inputs: Json) -> Iterator[Problem]:
    """The real provider: one of source, content, contentBase64. PutObject: keys of 1 to 1024 bytes, up to 10 tags."""
    sources = [name for name in ("source", "content", "contentBase64") if inputs.get(name) is not None]
    if len(sources) > 1:
        yield Problem("source", f"one of source, content and contentBase64, got {' and '.join(sources)}")
    key = inputs.get("key")
    if isinstance(key, str) and not 1 <= len(key.encode()) <= 1024:
        yield Problem("key", f"1 to 1024 bytes, got {len(key.encode())}")
    if len(fields(inputs, "tags")) > 10:
        yield Problem("tags", f"an object has at most 10 tags, got {len(fields(inputs, 'tags'))}")


OBJECT = ResourceType(
    token="aws:s3/bucketObjectv2:BucketObjectv2",  # noqa: S106
    create=_put,
    read=_read_object,
    update=_update_object,
    delete=_delete_object,
    forces_new=words("bucket key"),
    in_place=words("source content contentBase64 contentType tags"),
    named="key",
    rules=(_one_source,),
    restated=frozenset({"etag", "versionId", *_CHECKSUMS}),
)

TYPES = (BUCKET, VERSIONING, ENCRYPTION, PUBLIC_ACCESS_BLOCK, POLICY, OBJECT)
