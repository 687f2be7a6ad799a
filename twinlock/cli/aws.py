"""An environment on AWS; the only file of the command that makes AWS clients."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]
from botocore.parsers import ResponseParserError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.cli import strangers
from twinlock.registry.aws_errors import code_of, explained
from twinlock.registry.dynamodb import DynamoDB, DynamoTable
from twinlock.registry.errors import Corrupt, NotSignedIn, Refused
from twinlock.registry.kms import Kms, KmsEnvelope
from twinlock.registry.model import Actor
from twinlock.registry.store import Registry

Answer = Mapping[str, object]
_NEWEST_IMAGE = "/aws/service/debian/release/13/latest/arm64"
_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 4})


class Session(Protocol):
    """What is used of boto3.Session."""

    region_name: str | None

    def client(self, service: str, **arguments: object) -> object: ...


class _Parameters(Protocol):
    def get_parameter(self, *, Name: str) -> Answer: ...  # noqa: N803


class _Identity(Protocol):
    def get_caller_identity(self) -> Answer: ...


class Groups(Protocol):
    """What is used of boto3.client("autoscaling")."""

    def terminate_instance_in_auto_scaling_group(
        self,
        *,
        InstanceId: str,  # noqa: N803
        ShouldDecrementDesiredCapacity: bool,  # noqa: N803
    ) -> Answer: ...

    def describe_auto_scaling_groups(self, *, AutoScalingGroupNames: list[str]) -> Answer: ...  # noqa: N803


@dataclass(frozen=True)
class AwsEnvironment:
    """twinlock.cli.cloud.Environment on AWS."""

    name: str
    region: str
    registry: Registry
    session: Session

    def actor(self) -> Actor:
        client = cast(_Identity, self.session.client("sts", region_name=self.region, config=_CONFIG))
        with translated("sts:GetCallerIdentity"):
            answer = client.get_caller_identity()
        return Actor(user_id=str(answer["UserId"]), arn=str(answer["Arn"]), host=platform.node())

    def envelope(self) -> KmsEnvelope:
        definition = self.registry.definition()
        return self.envelope_of(self.region, definition.environment, definition.key)

    def envelope_of(self, region: str, environment: str, key: str) -> KmsEnvelope:
        client = cast(Kms, self.session.client("kms", region_name=region, config=_CONFIG))
        return KmsEnvelope(client, environment, key)

    def terminate(self, slot: str, instance_id: str) -> None:
        client = cast(Groups, self.session.client("autoscaling", region_name=self.region, config=_CONFIG))
        with translated(f"instance {instance_id}"):
            try:
                _terminate(client, instance_id)
            except ClientError as exc:
                if code_of(exc) != "ValidationError":
                    raise
                successor = _machine_of(client, f"twinlock-{self.name}-gateway-{slot}")
                if successor is None:
                    raise Refused(
                        f"instance {instance_id} is no machine of a group any more, and there is no successor yet: "
                        "wait two minutes, and roll again; the group's activity says why none comes"
                    ) from exc
                _terminate(client, successor)


def _terminate(client: Groups, instance_id: str) -> None:
    client.terminate_instance_in_auto_scaling_group(InstanceId=instance_id, ShouldDecrementDesiredCapacity=False)


def _machine_of(client: Groups, group: str) -> str | None:
    """The machine that a slot's group has in service now."""
    found = cast(list[Answer], client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"])
    machines = [cast(list[Mapping[str, str]], one["Instances"]) for one in found]
    return next(
        (one["InstanceId"] for several in machines for one in several if one["LifecycleState"] == "InService"), None
    )


def open_aws(name: str) -> AwsEnvironment:
    """By the discovery record in the account and region of the caller's credentials."""
    with translated(f"environment {name}"):
        session = _session()
        client = cast(_Parameters, session.client("ssm", config=_CONFIG))
        record = _record(name, session, client)
        dynamodb = cast(DynamoDB, session.client("dynamodb", region_name=record["region"], config=_CONFIG))
    return AwsEnvironment(name, record["region"], Registry(DynamoTable(record["table"], dynamodb)), session)


def newest_image() -> str:
    """The id of Debian 13's newest image for arm64 in the caller's region, as Debian publishes it."""
    with translated(f"parameter {_NEWEST_IMAGE}"):
        client = cast(_Parameters, _session().client("ssm", config=_CONFIG))
        answer = client.get_parameter(Name=_NEWEST_IMAGE)
    return cast(Mapping[str, str], answer["Parameter"])["Value"]


def find_strangers(environment: str) -> tuple[strangers.Rule | strangers.Route, ...]:
    """Rules and routes among the environment's that are not its own."""
    with translated(f"firewall and routes of {environment}"):
        return strangers.find(cast(strangers.Ec2, _session().client("ec2", config=_CONFIG)), environment)


def remove_strangers(found: Sequence[strangers.Rule | strangers.Route]) -> None:
    client = cast(strangers.Ec2, _session().client("ec2", config=_CONFIG))
    for one in found:
        with translated(one.text):
            strangers.remove(client, one)


def account_of_caller() -> str:
    """Twelve digits."""
    with translated("sts:GetCallerIdentity"):
        answer = cast(_Identity, _session().client("sts", config=_CONFIG)).get_caller_identity()
    return str(answer["Account"])


def _session() -> Session:
    """boto3 alone reads AWS_DEFAULT_REGION; every other SDK and tool AWS_REGION."""
    return cast(Session, boto3.Session(region_name=os.environ.get("AWS_REGION") or None))


def _record(name: str, session: Session, client: _Parameters) -> dict[str, str]:
    parameter = f"/twinlock/{name}/discovery"
    try:
        answer = client.get_parameter(Name=parameter)
    except ClientError as exc:
        if code_of(exc) != "ParameterNotFound":
            raise
        where = f"no environment {name} in region {session.region_name} of this account"
        raise Refused(f"{where}: no parameter {parameter}; check the name, AWS_PROFILE, AWS_REGION") from exc
    text = cast(Mapping[str, str], answer["Parameter"])["Value"]
    try:
        record = cast(Mapping[str, object], json.loads(text))
        if record["version"] != 1:
            raise Corrupt(f"{parameter} is of version {record['version']}, this command reads 1: update it")
        return {"region": str(record["region"]), "table": str(record["table"])}
    except (ValueError, KeyError, TypeError) as exc:
        raise Corrupt(f"{parameter} is not a discovery record: has `pulumi up` gone through?") from exc


@contextmanager
def translated(where: str) -> Generator[None]:
    """botocore's errors as one line of ours."""
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as exc:
        raise explained(exc, where) from exc
    except ValueError as exc:  # botocore's own word for a setting that is no URL
        if not str(exc).startswith("Invalid endpoint"):
            raise
        raise NotSignedIn(f"{where}: {exc}; mend AWS_ENDPOINT_URL") from exc
