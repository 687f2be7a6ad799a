"""How data is kept, and from where it may be had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policies.resource import UNKNOWN, Resource, Statement, at, mapping, mappings, statements, texts, true
from policies.rule import Rule, StackRule

BUCKETS = ("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
TABLE = "aws:dynamodb/table:Table"
LISTS = ("aws:s3/bucketAcl:BucketAcl", "aws:s3/bucketAclV2:BucketAclV2", "aws:s3/bucketObject:BucketObject",
         "aws:s3/bucketObjectv2:BucketObjectv2")  # fmt: skip
BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that a bucket must have beside it: a resource of one of `types`, or one of its own properties."""

    types: tuple[str, ...]
    what: str
    inline: str | None = None


POLICY_PART = Part(types=(POLICY,), what="a policy", inline="policy")
PRIVATE_PART = Part(types=("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",), what="a public access block")
ENCRYPTION_PART = Part(
    types=(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
    ),
    what="a default encryption",
    inline="serverSideEncryptionConfiguration",
)
VERSIONS_PART = Part(
    types=("aws:s3/bucketVersioning:BucketVersioning", "aws:s3/bucketVersioningV2:BucketVersioningV2"),
    what="versions",
    inline="versioning",
)


def _with(part: Part):
    """Every bucket has `part`; found by what the part's `bucket` comes from, or by the bucket's name."""

    def check(resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
        known = list(resources)
        parts = [resource for resource in known if resource.type in part.types]
        urns = {urn for one in parts for urn in one.refers.get("bucket", ())}
        names = {name for one in parts for name in texts(one.get("bucket"))}
        for bucket in known:
            if bucket.type in BUCKETS and not (
                bucket.urn in urns
                or names & set(texts(bucket.get("bucket")))
                or (part.inline and bucket.chosen(part.inline))
            ):
                yield bucket, f"has not {part.what}"

    return check


def _private(resource: Resource) -> Iterator[str]:
    if resource.type in PRIVATE_PART.types:
        for key in BLOCKS:
            if resource.get(key) not in (True, UNKNOWN):
                yield f"does not block public access: set {key} to true"


def _sealed(resource: Resource) -> Iterator[str]:
    if resource.type in ENCRYPTION_PART.types:
        for rule in mappings(resource.get("rules")):
            algorithm = at(rule, "applyServerSideEncryptionByDefault", "sseAlgorithm")
            if algorithm not in ("aws:kms", "aws:kms:dsse", UNKNOWN):
                yield f"encrypts with {algorithm}: use aws:kms and a key of your own"


def _table_sealed(resource: Resource) -> Iterator[str]:
    own = at(resource.get("serverSideEncryption"), "enabled")
    if resource.type == TABLE and own is not UNKNOWN and not true(own):
        yield "is encrypted with the service's key: set serverSideEncryption.enabled and a key of your own"


def _versions(resource: Resource) -> Iterator[str]:
    if resource.type in VERSIONS_PART.types:
        status = at(resource.get("versioningConfiguration"), "status")
        if status not in ("Enabled", UNKNOWN):
            yield f"keeps no versions ({status}): set versioningConfiguration.status to Enabled"


def _known_policy(resource: Resource) -> bool:
    return resource.type == POLICY and resource.get("policy") is not UNKNOWN


def _tls(resource: Resource) -> Iterator[str]:
    """Refuses all of S3 to everyone who comes without TLS."""
    if _known_policy(resource) and not any(map(_refuses_plain, statements(resource.get("policy")))):
        yield "takes requests without TLS: add a Deny of s3:* for everyone where aws:SecureTransport is false"


def _refuses_plain(one: Statement) -> bool:
    plain = mapping(one.condition.get("Bool")).get("aws:SecureTransport")
    return one.effect == "Deny" and one.everyone and one.covers("s3:Anything") and plain in ("false", False)


def _endpoint(resource: Resource) -> Iterator[str]:
    """Refuses objects and listings away from the endpoint."""
    if _known_policy(resource):
        refusing = [one for one in statements(resource.get("policy")) if _away_from_endpoint(one)]
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"):
            if not any(one.covers(action) for one in refusing):
                yield f"lets {action} in from anywhere: add a Deny where aws:SourceVpce is not the endpoint's"


def _away_from_endpoint(one: Statement) -> bool:
    operators = ("StringNotEquals", "StringNotLike", "StringNotEqualsIfExists", "StringNotEqualsIgnoreCase")
    keys = {key for operator in operators for key in mapping(one.condition.get(operator))}
    return one.effect == "Deny" and one.everyone and bool(keys & {"aws:SourceVpce", "aws:SourceVpc"})


def _lock_out(resource: Resource) -> Iterator[str]:
    """A refusal of managing the bucket, of everyone who is not in some place, hits whoever deploys it next."""
    if _known_policy(resource):
        for one in statements(resource.get("policy")):
            if one.effect == "Deny" and one.everyone and one.covers("s3:PutBucketPolicy") and not _refuses_plain(one):
                what = ", ".join(one.actions) or f"all but {', '.join(one.other_than)}"
                yield f"locks out whoever manages the bucket (Deny of {what}): refuse data and listings alone"


def _given_away(resource: Resource) -> Iterator[str]:
    """To everyone: by the bucket's policy, or by the lists of old."""
    if _known_policy(resource):
        for one in statements(resource.get("policy")):
            if one.effect == "Allow" and one.everyone and not one.condition:
                yield f"allows everyone {', '.join(one.actions)}: name principals, or add a condition"
    if resource.type in (*BUCKETS, *LISTS) and str(resource.get("acl")).startswith(("public", "authenticated")):
        yield f"has the list {resource.get('acl')}: leave acl out, and name principals in the bucket's policy"


RULES = (
    Rule(
        name="no-public-bucket",
        description="Public access to buckets is blocked in all four ways.",
        controls=("S3.8", "CIS 2.1.4", "CKV_AWS_53", "CKV_AWS_54", "CKV_AWS_55", "CKV_AWS_56"),
        check=_private,
    ),
    Rule(
        name="bucket-not-for-everyone",
        description="No policy and no list gives a bucket to everyone.",
        controls=("S3.2", "S3.3", "CKV_AWS_20", "CKV_AWS_57", "CKV_AWS_70"),
        check=_given_away,
    ),
    Rule(
        name="encrypted-bucket",
        description="Buckets are encrypted with a key of the account.",
        controls=("S3.17", "CKV_AWS_145"),
        check=_sealed,
    ),
    Rule(
        name="encrypted-table",
        description="Tables are encrypted with a key of the account.",
        controls=("CKV_AWS_119",),
        check=_table_sealed,
    ),
    Rule(
        name="bucket-versions",
        description="Buckets keep former versions of objects.",
        controls=("S3.14", "CKV_AWS_21"),
        check=_versions,
    ),
    Rule(
        name="bucket-tls-only",
        description="Buckets refuse whatever is not TLS.",
        controls=("S3.5", "CIS 2.1.1", "CKV_AWS_379"),
        check=_tls,
    ),
    Rule(
        name="bucket-endpoint-only",
        description="Buckets refuse data and listings that do not come through the endpoint.",
        controls=(),
        check=_endpoint,
    ),
    Rule(
        name="bucket-no-lock-out",
        description="A bucket's policy does not refuse managing the bucket.",
        controls=(),
        check=_lock_out,
    ),
)
STACK_RULES = (
    StackRule(
        name="bucket-has-policy",
        description="Every bucket has a policy.",
        controls=("S3.5",),
        check=_with(POLICY_PART),
    ),
    StackRule(
        name="bucket-has-public-access-block",
        description="Every bucket has a public access block.",
        controls=("S3.8", "CKV2_AWS_6"),
        check=_with(PRIVATE_PART),
    ),
    StackRule(
        name="bucket-has-encryption",
        description="Every bucket says how it encrypts.",
        controls=("S3.17", "CKV_AWS_19"),
        check=_with(ENCRYPTION_PART),
    ),
    StackRule(
        name="bucket-has-versions",
        description="Every bucket says that it keeps versions.",
        controls=("S3.14", "CKV_AWS_21"),
        check=_with(VERSIONS_PART),
    ),
)
