"""Rules and routes that somebody added to an environment, from what EC2 answers."""

from __future__ import annotations

from twinlock.cli.strangers import Route, Rule, remove, strange_routes, strange_rules

GROUPS = {"sg-1": "twinlock-dev-gateway"}
OWN = [{"Key": "twinlock:environment", "Value": "dev"}]


def rule(**changes: object) -> dict[str, object]:
    made = {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-1", "IsEgress": False, "IpProtocol": "tcp", "FromPort": 22,
            "ToPort": 22, "CidrIpv4": "0.0.0.0/0", "Tags": []}  # fmt: skip
    return {**made, **changes}


def table(name: str, *routes: dict[str, str]) -> dict[str, object]:
    return {"RouteTableId": "rtb-1", "Tags": [{"Key": "Name", "Value": f"twinlock-dev-{name}"}], "Routes": routes}


def test_a_rule_without_the_environments_tag_is_a_stranger():
    others = [{"Key": "twinlock:environment", "Value": "other"}]
    found = list(strange_rules([rule(Tags=OWN), rule(), rule(IsEgress=True, Tags=others)], GROUPS, "dev"))
    text = "unknown rule of twinlock-dev-gateway: tcp 22-22 {} 0.0.0.0/0"
    assert found == [
        Rule(id="sgr-1", group="sg-1", egress=False, text=text.format("from")),
        Rule(id="sgr-1", group="sg-1", egress=True, text=text.format("to")),
    ]


def test_a_rule_of_all_protocols_is_told_in_words():
    open_to_all = rule(IpProtocol="-1", FromPort=-1, ToPort=-1, CidrIpv4=None, CidrIpv6="::/0")
    [found] = strange_rules([open_to_all], GROUPS, "dev")
    assert found.text == "unknown rule of twinlock-dev-gateway: everything from ::/0"


def test_only_the_public_tables_way_to_the_internet_is_the_programs():
    local = {"DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local"}
    endpoint = {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"}
    internet = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
    peering = {"DestinationCidrBlock": "172.16.0.0/12", "VpcPeeringConnectionId": "pcx-1"}
    assert list(strange_routes([table("public", local, endpoint, internet), table("private", local, endpoint)])) == []
    found = list(strange_routes([table("public", peering), table("private", internet)]))
    assert [one.text for one in found] == [
        "unknown route of twinlock-dev-public: 172.16.0.0/12 to pcx-1",
        "unknown route of twinlock-dev-private: 0.0.0.0/0 to igw-1",
    ]
    assert found[0] == Route(
        table="rtb-1", kind="DestinationCidrBlock", destination="172.16.0.0/12", text=found[0].text
    )


class Ec2:
    """Writes down what is deleted."""

    def __init__(self) -> None:
        self.deleted: list[dict[str, object]] = []

    def delete_route(self, **asked: object) -> None:
        self.deleted.append(asked)


def test_a_way_out_by_ipv6_or_to_a_prefix_list_is_found_too_and_taken_away_by_its_own_name():
    local = {"DestinationIpv6CidrBlock": "2001:db8:1::/56", "GatewayId": "local"}
    outside = {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"}
    listed = {"DestinationPrefixListId": "pl-2", "TransitGatewayId": "tgw-1"}
    found = list(strange_routes([table("public", local, outside, listed)]))
    assert [one.text for one in found] == [
        "unknown route of twinlock-dev-public: ::/0 to eigw-1",
        "unknown route of twinlock-dev-public: pl-2 to tgw-1",
    ]
    ec2 = Ec2()
    for one in found:
        remove(ec2, one)  # type: ignore[arg-type]
    assert ec2.deleted == [
        {"RouteTableId": "rtb-1", "DestinationIpv6CidrBlock": "::/0"},
        {"RouteTableId": "rtb-1", "DestinationPrefixListId": "pl-2"},
    ]
