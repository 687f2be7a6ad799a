"""What the fabric makes of a topology, and what it touches when the topology changes: all of it pure."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lab.fabric import filters, names
from lab.fabric.difference import Steps, difference
from lab.fabric.names import Namespaces
from lab.fabric.stale import stale_flows
from lab.fabric.wiring import Wiring, wire
from lab.topology import Interface, Route, Rule, Topology
from tests.boot.fabric_samples import (
    ALL_OUT,
    ANYWHERE,
    INTERNET,
    PUBLIC_A,
    PUBLIC_B,
    A,
    B,
    C,
    allow_in,
    cloud,
    interface,
    subnet,
)

SPACES = Namespaces("unit")
TUNNEL = allow_in("udp", 51820)
ONE, TWO = interface(1, A, ALL_OUT, TUNNEL, public=PUBLIC_A), interface(2, B, ALL_OUT)
PAIR = cloud(ONE, TWO)
NOTHING = Topology(networks=(), machines=())


def steps(before: Topology, after: Topology) -> Steps:
    return difference(wire(before, SPACES), wire(after, SPACES))


def rules(topology: Topology) -> str:
    return wire(topology, SPACES).rulesets["unit-vpc-1"]


def test_the_same_topology_again_is_nothing_to_do() -> None:
    assert steps(PAIR, PAIR).nothing
    assert not steps(NOTHING, PAIR).nothing


@given(st.lists(st.sampled_from([ONE, TWO, interface(3, C, subnet="subnet-2")]), unique=True))
def test_going_away_and_coming_back_ends_where_it_began(interfaces: list[Interface]) -> None:
    there, back = steps(PAIR, cloud(*interfaces)), steps(cloud(*interfaces), PAIR)
    assert set(there.remove) == set(back.hosts)
    assert set(there.unplug) == set(back.plug)


def test_rules_that_change_touch_the_ruleset_alone() -> None:
    done = steps(PAIR, cloud(replace(ONE, rules=()), TWO))
    assert [namespace for namespace, _ in done.rulesets] == ["unit-vpc-1"]
    assert replace(done, rulesets=()).nothing


def test_a_public_address_that_moves_within_a_network_touches_the_ruleset_alone() -> None:
    done = steps(PAIR, cloud(replace(ONE, public=()), replace(TWO, public=((B, PUBLIC_A),))))
    assert done.rulesets and replace(done, rulesets=()).nothing


def test_a_route_that_changes_its_target_is_replaced_in_one_step() -> None:
    def to(interface_id: str) -> Topology:
        route = Route(destination="10.100.0.0/16", kind="interface", target=interface_id)
        return cloud(ONE, TWO, subnets=(subnet(1, INTERNET, route), subnet(2)))

    done = steps(to("eni-1"), to("eni-2"))
    assert not done.drop and len(done.put) == 1
    assert names.interface_device("eni-2") in done.put[0][1].rest


def test_settings_of_an_unplugged_cable_are_not_dropped_one_by_one() -> None:
    done = steps(PAIR, cloud(ONE))
    devices = {names.interface_device("eni-2")}
    assert {cable.near_device for cable in done.unplug} == devices
    assert [key[1] for key, _ in done.drop] == ["rule"], "only a rule outlives its device"
    assert done.remove == ("unit-i-2",)


def test_an_interface_on_no_machine_has_no_cable_and_no_address() -> None:
    loose = wire(replace(PAIR, machines=PAIR.machines[:1]), SPACES)
    assert names.interface_device("eni-2") not in {cable.near_device for cable in loose.cables}
    assert ("unit-vpc-1", "route", B) not in loose.settings


def test_a_route_to_what_is_not_there_is_a_black_hole() -> None:
    for kind in ("interface", "endpoint"):
        route = Route(destination="172.16.0.0/12", kind=kind, target="gone")  # type: ignore[arg-type]
        wiring = wire(cloud(ONE, subnets=(subnet(1, route), subnet(2))), SPACES)
        assert ("unit-vpc-1", "route", f"blackhole 172.16.0.0/12 table {names.table('subnet-1')}") in wiring.settings


def test_what_has_no_route_is_never_looked_up_elsewhere() -> None:
    wiring = wire(cloud(ONE, subnets=(subnet(1), subnet(2))), SPACES)
    for name in ("subnet-1", "subnet-2"):
        last = ("unit-vpc-1", "route", f"blackhole default metric 9999 table {names.table(name)}")
        assert last in wiring.settings


def test_a_route_of_ipv6_is_passed_over() -> None:
    route = Route(destination="::/0", kind="internet", target="")
    plain = cloud(interface(1, A), subnets=(subnet(1), subnet(2)))
    assert steps(plain, cloud(interface(1, A), subnets=(subnet(1, route), subnet(2)))).nothing


def test_a_rule_of_ipv6_is_in_that_familys_table_alone() -> None:
    six = Rule(direction="in", protocol="tcp", ports=(5432, 5432), cidrs=("2001:db8::/64", "10.0.0.0/8"))
    four, by6 = rules(cloud(interface(1, A, six))).split("table ip6 fabric {")
    assert "ip saddr { 10.0.0.0/8 } tcp dport 5432 return" in four and "2001:db8" not in four
    assert "ip6 saddr { 2001:db8::/64 } tcp dport 5432 return" in by6 and "10.0.0.0" not in by6


def test_an_interface_with_ipv6_is_reached_by_its_address_and_sends_to_the_router() -> None:
    wiring = wire(cloud(replace(interface(1, A), addresses6=("2001:db8:1:1::11",))), SPACES)
    (cable,) = [one for one in wiring.cables if one.ipv6]
    six = {key[1:]: setting.rest for key, setting in wiring.settings.items() if ":" in key[2]}
    assert six == {
        ("address", f"fe80::1/64 dev {cable.near_device}"): "nodad",
        ("route", "2001:db8:1:1::11/128"): f"dev {cable.near_device}",
        ("address", "2001:db8:1:1::11/128"): "dev ens5 nodad",
        ("route", "::/0"): "via fe80::1 dev ens5",
    }


def test_overlapping_ranges_of_a_rule_become_one() -> None:
    rule = Rule(direction="in", protocol="tcp", ports=(443, 443), cidrs=("10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"))
    assert "ip saddr { 10.0.0.0/8 } tcp dport 443 return" in rules(cloud(interface(1, A, rule)))


def test_a_rule_for_everybody_has_no_range_and_one_for_nobody_no_line() -> None:
    nobody = Rule(direction="in", protocol="tcp", ports=(1, 2), cidrs=())
    text = rules(cloud(interface(1, A, TUNNEL, nobody)))
    assert "    udp dport 51820 return\n" in text
    assert "dport 1-2" not in text


def test_a_rule_that_ends_for_everybody_ends_its_flows_and_a_narrow_one_does_not() -> None:
    narrow = allow_in("udp", 4000, "198.51.100.0/24")
    before = cloud(replace(ONE, rules=(TUNNEL, narrow)), TWO)
    assert stale_flows(before, cloud(replace(ONE, rules=(narrow,)), TWO), SPACES) == {"unit-vpc-1": {A}}
    assert stale_flows(before, cloud(replace(ONE, rules=(TUNNEL,)), TWO), SPACES) == {}


def test_flows_of_both_sides_of_a_moved_address_end() -> None:
    after = cloud(replace(ONE, public=((A, PUBLIC_B),)), replace(TWO, public=((B, PUBLIC_A),)))
    assert stale_flows(PAIR, after, SPACES) == {"unit-vpc-1": {A, B}}


def test_nothing_gets_in_where_nobody_has_a_public_address() -> None:
    (network,) = cloud(TWO).networks
    text = filters.ruleset(network, (TWO,))
    assert f'iifname "{names.UPLINK}" drop' in text and f'oifname "{names.UPLINK}" drop' in text
    assert ANYWHERE not in text


@given(st.text(min_size=1), st.text(min_size=1))
def test_device_names_fit_the_kernel_and_differ(one: str, other: str) -> None:
    for name in (names.interface_device, names.endpoint_device, names.uplink_device):
        assert len(name(one)) <= 15
        assert (name(one) == name(other)) == (one == other)


def test_the_two_ends_of_a_link_differ_and_are_nobody_elses() -> None:
    owners = [f"vpc-{n}" for n in range(50)]
    addresses = [address for owner in owners for address in names.link_addresses(owner)]
    assert len(set(addresses)) == 100
    assert all(address.startswith("100.") for address in addresses)


def test_an_empty_wiring_is_what_a_fabric_starts_from() -> None:
    assert wire(NOTHING, SPACES) == Wiring()
