"""What holds data is marked, guarded, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

from policies.resource import UNKNOWN, Resource, at, items, mapping, number, texts
from policies.rule import Rule
from policies.storage import BUCKETS, TABLE

KEY = "aws:kms/key:Key"
SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type's name
# Whose bill and whose breach: everything that holds data, costs by the hour, or decides who gets in.
TAGGED = (
    *BUCKETS,
    TABLE,
    KEY,
    SECRET,
    "aws:ec2/vpc:Vpc",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/eip:Eip",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:ec2/instance:Instance",
    "aws:iam/role:Role",
    "aws:autoscaling/group:Group",
)
WANTED = "twinlock:environment"
MANY_DAYS = 7


def _tags(resource: Resource) -> Iterator[str]:
    if resource.type not in TAGGED or resource.get("tags") is UNKNOWN:
        return
    if resource.type == "aws:autoscaling/group:Group":
        keys = [at(tag, "key") for tag in items(resource.get("tags"))]
        if UNKNOWN in keys:
            return
        names = set(texts(keys))
    else:
        names = {*mapping(resource.get("tags")), *mapping(resource.get("tagsAll"))}
    if not any(kind.startswith("twinlock:") for kind in resource.within):
        if not names:
            yield "has no tag at all: say whose it is"
    elif WANTED not in names:
        yield f"has no tag {WANTED}: say whose it is"


def _recovery(resource: Resource) -> Iterator[str]:
    if resource.type == TABLE and at(resource.get("pointInTimeRecovery"), "enabled") not in (True, UNKNOWN):
        yield "can't be brought back to a point in time: set pointInTimeRecovery.enabled"


def _protection(resource: Resource) -> Iterator[str]:
    if resource.type == TABLE and resource.get("deletionProtectionEnabled") not in (True, UNKNOWN):
        yield "may be deleted by one call: set deletionProtectionEnabled"
    if resource.type in BUCKETS and resource.get("forceDestroy") is True:
        yield "goes with all that is in it: set forceDestroy to false"
    if resource.type in (TABLE, KEY, *BUCKETS) and not resource.protected:
        yield "holds data, and the next destroy takes it: set the resource option protect"


def _secret_recovery(resource: Resource) -> Iterator[str]:
    """A deletion can be taken back for a while. Absent, AWS gives 30 days."""
    days = resource.get("recoveryWindowInDays" if resource.type == SECRET else "deletionWindowInDays")
    if resource.type in (SECRET, KEY) and days not in (None, UNKNOWN) and (number(days) or 0) < MANY_DAYS:
        yield f"is gone {number(days)} days after its deletion: give it {MANY_DAYS} at least"


def _rotation(resource: Resource) -> Iterator[str]:
    if resource.type == KEY and resource.get("enableKeyRotation") not in (True, UNKNOWN):
        yield "is never rotated: set enableKeyRotation"


RULES = (
    Rule(
        name="tags",
        description="What holds data, costs money or decides who gets in says whose it is.",
        controls=("DynamoDB.5", "EC2.43", "EC2.44", "EC2.46", "CKV_AWS_153"),
        check=_tags,
    ),
    Rule(
        name="table-recovery",
        description="Tables can be brought back to a point in time.",
        controls=("DynamoDB.2", "CKV_AWS_28"),
        check=_recovery,
    ),
    Rule(
        name="deletion-protection",
        description="What holds data is not deleted by one call.",
        controls=("DynamoDB.6",),
        check=_protection,
    ),
    Rule(
        name="secret-recovery",
        description="The deletion of a secret or a key can be taken back for a week.",
        controls=("KMS.3",),
        check=_secret_recovery,
    ),
    Rule(
        name="key-rotation",
        description="Keys are rotated.",
        controls=("KMS.4", "CIS 3.6", "CKV_AWS_7"),
        check=_rotation,
    ),
)
