"""IPv6 behind the gateways, as the program asks for it: in a network of its own, and in one that exists."""

from __future__ import annotations

import pytest

from components.aws import deployer
from components.errors import SettingsError
from components.settings import parse
from tests.unit.program_build import ACCOUNT, GENERATED6, VPC, Recording, build, changed
from tests.unit.test_program_graph import user_data

DB6 = {"name": "db6", "cidr": "2001:db8:77:ab09::5/128", "port": 5432}
RED = {"range": "10.90.16.0/20", "services": [DB6], "cidrs": ["2001:db8:77:ab0a::/64"]}


def _build(**network: object) -> Recording:
    return build(changed(network={"ipv6": True, **network}, tunnel={"ipv6": True}, tenants={"red": RED}))


@pytest.fixture(scope="module")
def made() -> Recording:
    return _build()


def test_the_network_gets_ipv6_from_the_cloud_and_each_subnet_and_gateway_a_part_of_it(made: Recording):
    assert made.one("Vpc", "vpc").inputs["assignGeneratedIpv6CidrBlock"] is True
    subnets = {each.name.removeprefix("twinlock-test-"): each.inputs["ipv6CidrBlock"] for each in made.of("Subnet")}
    assert subnets == {
        "public-a": "2001:db8:77:ab00::/64", "public-b": "2001:db8:77:ab01::/64",
        "private-a": "2001:db8:77:ab08::/64", "private-b": "2001:db8:77:ab09::/64",
    }  # fmt: skip
    for slot, address in (("a", "2001:db8:77:ab00::a"), ("b", "2001:db8:77:ab01::a")):
        assert made.one("NetworkInterface", f"gateway-{slot}-interface").inputs["ipv6Addresses"] == [address]
    assert made.outputs["network6"] == GENERATED6


def test_each_gateway_is_told_its_own_address_and_its_twins_which_no_peer_reaches(made: Recording):
    text = user_data(made, "a")
    assert '"private_address6": "2001:db8:77:ab00::a"' in text and "net.ipv6.conf.all.forwarding = 1" in text
    (never,) = [line for line in text.splitlines() if "set never6" in line]
    assert "2001:db8:77:ab00::a" in never and "2001:db8:77:ab01::a" in never


def test_gateways_may_send_to_the_tenants_destinations_by_ipv6_and_nowhere_else(made: Recording):
    rules = [each for kind in ("SecurityGroupEgressRule", "SecurityGroupIngressRule") for each in made.of(kind)]
    six = {each.inputs["cidrIpv6"]: each.inputs for each in rules if each.inputs.get("cidrIpv6")}
    assert six.keys() == {DB6["cidr"], "2001:db8:77:ab0a::/64"}
    assert (six[DB6["cidr"]]["ipProtocol"], six[DB6["cidr"]]["fromPort"]) == ("tcp", 5432)
    assert not [each for each in rules if each.inputs.get("cidrIpv6") and each.inputs.get("cidrIpv4")]
    assert not [each.inputs for each in made.of("Route") if each.inputs.get("destinationIpv6CidrBlock")]


def test_the_registry_says_which_service_is_reached_by_ipv6(made: Recording):
    (item,) = [each.inputs["item"] for each in made.of("TableItem") if "services6" in each.inputs["item"]]
    assert DB6["cidr"] in item and "2001:db8:77:ab0a::/64" in item


def test_without_it_nothing_of_ipv6_is_asked_for():
    plain = build()
    assert "assignGeneratedIpv6CidrBlock" not in plain.one("Vpc", "vpc").inputs
    assert not [each for each in plain.of("Subnet") if "ipv6CidrBlock" in each.inputs]
    assert not [each for each in plain.of("NetworkInterface") if "ipv6Addresses" in each.inputs]
    assert "network6" not in plain.outputs and "net.ipv6.conf.all.forwarding" not in user_data(plain, "a")


def test_in_an_existing_network_the_named_part_is_used():
    made = _build(vpc_id=VPC, cidr="10.20.0.0/20", cidr6="2001:db8:1234:5610::/60")
    assert made.one("Subnet", "private-b").inputs["ipv6CidrBlock"] == "2001:db8:1234:5619::/64"
    assert made.one("NetworkInterface", "gateway-b-interface").inputs["ipv6Addresses"] == ["2001:db8:1234:5611::a"]


@pytest.mark.parametrize(
    ("cidr6", "told"),
    [
        ("2001:db8:9999::/60", f"is no part of {VPC} (2001:db8:1234:5600::/56)"),
        ("2001:db8:1234:5640::/60", "holds subnet-taken (2001:db8:1234:5640::/64) already"),
    ],
)
def test_a_part_that_does_not_fit_an_existing_network_is_told_before_the_first_resource(cidr6: str, told: str):
    with pytest.raises(SettingsError) as error:
        _build(vpc_id=VPC, cidr="10.20.0.0/20", cidr6=cidr6)
    assert f"twinlock:network.cidr6 = {cidr6}: {told}" in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_who_deploys_may_give_a_network_ipv6_where_it_is_to_have_any():
    def rights(ipv6: bool) -> str:
        settings = parse(changed(network={"ipv6": ipv6}, tunnel={"ipv6": True}))
        return str(deployer.policies(settings, ACCOUNT)["network"])

    assert "AssociateSubnetCidrBlock" in rights(True) and "AssociateSubnetCidrBlock" not in rights(False)
