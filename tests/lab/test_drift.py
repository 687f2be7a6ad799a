"""Changes by hand, in the cloud and on a gateway, are found in one report and mended."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import boto3
import pytest

from lab import deploy
from lab.paths import ROOT, STACK
from tests.within import within

pytestmark = pytest.mark.timeout(400)
MALLORY = "bWFsbG9yeSBtYWRlIHRoaXMga2V5IGJ5IGhhbmQgISE="


def drift(lab, *words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "twinlock.cli.main", "-e", "lab", "drift", "--json", *words]
    environment = {**deploy.environment(lab.deployer), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=STACK, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _change_the_cloud(lab) -> None:
    aws = lab.deployer
    ec2 = boto3.client(
        "ec2", region_name=aws["AWS_REGION"], endpoint_url=aws["AWS_ENDPOINT_URL"], verify=aws["AWS_CA_BUNDLE"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"], aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    own = [{"Name": "tag:twinlock:environment", "Values": ["lab"]}]
    named = [*own, {"Name": "tag:Name", "Values": ["twinlock-lab-gateway"]}]
    [group] = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    door = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[door])
    of_group = [{"Name": "group-id", "Values": [group["GroupId"]]}]
    [way_out] = [
        one
        for one in ec2.describe_security_group_rules(Filters=of_group)["SecurityGroupRules"]
        if one["IsEgress"] and one["FromPort"] == 443
    ]
    wider = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 450, "CidrIpv4": way_out["CidrIpv4"]}
    ec2.modify_security_group_rules(
        GroupId=group["GroupId"],
        SecurityGroupRules=[{"SecurityGroupRuleId": way_out["SecurityGroupRuleId"], "SecurityGroupRule": wider}],
    )
    [internet] = ec2.describe_internet_gateways(Filters=own)["InternetGateways"]
    named = [*own, {"Name": "tag:Name", "Values": ["twinlock-lab-private"]}]
    [table] = ec2.describe_route_tables(Filters=named)["RouteTables"]
    for destination in ({"DestinationCidrBlock": "192.0.2.0/24"}, {"DestinationIpv6CidrBlock": "::/0"}):
        ec2.create_route(RouteTableId=table["RouteTableId"], GatewayId=internet["InternetGatewayId"], **destination)


@pytest.mark.long
def test_a_rule_a_route_and_a_peer_that_somebody_made_are_found_in_one_report_and_mended(lab) -> None:
    assert drift(lab)[0] == 0
    _change_the_cloud(lab)
    lab.on_gateway("a", "wg", "set", "wg-way", "peer", MALLORY, "allowed-ips", "10.90.16.99/32")
    gone = within(60, lambda: MALLORY not in lab.on_gateway("a", "wg", "show", "wg-way", "peers"), "the unknown peer")
    print(f"a peer made by hand was put out after {gone:.0f} s")

    def told() -> bool:
        return drift(lab)[1]["peers"] != []

    within(60, told, "the gateway's word")
    code, found = drift(lab)
    assert code == 1
    assert [peer["slot"] for peer in found["peers"]] == ["a"]
    assert found["peers"][0]["text"].startswith(f"unknown peer {MALLORY[:8]}… on the way, put right ")
    assert sorted(text.partition(" to ")[0] for text in found["unknown"]) == [
        "unknown route of twinlock-lab-private: 192.0.2.0/24", "unknown route of twinlock-lab-private: ::/0",
        "unknown rule of twinlock-lab-gateway: tcp 22-22 from 0.0.0.0/0",
    ]  # fmt: skip
    changed = [(one["action"], one["name"], one["properties"]) for one in found["infrastructure"]["changes"]]
    assert changed == [("update", "twinlock-lab-api-out", ["toPort"])]
    code, found = drift(lab, "--repair")
    assert code == 0 and len(found["unknown"]) == 3
    found = drift(lab)[1]
    assert (found["unknown"], found["infrastructure"]["changes"]) == ([], [])
