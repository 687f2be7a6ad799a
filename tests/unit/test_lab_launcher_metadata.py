"""The metadata service's answers: tokens, what cloud-init and botocore read, credentials. No socket."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.utils import InstanceMetadataFetcher
from moto import mock_aws

from lab.aws.launcher_views import InstanceRoles, Views
from lab.aws.metadata import Answers, RoleCredentials, Tokens
from lab.aws.metadata_tree import listing, tree
from tests.unit.lab_account import Account

USER_DATA = b"\x1f\x8b\x08 not text"
TTL = "x-aws-ec2-metadata-token-ttl-seconds"


class Minting:
    """Counts what it gives."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.lasts = timedelta(hours=6)

    def __call__(self, role: str, session: str, seconds: int) -> RoleCredentials:
        self.asked.append((role, session))
        now = datetime.now(UTC)
        return RoleCredentials(
            role="gateway",
            access_key=f"ASIA{len(self.asked)}",
            secret="a secret",
            token="a session",
            updated=now,
            expires=now + self.lasts,
        )


class Lab:
    def __init__(self, **options) -> None:
        self.account = account = Account()
        self.interface = account.interface(
            PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.20", "Primary": False}], Ipv4PrefixCount=1
        )
        allocation = account.ask("ec2", "AllocateAddress", Domain="vpc")["AllocationId"]
        account.ask("ec2", "AssociateAddress", AllocationId=allocation, NetworkInterfaceId=self.interface)
        account.group(
            account.gateway_template(
                self.interface,
                UserData=base64.b64encode(USER_DATA).decode(),
                IamInstanceProfile={"Arn": account.role()},
                MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1} | options,
            )
        )
        account.settle()
        self.views = Views(account.moto, account.launcher, region="eu-west-1", account="123456789012")
        self.minting = Minting()
        roles = InstanceRoles(account.moto, self.minting)
        self.time = 0.0
        self.answers = Answers(roles.role_of, roles.credentials_of, Tokens(lambda: self.time))
        self.view = self.views.lookup(account.network)("10.0.1.10")

    def token(self, seconds: int = 60) -> str:
        return self.answers.put(self.view, "/latest/api/token", {TTL: str(seconds)}).body.decode()

    def get(self, path: str, token: str | None = None):
        headers = {"x-aws-ec2-metadata-token": token or self.token()}
        return self.answers.get(self.view, path, headers)

    def text(self, path: str) -> str:
        reply = self.get(path)
        assert reply.status == 200, path
        return reply.body.decode()


@pytest.fixture
def lab():
    with mock_aws():
        yield Lab()


def test_without_a_good_token_nothing_is_told(lab):
    token = lab.token(60)
    assert lab.answers.get(lab.view, "/latest/meta-data/instance-id", {}).status == 401
    assert lab.get("/latest/meta-data/instance-id", "made-up").status == 401
    assert lab.get("/latest/user-data", token).status == 200
    lab.time = 61.0
    assert lab.get("/latest/user-data", token).status == 401


@pytest.mark.parametrize("seconds", ["", "0", "21601", "x"])
def test_a_token_needs_a_time_that_aws_allows(lab, seconds):
    assert lab.answers.put(lab.view, "/latest/api/token", {TTL: seconds}).status == 400


def test_a_token_is_not_given_through_a_proxy(lab):
    assert lab.answers.put(lab.view, "/latest/api/token", {TTL: "60", "x-forwarded-for": "10.0.0.1"}).status == 403


def test_where_tokens_are_optional_none_is_needed_and_a_wrong_one_is_refused():
    with mock_aws():
        lab = Lab(HttpTokens="optional")
        assert lab.answers.get(lab.view, "/latest/meta-data/instance-id", {}).status == 200
        assert lab.get("/latest/meta-data/instance-id", "made-up").status == 401


def test_user_data_comes_as_bytes_as_they_were_before_base64(lab):
    assert lab.get("/latest/user-data").body == USER_DATA


def test_an_instance_is_found_by_any_of_its_addresses_in_its_own_network_alone(lab):
    instance = lab.account.instances("running")[0]["InstanceId"]
    find = lab.views.lookup(lab.account.network)
    assert find("10.0.1.10").id == find("10.0.1.20").id == instance
    assert find("10.0.1.99") is None
    assert lab.views.lookup("vpc-other")("10.0.1.10") is None


def test_what_is_told_changes_with_the_instance(lab):
    before = lab.view.id
    lab.account.ask("ec2", "TerminateInstances", InstanceIds=[before])
    lab.account.settle()
    lab.views.forget()
    assert lab.views.lookup(lab.account.network)("10.0.1.10").id != before


def test_the_tree_holds_what_cloud_init_and_gateways_read(lab):
    shown = lab.account.ask("ec2", "DescribeNetworkInterfaces")["NetworkInterfaces"][0]
    base = f"/latest/meta-data/network/interfaces/macs/{shown['MacAddress']}"
    assert lab.text("/latest/meta-data/instance-id") == lab.view.id
    assert lab.text("/2021-03-23/meta-data/local-ipv4") == "10.0.1.10"
    assert lab.text("/latest/meta-data/public-ipv4") == "198.51.100.1"
    assert lab.text("/latest/meta-data/placement/availability-zone") == "eu-west-1a"
    assert lab.text("/latest/meta-data/placement/region") == "eu-west-1"
    assert lab.text("/latest/meta-data/services/domain") == "amazonaws.com"
    assert lab.text("/latest/meta-data/mac") == shown["MacAddress"]
    assert lab.text(f"{base}/device-number") == "0"
    assert lab.text(f"{base}/interface-id") == lab.interface
    assert lab.text(f"{base}/local-ipv4s") == "10.0.1.10\n10.0.1.20"
    assert lab.text(f"{base}/ipv4-prefix") == "10.0.1.32/28"
    assert lab.text(f"{base}/subnet-ipv4-cidr-block") == "10.0.1.0/24"
    assert lab.text(f"{base}/vpc-ipv4-cidr-block") == "10.0.0.0/16"
    assert lab.text(f"{base}/ipv4-associations/198.51.100.1") == "10.0.1.10"


def test_each_name_that_a_listing_gives_can_be_read(lab):
    def walk(path: str) -> int:
        found = 0
        for name in lab.text(path).splitlines():
            found += walk(f"{path}{name}") if name.endswith("/") else len(lab.get(f"{path}{name}").body) > 0
        return found

    assert walk("/latest/meta-data/") > 25


def test_what_is_not_there_is_not_found(lab):
    for path in ("/latest/meta-data/public-keys/", "/latest/meta-data/tags/instance", "/latest/nothing", "/1999/x"):
        assert lab.get(path).status == 404


def test_tags_are_told_only_when_switched_on():
    with mock_aws():
        lab = Lab(InstanceMetadataTags="enabled")
        assert lab.text("/latest/meta-data/tags/instance/aws:autoscaling:groupName") == "gateway-a"


def test_the_identity_document_names_the_instance(lab):
    document = json.loads(lab.text("/latest/dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"], document["privateIp"]) == (
        lab.view.id,
        "eu-west-1",
        "10.0.1.10",
    )


def test_the_roles_credentials_are_kept_until_they_are_about_to_expire(lab):
    first = json.loads(lab.text("/latest/meta-data/iam/security-credentials/gateway"))
    again = json.loads(lab.text("/latest/meta-data/iam/security-credentials/gateway"))
    assert first["AccessKeyId"] == again["AccessKeyId"] == "ASIA1"
    assert lab.minting.asked == [("arn:aws:iam::123456789012:role/gateway", lab.view.id)]


def test_credentials_that_are_about_to_expire_are_made_anew(lab):
    lab.minting.lasts = timedelta(minutes=10)
    names = [json.loads(lab.text("/latest/meta-data/iam/security-credentials/gateway"))["AccessKeyId"] for _ in "12"]
    assert names == ["ASIA1", "ASIA2"]


def test_credentials_of_another_role_are_not_told(lab):
    assert lab.get("/latest/meta-data/iam/security-credentials/admin").status == 404
    assert lab.minting.asked == []


def test_botocores_own_fetcher_takes_the_credentials(lab):
    class Response:
        def __init__(self, reply) -> None:
            self.status_code, self.text, self.content = reply.status, reply.body.decode(), reply.body

    class Fetcher(InstanceMetadataFetcher):
        def _fetch_metadata_token(self):
            return lab.token(21600)

        def _get_request(self, url_path, retry_func, token=None):
            return Response(lab.get(f"/{url_path}", token))

    found = Fetcher().retrieve_iam_role_credentials()
    assert (found["access_key"], found["secret_key"], found["token"]) == ("ASIA1", "a secret", "a session")
    assert found["role_name"] == "gateway"


def test_no_credentials_stand_in_a_repr(lab):
    given = Minting()("role", "session", 1)
    assert "a secret" not in repr(given)
    assert "a session" not in repr(given)


def test_a_listing_marks_directories(lab):
    assert "placement/" in listing(tree(lab.view), "").splitlines()
    assert "instance-id" in listing(tree(lab.view), "").splitlines()
