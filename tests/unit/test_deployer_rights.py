"""What a deployer's policies name: all of its own environment, nothing of another one's in the same account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest

from components.aws import deployer
from components.models import Settings
from components.plan import bucket_name, plan
from components.settings import parse
from tests.unit.program_build import CONFIG, changed

ACCOUNT, REGION = "123456789012", "eu-west-1"
# Each begins as prod's own names go on.
OTHERS = ("prod-eu", "prod-gateway", "prod-agent", "prod-data", "prod-reader", "pro", "prod2")


def environment(name: str) -> Settings:
    return parse({**CONFIG, "environment": name})


def names(settings: Settings) -> Iterator[str]:
    """ARNs of what IAM knows by its name alone."""
    own = f"twinlock-{settings.environment}"
    for short in (*settings.storage.buckets, "agent"):
        yield f"arn:aws:s3:::{bucket_name(settings.environment, short, '0123abcd')}"
    yield f"arn:aws:s3:::{bucket_name(settings.environment, 'agent', '0123abcd')}/agent/x"
    for slot in plan(settings).slots:
        gateway = plan(settings).gateway_name(slot.name)
        yield f"arn:aws:iam::{ACCOUNT}:role/{gateway}"
        yield f"arn:aws:iam::{ACCOUNT}:instance-profile/{gateway}"
        yield f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1-2:autoScalingGroupName/{gateway}"
    yield from (f"arn:aws:iam::{ACCOUNT}:policy/{own}-{who}" for who in ("reader", "enroller", "approver"))
    yield f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{own}"
    yield f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:twinlock/{settings.environment}/service-AbCdEf"
    yield f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/twinlock/{settings.environment}/discovery"
    yield f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/{own}"


def named(settings: Settings) -> set[str]:
    """Patterns of the statements that no tag narrows."""
    documents = [*deployer.policies(settings, ACCOUNT).values(), deployer.boundary(settings, ACCOUNT)]
    statements = [one for document in documents for one in document["Statement"]]  # type: ignore[attr-defined]
    plain = [one for one in statements if "Tag/" not in json.dumps(one.get("Condition", {}))]
    return {arn for one in plain for arn in one["Resource"] if arn != "*"}


def test_a_deployer_reaches_everything_of_its_own_environment():
    mine = environment("prod")
    assert [arn for arn in names(mine) if not any(fnmatchcase(arn, pattern) for pattern in named(mine))] == []


@pytest.mark.parametrize("other", OTHERS)
def test_a_deployer_reaches_nothing_of_another_environment_whatever_its_name(other: str):
    theirs, patterns = list(names(environment(other))), named(environment("prod"))
    assert [(arn, pattern) for arn in theirs for pattern in patterns if fnmatchcase(arn, pattern)] == []


def test_the_names_of_environments_never_meet():
    every = [name for one in ("prod", *OTHERS) for name in names(environment(one))]
    assert len(every) == len(set(every))


def test_each_policy_fits_where_aws_keeps_it_however_many_buckets_there_are():
    for count in (1, 8, 20):
        long = [f"bucket-{number:02}-of-a-team" for number in range(count)]
        everyone = {"tenants": {"t": {"range": "10.90.16.0/20"}}, "environment": "e" * 20}
        settings = parse({**changed(storage={"buckets": long, "protect": False}), **everyone})
        documents = {**deployer.policies(settings, ACCOUNT), "boundary": deployer.boundary(settings, ACCOUNT)}
        for part, document in documents.items():
            assert len(json.dumps(document, separators=(",", ":"))) <= 6144, (count, part)
