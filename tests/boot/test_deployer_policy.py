"""The generated policies are all that a deployer needs, refuse everything else, and bound the roles that it makes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from lab.aws.control import Credentials
from lab.aws.names import ACCOUNT, REGION
from lab.paths import ROOT, STACK
from lab.project import stack_file
from tests.account import held
from tests.cloud import Cloud, config
from twinlock.automation import Automation, EnvironmentSpec, Refused, spec
from twinlock.automation.rights import rights

pytestmark = pytest.mark.timeout(900)
DEPLOYER = "team-deployer"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/twinlock-least-boundary"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
        ],
    }
)
ANYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


@dataclass(frozen=True)
class Team:
    """A deployer with the generated policies and nothing else."""

    cloud: Cloud
    key: Credentials

    def client(self, service: str) -> BaseClient:
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.cloud.control.endpoint,
            aws_access_key_id=self.key.access_key, aws_secret_access_key=self.key.secret,
            verify=str(self.cloud.control.ca_file),
        )  # fmt: skip

    def platform(self) -> Automation:
        own = {"AWS_ACCESS_KEY_ID": self.key.access_key, "AWS_SECRET_ACCESS_KEY": self.key.secret}
        return Automation(STACK, self.cloud.folder / "work", {**self.cloud.environment(), **own})


def wanted(*, bounded: bool = True) -> EnvironmentSpec:
    gateway = {"permissions_boundary": BOUNDARY} if bounded else {}
    spared = {"break_glass": [f"arn:aws:iam::{ACCOUNT}:user/{DEPLOYER}"]}
    objects = config(gateway=gateway, storage=spared)
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in objects.items()}
    return spec({"environment": "least", **found})


@pytest.fixture(scope="module")
def team(made: Cloud) -> Team:
    return team_of(made, wanted(), DEPLOYER)


def team_of(made: Cloud, one: EnvironmentSpec, deployer: str) -> Team:
    iam = made.control.client("iam")
    iam.create_user(UserName=deployer)
    for part, document in rights(one, ACCOUNT).items():
        text = json.dumps(document, separators=(",", ":"))
        assert len(text) <= 6144, part
        named = {"PolicyName": f"twinlock-{one.environment}-{part}", "PolicyDocument": text}
        arn = iam.create_policy(**named)["Policy"]["Arn"]
        if part != "boundary":
            iam.attach_user_policy(UserName=deployer, PolicyArn=arn)
    key = iam.create_access_key(UserName=deployer)["AccessKey"]
    return Team(made, Credentials(access_key=key["AccessKeyId"], secret=key["SecretAccessKey"]))


def production() -> EnvironmentSpec:
    """The example as it is, but for what only its owner knows: the image, the account's boundary and deployer."""
    _, objects = stack_file(ROOT / "Pulumi.prod.yaml")
    found = {key.removeprefix("twinlock:").removeprefix("aws:"): value for key, value in objects.items()}
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/twinlock-prod-boundary"
    found["gateway"] |= {"image": "ami-0d13a640000000001", "permissions_boundary": boundary}  # type: ignore[operator]
    found["storage"] |= {"break_glass": [f"arn:aws:iam::{ACCOUNT}:user/prod-deployer"]}  # type: ignore[operator]
    return spec({"environment": "prod", **found})


def refused(act: Callable[[], object]) -> bool:
    with pytest.raises(ClientError) as caught:
        act()
    return caught.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


@pytest.mark.long
def test_the_least_policy_deploys_changes_looks_and_destroys(team: Team):
    platform, one = team.platform(), wanted()
    platform.deploy(one)
    assert team.cloud.control.client("iam").get_role(RoleName="twinlock-least-gateway-a")["Role"][
        "PermissionsBoundary"
    ]["PermissionsBoundaryArn"] == BOUNDARY  # fmt: skip
    changed = replace_tunnel(one)
    assert platform.deploy(changed).changed
    assert platform.drift(changed).changed == ()
    _escapes_nowhere(team)
    platform.destroy(changed)
    assert not held(team.cloud, "least") - Counter(_policies())


def replace_tunnel(one: EnvironmentSpec) -> EnvironmentSpec:
    """Narrower rules, a larger disk: rules go and come, templates get a version."""
    plain = one.model_dump(mode="json", exclude_unset=True)
    plain["tunnel"]["client_ranges"] = ["198.51.100.0/24"]
    plain["gateway"]["disk_gib"] = 10
    return spec(plain)


def _policies() -> set[str]:
    return {f"Policies twinlock-least-{part}" for part in ("network", "data", "roles", "boundary")}


def _escapes_nowhere(team: Team) -> None:
    """While the environment stands: of what is not its own, and of what would make the deployer more than it is."""
    iam, ec2, s3 = team.client("iam"), team.client("ec2"), team.client("s3")
    secrets, tables, kms = team.client("secretsmanager"), team.client("dynamodb"), team.client("kms")
    role = "twinlock-least-gateway-a"
    [bucket] = [one["Name"] for one in team.cloud.control.client("s3").list_buckets()["Buckets"]
                if one["Name"].startswith("twinlock-least-data")]  # fmt: skip
    peers = {"pk": {"S": "peer#red"}, "sk": {"S": "mallory"}}
    for act in (
        lambda: iam.create_role(RoleName="twinlock-least-gateway-z", AssumeRolePolicyDocument=TRUST),
        lambda: iam.create_role(RoleName="other", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=BOUNDARY),
        lambda: iam.delete_role_permissions_boundary(RoleName=role),
        lambda: iam.attach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
        lambda: iam.create_policy_version(PolicyArn=BOUNDARY, PolicyDocument=ANYTHING, SetAsDefault=True),
        lambda: iam.put_user_policy(UserName=DEPLOYER, PolicyName="more", PolicyDocument=ANYTHING),
        lambda: iam.create_access_key(UserName="lab-deployer"),
        lambda: secrets.get_secret_value(SecretId="twinlock/least/service"),
        lambda: secrets.create_secret(Name="twinlock/other/service"),
        lambda: tables.put_item(TableName="twinlock-least", Item=peers),
        lambda: tables.scan(TableName="twinlock-least"),
        kms.create_key,
        lambda: ec2.create_vpc(CidrBlock="10.77.0.0/16"),
        lambda: ec2.run_instances(ImageId="ami-0d13a640000000001", MinCount=1, MaxCount=1),
        lambda: s3.create_bucket(Bucket="somebody-elses"),
        lambda: s3.get_object(Bucket=bucket, Key="x"),
    ):
        assert refused(act)
    _bounded_however(team, role)


def _bounded_however(team: Team, role: str) -> None:
    """The deployer may write any policy into a role that it made; the boundary holds nevertheless."""
    team.client("iam").put_role_policy(RoleName=role, PolicyName="gateway", PolicyDocument=ANYTHING)
    session = team.cloud.control.session_for_role(f"arn:aws:iam::{ACCOUNT}:role/{role}", "i-0123456789abcdef0")
    gateway = replace(team, key=session)
    made = boto3.Session(session.access_key, session.secret, session.token, region_name=REGION)
    iam = made.client("iam", endpoint_url=gateway.cloud.control.endpoint, verify=str(gateway.cloud.control.ca_file))
    assert refused(lambda: iam.create_user(UserName="mallory"))


@pytest.mark.long
def test_the_least_policy_deploys_the_production_example_and_ends_nothing_that_holds_data(made: Cloud):
    """Private endpoints, two people, three tenants, everything guarded, the boundary in use."""
    one = production()
    team = team_of(made, one, "prod-deployer")
    team.platform().deploy(one)
    assert team.platform().drift(one).changed == ()
    iam, s3, tables = made.control.client("iam"), team.client("s3"), team.client("dynamodb")
    role = iam.get_role(RoleName="twinlock-prod-gateway-b")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith("twinlock-prod-boundary")
    [bucket] = [b["Name"] for b in made.control.client("s3").list_buckets()["Buckets"] if "prod-customers" in b["Name"]]
    assert refused(lambda: s3.delete_bucket(Bucket=bucket))
    assert refused(lambda: tables.delete_table(TableName="twinlock-prod"))
    report = team.platform().destroy(one)
    assert {left.why for left in report.left} >= {"protected"}
    assert held(made, "prod")["Tables twinlock-prod"] == 1


@pytest.mark.long
def test_without_the_boundary_no_role_is_made(team: Team):
    with pytest.raises(Refused, match="iam:CreateRole") as caught:
        team.platform().deploy(wanted(bounded=False))
    assert "environment policy" in caught.value.mend
    team.platform().destroy(wanted(bounded=False))
    assert not held(team.cloud, "least") - Counter(_policies())
