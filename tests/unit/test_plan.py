"""Where everything goes, whatever was asked for."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.checks import SERVICES_LIMIT
from components.errors import SettingsError
from components.plan import Plan, admitted, plan
from components.settings import parse
from tests.unit.program_build import CONFIG, RED, changed

SHARING = {
    name: {"range": cidr, "source_address": "gateway"}
    for name, cidr in (("red", "10.90.16.0/20"), ("blue", "10.90.32.0/20"))
}
ZONES = [f"eu-west-1{letter}" for letter in "abcdefgh"]


def planned(**objects: object) -> Plan:
    return plan(parse(changed(**objects)))


vpcs = st.builds(
    lambda number, prefix: IPv4Network((int(IPv4Address("172.16.0.0")) + (number << 16), prefix)),
    st.integers(0, 15),
    st.integers(16, 24),
)


@given(cidr=vpcs, zones=st.integers(2, 8))
def test_subnets_lie_in_the_network_and_apart_with_room_for_a_gateway(cidr: IPv4Network, zones: int):
    slots = planned(network={"cidr": str(cidr), "zones": ZONES[:zones]}, tenants=SHARING).slots
    subnets = [IPv4Network(text) for slot in slots for text in (slot.public_subnet, slot.private_subnet)]
    assert all(subnet.subnet_of(cidr) and 16 <= subnet.prefixlen <= 28 for subnet in subnets)
    assert not any(one.overlaps(other) for one, other in combinations(subnets, 2))
    for slot in slots:
        hosts = list(IPv4Network(slot.public_subnet).hosts())
        # AWS keeps the first four addresses and the last.
        assert IPv4Address(slot.private_address) in hosts[3:]


@given(zones=st.integers(2, 7))
def test_another_zone_moves_nothing_that_stands(zones: int):
    before, after = planned(network={"zones": ZONES[:zones]}), planned(network={"zones": ZONES[: zones + 1]})
    assert after.slots[:zones] == before.slots


def test_slots_are_named_in_the_order_of_their_zones():
    slots = planned(network={"zones": ["eu-west-1c", "eu-west-1a"]}).slots
    assert [(slot.name, slot.zone) for slot in slots] == [("a", "eu-west-1c"), ("b", "eu-west-1a")]


def test_the_service_has_the_first_address_of_the_tunnel():
    assert planned().gateway_address == "10.90.0.1"


def test_only_the_tunnels_port_and_the_pair_channel_come_in():
    incoming = {(rule.protocol, rule.ports, rule.other) for rule in planned().rules if rule.direction == "in"}
    assert incoming == {
        ("udp", (51820, 51820), "198.51.100.0/24"),
        ("udp", (51820, 51820), "203.0.113.0/24"),
        ("udp", (51823, 51823), "gateways"),
    }


def test_gateways_may_call_their_clients_at_any_port_and_nobody_else():
    calls = {rule.other for rule in planned().rules if rule.direction == "out" and rule.ports == (0, 65535)}
    assert calls == {"198.51.100.0/24", "203.0.113.0/24"}


def test_a_baked_image_needs_no_mirror():
    def plain(stock: bool) -> list[str]:
        return [rule.name for rule in planned(gateway={"stock_image": stock}).rules if rule.ports == (80, 80)]

    assert plain(True) == ["mirror-out"]
    assert plain(False) == []


def test_a_service_that_two_tenants_share_is_one_rule():
    service = {"name": "db", "cidr": "10.20.128.5/32", "port": 5432}
    tenants = {
        name: {"range": f"10.90.{number}.0/24", "services": [service]} for name, number in (("x", 64), ("y", 65))
    }
    rules = [rule for rule in planned(tenants=tenants).rules if rule.ports == (5432, 5432)]
    assert [(rule.direction, rule.protocol, rule.other) for rule in rules] == [("out", "tcp", "10.20.128.5/32")]


def test_what_the_settings_allow_at_most_fits_into_one_security_group():
    """AWS, "Amazon VPC quotas": 60 rules a direction; a prefix list of S3's or DynamoDB's weighs one."""
    clients = [f"203.0.113.{number}/32" for number in range(20)]
    cidrs = [f"10.50.{number}.0/24" for number in range(SERVICES_LIMIT)]
    red = {"range": "10.90.16.0/20", "cidrs": cidrs, "internet": True}
    made = planned(
        tunnel={"client_ranges": clients, "ipv6": True}, tenants={"red": red}, network={"interface_endpoints": True},
        gateway={"stock_image": True},
    )  # fmt: skip
    for direction in ("in", "out"):
        assert sum(rule.direction == direction for rule in made.rules) <= 60
    with pytest.raises(SettingsError, match="35 destinations"):
        planned(tunnel={"ipv6": True}, tenants={"red": {**red, "cidrs": [*cidrs, "10.51.0.0/24"]}})


def test_gateways_reach_everything_only_where_a_tenant_reaches_the_internet():
    def wide(**red: object) -> list[str]:
        tenants = {"red": {"range": "10.90.16.0/20", **red}}
        made = planned(tunnel={"ipv6": True}, tenants=tenants, network={"interface_endpoints": True},
                       gateway={"stock_image": False})  # fmt: skip
        return [f"{rule.direction} {rule.name}" for rule in made.rules if rule.other == "0.0.0.0/0"]

    assert (wide(), wide(internet=False), wide(internet=True)) == ([], [], ["out internet-out"])


def test_gateways_answer_for_the_zones_that_were_named_and_no_rule_changes():
    """Nothing comes in for it, and a group can't filter what goes to the network's own resolver."""
    zones = {"dns": {"zones": ["corp.internal", "a.example.com"]}}
    assert planned(tunnel=zones).zones == ("a.example.com", "corp.internal")
    assert planned().zones == planned().all_zones == ()
    assert planned(tunnel=zones).rules == planned().rules


def test_of_private_endpoints_peers_find_the_storages_alone():
    """Where an environment has them and names; the other APIs are no tenant's."""
    endpoints = {"interface_endpoints": True}
    made = planned(network=endpoints, tunnel={"dns": {}})
    assert (made.zones, made.storage_zone) == ((), "s3.eu-west-1.amazonaws.com")
    assert made.all_zones == ("s3.eu-west-1.amazonaws.com",)
    both = planned(network=endpoints, tunnel={"dns": {"zones": ["z.internal", "s3.eu-west-1.amazonaws.com"]}})
    assert both.all_zones == ("s3.eu-west-1.amazonaws.com", "z.internal")
    assert planned(network=endpoints).all_zones == ()
    assert planned(tunnel={"dns": {"zones": ["z.internal"]}}).storage_zone == ""


def test_names_of_rules_are_unique():
    names = [rule.name for rule in planned().rules]
    assert len(set(names)) == len(names)


def test_a_bucket_admits_the_principals_of_its_own_tenants_alone():
    settings = parse(CONFIG)
    assert admitted(settings, "data") == (RED,)
    assert admitted(settings, "logs") == ()


def test_descriptions_of_rules_have_only_the_characters_that_aws_takes():
    # "Security group rules", Amazon VPC User Guide: up to 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*
    allowed = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
    assert all(allowed.fullmatch(rule.description) for rule in planned().rules)
