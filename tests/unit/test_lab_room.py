"""The lab gives a fresh account no more than AWS does."""

from __future__ import annotations

import pytest
from moto import mock_aws

from lab.aws.launcher_values import Refused
from lab.aws.room import RULES
from tests.unit.lab_account import Account
from twinlock.automation.mends import mend


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


def test_the_sixth_network_of_a_region_is_refused_and_a_deleted_one_makes_room(account):
    there = len(account.ask("ec2", "DescribeVpcs")["Vpcs"])
    made = [account.ask("ec2", "CreateVpc", CidrBlock="10.9.0.0/16") for _ in range(5 - there)]
    with pytest.raises(Refused, match="VpcLimitExceeded"):
        account.ask("ec2", "CreateVpc", CidrBlock="10.9.0.0/16")
    account.ask("ec2", "DeleteVpc", VpcId=made[0]["Vpc"]["VpcId"])
    account.ask("ec2", "CreateVpc", CidrBlock="10.9.0.0/16")


def test_the_sixth_internet_gateway_is_refused(account):
    for _ in range(5 - len(account.ask("ec2", "DescribeInternetGateways")["InternetGateways"])):
        account.ask("ec2", "CreateInternetGateway")
    with pytest.raises(Refused, match="InternetGatewayLimitExceeded"):
        account.ask("ec2", "CreateInternetGateway")


def group(account) -> str:
    made = account.ask("ec2", "CreateSecurityGroup", GroupName="g", Description="d", VpcId=account.network)
    return made["GroupId"]


def allow(account, group: str, *, egress: bool = False, **sides) -> None:
    action = "AuthorizeSecurityGroupEgress" if egress else "AuthorizeSecurityGroupIngress"
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **sides}
    account.ask("ec2", action, GroupId=group, IpPermissions=[permission])


def ranges(count: int, first: int = 0) -> list[dict[str, str]]:
    return [{"CidrIp": f"10.1.{number}.0/24"} for number in range(first, first + count)]


def test_a_group_has_sixty_rules_of_each_direction(account):
    one = group(account)
    allow(account, one, IpRanges=ranges(RULES))
    with pytest.raises(Refused, match="RulesPerSecurityGroupLimitExceeded"):
        allow(account, one, IpRanges=ranges(1, first=RULES))
    allow(account, one, egress=True, IpRanges=ranges(RULES - 1))  # beside the one of a new group


@pytest.mark.parametrize(("service", "weight"), [("s3", 1), ("dynamodb", 1)])
def test_a_prefix_list_of_aws_counts_for_its_weight(account, service, weight):
    lists = account.ask("ec2", "DescribeManagedPrefixLists")["PrefixLists"]
    [found] = [one["PrefixListId"] for one in lists if one["PrefixListName"] == f"com.amazonaws.eu-west-1.{service}"]
    one = group(account)
    allow(account, one, IpRanges=ranges(RULES - weight + 1))
    with pytest.raises(Refused, match="RulesPerSecurityGroupLimitExceeded"):
        allow(account, one, PrefixListIds=[{"PrefixListId": found}])


def test_a_prefix_list_of_ones_own_counts_for_all_that_it_may_hold(account):
    made = account.ask("ec2", "CreateManagedPrefixList", PrefixListName="own", MaxEntries=20, AddressFamily="IPv4")
    own = [{"PrefixListId": made["PrefixList"]["PrefixListId"]}]
    one = group(account)
    allow(account, one, IpRanges=ranges(RULES - 20))
    allow(account, one, PrefixListIds=own)
    with pytest.raises(Refused, match="RulesPerSecurityGroupLimitExceeded"):
        allow(account, one, IpRanges=ranges(1, first=RULES))


def test_the_name_of_a_deleted_secret_is_taken_until_its_recovery_window_ends(account):
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html"""
    account.ask("secretsmanager", "CreateSecret", Name="twinlock/dev/service")
    account.ask("secretsmanager", "DeleteSecret", SecretId="twinlock/dev/service", RecoveryWindowInDays=30)
    with pytest.raises(Refused, match="scheduled for deletion") as refused:
        account.ask("secretsmanager", "CreateSecret", Name="twinlock/dev/service")
    assert "restore" in mend(str(refused.value))
