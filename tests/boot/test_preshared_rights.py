"""Pre-shared keys by the policies that ship: each statement of KMS is needed, and opens nothing more. The lab's IAM."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count

import boto3
import pytest
import yaml

from components.aws import deployer, permissions
from components.settings import parse
from lab.aws.names import ACCOUNT, REGION
from lab.paths import STACK
from tests.cloud import Cloud
from twinlock.registry import policies
from twinlock.registry.errors import Refused
from twinlock.registry.kms import KmsEnvelope

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/twinlock-lab"
PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/twinlock/lab/discovery"
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
Statements = Sequence[dict[str, object]]
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def key(made: Cloud) -> str:
    document = json.dumps(permissions.written(permissions.key(REGION, ACCOUNT, ())))
    return made.control.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]


def written(statements: Statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def gateway(key: str) -> Statements:
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:twinlock/lab/way-a-AbCdEf"
    role = permissions.GatewayRole(
        slot="a", region=REGION, account=ACCOUNT, table_arn=TABLE, service_secret_arn=secret, way_secret_arn=secret,
        key_arn=key, agent_bucket_arn="arn:aws:s3:::twinlock-lab-agent-x", storage_prefix_list="pl-1",
        environment="lab", group_names=("twinlock-lab-gateway-a",), own_group="twinlock-lab-gateway-a",
    )  # fmt: skip
    return permissions.written(permissions.gateway(role))["Statement"]  # type: ignore[return-value]


def enroller(key: str) -> Statements:
    opens = policies.DataKeyOf(environment="lab", key_arn=key)
    return policies.enroller(TABLE, PARAMETER, [], opens)["Statement"]


def envelope(made: Cloud, key: str, statements: Statements, *, tenant: str = "", boundary: str = "") -> KmsEnvelope:
    """As somebody who has a role with `statements` alone."""
    iam, name = made.control.client("iam"), f"somebody-{next(_NUMBERS)}"
    more: dict[str, object] = {"Tags": [{"Key": policies.TENANT_TAG, "Value": tenant}]} if tenant else {}
    if boundary:
        made_policy = iam.create_policy(PolicyName=f"bounds-{name}", PolicyDocument=boundary)
        more["PermissionsBoundary"] = made_policy["Policy"]["Arn"]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=written([TRUST]), **more)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=written(statements))
    session = made.control.session_for_role(role, "i-0123456789abcdef0")
    client = boto3.client(
        "kms", region_name=REGION, endpoint_url=made.control.endpoint, verify=str(made.control.ca_file),
        aws_access_key_id=session.access_key, aws_secret_access_key=session.secret, aws_session_token=session.token,
    )  # fmt: skip
    return KmsEnvelope(client, "lab", key)


def without(statements: Statements, sid: str) -> Statements:
    left = [one for one in statements if one["Sid"] != sid]
    assert len(left) == len(statements) - 1
    return left


def refused(act: Callable[[], object]) -> bool:
    with pytest.raises(Refused):
        act()
    return True


def test_a_gateway_makes_and_opens_data_keys_of_its_environment_and_needs_the_statement_for_it(made: Cloud, key: str):
    own = envelope(made, key, gateway(key))
    sealed = own.new("red", 1, 1)
    assert len(own.open(sealed).raw) == 32
    bare = envelope(made, key, without(gateway(key), "OpenDataKeys"))
    assert refused(lambda: bare.new("red", 1, 1)) and refused(lambda: bare.open(sealed))
    assert refused(lambda: own.seal(own.open(sealed), 1)), "a gateway seals no key that it has seen"
    elsewhere = KmsEnvelope(own.client, "other", key)
    assert refused(lambda: elsewhere.new("red", 1, 1))


def test_the_boundary_of_the_gateways_roles_leaves_them_that(made: Cloud, key: str):
    objects = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())["config"]
    plain = {name.removeprefix("twinlock:").removeprefix("aws:"): value for name, value in objects.items()}
    most = deployer.boundary(parse({"environment": "lab", **plain}), ACCOUNT)
    bounded = envelope(made, key, gateway(key), boundary=json.dumps(most))
    assert len(bounded.open(bounded.new("red", 1, 1)).raw) == 32
    most["Statement"] = without(most["Statement"], "OpenDataKeys")  # type: ignore[arg-type]
    narrower = envelope(made, key, gateway(key), boundary=json.dumps(most))
    assert refused(lambda: narrower.new("red", 1, 1))


def test_an_enroller_opens_the_data_keys_of_its_tenant_alone(made: Cloud, key: str):
    gateways = envelope(made, key, gateway(key))
    red, blue = gateways.new("red", 1, 1), gateways.new("blue", 1, 1)
    own = envelope(made, key, enroller(key), tenant="red")
    assert own.open(red).raw == gateways.open(red).raw
    assert refused(lambda: own.open(blue)) and refused(lambda: own.new("red", 2, 1))
    assert refused(lambda: envelope(made, key, enroller(key)).open(red)), "whom no tag gives to a tenant"
    bare = envelope(made, key, without(enroller(key), "OpenDataKeys"), tenant="red")
    assert refused(lambda: bare.open(red))
