"""IPv6 inside the tunnel: a mapping that gives nobody a second address, from the settings to the box and the file."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import SettingsError
from components.ipv6 import host6, prefix6, subnet6
from components.plan import plan
from components.settings import parse
from tests import registry_samples
from tests.agent_samples import ANN, BOB, NOW, Machine, definition, peer, state
from tests.registry_samples import gateway_record
from tests.unit.program_build import VPC, changed
from tests.unit.test_cli_files import client_file
from tests.userdata_samples import gateway_boot
from twinlock.agent.boot import boot_from
from twinlock.agent.box import Box
from twinlock.agent.calls import Call
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import desired
from twinlock.agent.errors import BadBoot
from twinlock.agent.interfaces import SERVICE, side_tunnel, wg_quick_text
from twinlock.agent.nft import Nft
from twinlock.agent.nft import prefix as network
from twinlock.agent.sides import SidedWg
from twinlock.agent.wg import Wg
from twinlock.cli import tunnel
from twinlock.cli.client_formats import network_manager, networkd
from twinlock.cli.private_key import make_private_key
from twinlock.cli.wireguard_file import aged, allowed_networks, wg_quick
from twinlock.registry.definition import DefinitionError, Service, definition_from_json, definition_to_json
from twinlock.registry.ipv6 import address6, addresses, host_networks, network6
from twinlock.registry.model import Peer
from twinlock.registry.reach import names, narrowed
from userdata.boot_args import Twin
from userdata.render import boot_json, render_firewall, render_sysctl

SERVICE6 = Service(name="db6", cidr="2001:db8:50::5/128", port=5432, protocol="tcp")
PREFIX = "fd12:3456:789a::/96"
prefixes = st.sampled_from([PREFIX, "fd00::/96", "2001:db8:1:2:3:4::/96", "fdff:ffff:ffff:ffff:ffff:ffff::/96"])
hosts = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))


@given(prefix=prefixes, one=hosts, other=hosts)
def test_an_ipv6_address_is_one_hosts_and_says_whose(prefix: str, one: str, other: str):
    six = IPv6Address(address6(prefix, one))
    assert six in IPv6Network(prefix)
    assert str(IPv4Address(int(six) & 0xFFFFFFFF)) == one
    assert (address6(prefix, other) == str(six)) == (other == one)


@given(prefix=prefixes, one=hosts, length=st.integers(0, 32), other=hosts)
def test_who_is_in_a_network_by_ipv4_is_in_it_by_ipv6_and_nobody_else(prefix: str, one: str, length: int, other: str):
    network = IPv4Network((one, length), strict=False)
    inside = IPv6Address(address6(prefix, other)) in IPv6Network(network6(prefix, str(network)))
    assert inside == (IPv4Address(other) in network)


def test_without_a_prefix_a_host_has_its_ipv4_address_alone():
    assert addresses("", "10.100.1.1") == ("10.100.1.1",)
    assert host_networks("", "10.100.1.1") == ("10.100.1.1/32",)


# -- settings ---------------------------------------------------------------------------------------------------------


def _prefix(**tunnel: object) -> str:
    return plan(parse(changed(tunnel=tunnel))).prefix6


def test_an_environment_has_no_ipv6_until_it_asks_for_it():
    assert _prefix() == ""


def test_a_private_prefix_follows_from_the_environments_name_and_is_the_same_each_time():
    tunnel = parse(changed(tunnel={"ipv6": True})).tunnel
    one, other = (IPv6Network(str(prefix6(name, tunnel))) for name in ("prod", "dev"))
    assert one == prefix6("prod", tunnel) == IPv6Network("fd6c:8f9d:a72f::/96")
    assert one != other
    assert all(found.subnet_of(IPv6Network("fd00::/8")) for found in (one, other))


def test_a_given_range_is_used_from_its_beginning():
    assert _prefix(ipv6=True, range6="2001:db8:5::/48") == "2001:db8:5::/96"
    assert _prefix(ipv6=True, range6=PREFIX) == PREFIX


@pytest.mark.parametrize(
    ("range6", "says"),
    [
        ("fd12::/97", "must be /48 to /96"),
        ("fd12::/47", "must be /48 to /96"),
        ("::ffff:0:0/96", "neither private nor public"),
        ("fe80::/64", "neither private nor public"),
        ("ff02::/96", "neither private nor public"),
        ("fd00:ec2::/96", "of the cloud or of the gateways"),
        ("fd74:776c:6b00::/64", "of the cloud or of the gateways"),
        ("10.90.0.0/16", "IPv6"),
        ("fd12::1/96", "not a valid IPv6 network"),
    ],
)
def test_a_range_that_could_not_work_is_refused_in_one_line(range6: str, says: str):
    with pytest.raises(SettingsError) as caught:
        parse(changed(tunnel={"ipv6": True, "range6": range6}))
    (problem,) = caught.value.problems
    assert problem.key == "twinlock:tunnel.range6"
    assert says in str(problem) and "\n" not in str(problem)


def test_a_range_that_nothing_would_use_is_refused():
    with pytest.raises(SettingsError, match=r"set twinlock:tunnel\.ipv6 to true"):
        parse(changed(tunnel={"range6": PREFIX}))


DB6 = {"name": "db6", "cidr": "2001:db8:50::5/128", "port": 5432}


@pytest.mark.parametrize("more", [{"services": [DB6]}, {"cidrs": ["2001:db8::/64"]}])
@pytest.mark.parametrize(("tunnel", "network"), [(True, False), (False, True), (False, False)])
def test_a_destination_that_nobody_has_ipv6_towards_is_refused_with_the_mend(
    more: dict[str, object], tunnel: bool, network: bool
):
    tenants = {"x": {"range": "10.90.64.0/24", **more}}
    with pytest.raises(SettingsError) as caught:
        parse(changed(tunnel={"ipv6": tunnel}, network={"ipv6": network}, tenants=tenants))
    (problem,) = caught.value.problems
    assert problem.key.startswith("twinlock:tenants.x.") and "is IPv6, which the environment does not have" in str(
        problem
    )
    assert "set twinlock:network.ipv6 and twinlock:tunnel.ipv6 to true" in str(problem)
    parse(changed(tunnel={"ipv6": True}, network={"ipv6": True}, tenants=tenants))


@pytest.mark.parametrize(
    ("cidr", "says"),
    [
        ("::/0", "neither private nor public"),
        ("fe80::/64", "neither private nor public"),
        ("::ffff:10.0.0.0/104", "neither private nor public"),
        ("64:ff9b::/96", "neither private nor public"),
        ("fd00:ec2::254/128", "of the cloud, the tunnel or the gateways"),
        ("fc00::/7", "of the cloud, the tunnel or the gateways"),
        ("fd74:776c:6b00::2/128", "of the cloud, the tunnel or the gateways"),
        ("fd12:3456:789a::/112", "of the cloud, the tunnel or the gateways"),
        ("2001:db8::1/64", "not a valid IPv4 or IPv6 network"),
    ],
)
def test_a_destination_that_nobody_may_have_is_refused_in_one_line(cidr: str, says: str):
    tunnel, tenants = {"ipv6": True, "range6": PREFIX}, {"x": {"range": "10.90.64.0/24", "cidrs": [cidr]}}
    with pytest.raises(SettingsError) as caught:
        parse(changed(tunnel=tunnel, network={"ipv6": True}, tenants=tenants))
    (problem,) = caught.value.problems
    assert problem.key == "twinlock:tenants.x.cidrs[0]" and says in str(problem) and "\n" not in str(problem)


BLOCK = "2001:db8:1234:5600::/60"


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"ipv6": True, "vpc_id": VPC}, "is missing"),
        ({"ipv6": True, "cidr6": BLOCK}, "is for a VPC that exists"),
        ({"vpc_id": VPC, "cidr6": BLOCK}, "is not used without twinlock:network.ipv6"),
        ({"ipv6": True, "vpc_id": VPC, "cidr6": "2001:db8:1234::/48"}, "must be /56 to /60"),
        ({"ipv6": True, "vpc_id": VPC, "cidr6": "2001:db8:1234:5600::/64"}, "must be /56 to /60"),
        ({"ipv6": True, "vpc_id": VPC, "cidr6": "fe80::/60"}, "neither private nor public"),
        ({"ipv6": True, "vpc_id": VPC, "cidr6": "fd12:3456:789a::/60"}, "overlaps what the tunnel has"),
    ],
)
def test_a_network_of_ipv6_that_could_not_be_is_refused_in_one_line(network: dict[str, object], says: str):
    with pytest.raises(SettingsError) as caught:
        parse(changed(network=network, tunnel={"ipv6": True, "range6": PREFIX}))
    (problem,) = caught.value.problems
    assert problem.key == "twinlock:network.cidr6" and says in str(problem)


def test_each_subnet_has_a_network_of_its_own_out_of_sixteen_and_the_gateway_one_address():
    networks = [IPv6Network(subnet6(BLOCK, number)) for number in range(16)]
    assert len(set(networks)) == 16
    assert all(one.prefixlen == 64 and one.subnet_of(IPv6Network(BLOCK)) for one in networks)
    assert host6(str(networks[1]), 10) == "2001:db8:1234:5601::a"


def test_a_security_groups_rules_for_both_families_are_told_apart_and_ordered():
    tenants = {"x": {"range": "10.90.64.0/24", "services": [DB6], "cidrs": ["2001:db8:5::/48", "10.60.0.0/24"]}}
    made = plan(parse(changed(tunnel={"ipv6": True}, network={"ipv6": True}, tenants=tenants)))
    rules = {rule.name: rule.other for rule in made.rules if rule.description.endswith("of a tenant")}
    assert list(rules.values())[-3:] == ["2001:db8:50::5/128", "10.60.0.0/24", "2001:db8:5::/48"]
    assert all(":" not in name for name in rules)


# -- the definition and the boot arguments ----------------------------------------------------------------------------


def test_the_prefix_comes_through_the_definition():
    made = replace(registry_samples.definition(), prefix6=PREFIX)
    assert definition_from_json(definition_to_json(made)) == made
    with pytest.raises(DefinitionError, match="fd12::/64 is not a /96"):
        definition_from_json(definition_to_json(replace(made, prefix6="fd12::/64")))


def test_a_gateway_that_was_told_no_prefix_does_not_start():
    with pytest.raises(BadBoot, match="is not a /96"):
        boot_from(json.loads(boot_json(gateway_boot(prefix6="fd12::/64"))), "boot.json")


def test_services_by_ipv6_come_through_the_definition_and_an_older_reader_passes_them_over():
    made = replace(registry_samples.definition(), prefix6=PREFIX)
    tenant = replace(made.tenants[0], services6=(SERVICE6,), cidrs6=("2001:db8:5::/48",))
    made = replace(made, tenants=(tenant, *made.tenants[1:]))
    text = definition_to_json(made)
    assert definition_from_json(text) == made
    for one in json.loads(text)["tenants"]:
        assert not [cidr for cidr in (*one["cidrs"], *(each["cidr"] for each in one["services"])) if ":" in cidr]
    with pytest.raises(DefinitionError, match=r"10\.0\.0\.0"):
        definition_from_json(text.replace("2001:db8:5::/48", "10.0.0.0/8"))


@pytest.mark.parametrize("six", ["", "2001:db8:1::10"])
def test_a_gateway_forwards_ipv6_where_its_network_has_it_and_never_to_a_gateway(six: str):
    twins = (Twin(slot="b", private_address="10.0.2.10", private_address6=six and "2001:db8:2::10"),)
    boot = gateway_boot(prefix6=PREFIX, private_address6=six, twins=twins)
    assert boot_from(json.loads(boot_json(boot)), "boot.json").twins[0].private_address6 == twins[0].private_address6
    assert ("net.ipv6.conf.all.forwarding = 1\n" in render_sysctl(boot)) is bool(six)
    (never,) = [line for line in render_firewall(boot).splitlines() if "set never6" in line]
    assert all((address in never) is bool(six) for address in ("2001:db8:1::10", "2001:db8:2::10"))


def test_a_gateway_whose_own_ipv6_address_is_none_does_not_start():
    with pytest.raises(BadBoot, match="2001:db8"):
        boot_from(json.loads(boot_json(gateway_boot(private_address6="2001:db8:1::10/64"))), "boot.json")


@pytest.mark.parametrize(("prefix", "echo"), [(PREFIX, 1), ("", 0)])
def test_a_tunnel_is_answered_by_ipv6_only_where_it_has_any(prefix: str, echo: int):
    text = render_firewall(gateway_boot(prefix6=prefix))
    assert text.count('iifname "wg-service*" ip6 daddr fd12:3456:789a::a64:1 ip6 saddr @served6 icmpv6') == echo


def test_both_sides_of_the_service_have_both_addresses():
    boot = boot_from(json.loads(boot_json(gateway_boot(prefix6=PREFIX))), "boot.json")
    first, second = (wg_quick_text(side_tunnel(boot, SERVICE, number, None)) for number in (0, 1))
    assert "Address = 10.100.0.1/16, fd12:3456:789a::a64:1/112\n" in first
    assert "Address = 10.100.0.1/32, fd12:3456:789a::a64:1/128\n" in second
    assert "ip -6 route add fd12:3456:789a::a64:0/112 dev %i table 7462" in second
    assert second.count("ip -6 rule add") == second.count("ip -6 rule del") == 1
    plain = boot_from(json.loads(boot_json(gateway_boot())), "boot.json")
    assert not any("-6" in wg_quick_text(side_tunnel(plain, SERVICE, number, None)) for number in (0, 1))


# -- the box ----------------------------------------------------------------------------------------------------------


def _state(*peers: Peer, prefix: str = PREFIX):
    return state(*peers, definition=definition(prefix6=prefix))


def _box(machine: Machine) -> Box:
    return Box(Wg(machine), Nft(machine), Conntrack(machine))


def test_a_peer_is_let_in_and_called_with_both_addresses_and_a_second_pass_changes_nothing():
    machine = Machine()
    box, want = _box(machine), desired(_state(peer()), NOW, "a")
    box.reconcile(want)
    assert {"10.100.1.1", "fd12:3456:789a::a64:101"} <= machine.served
    box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    assert machine.peers["wg-service"][ANN]["allowed"] == "10.100.1.1/32, fd12:3456:789a::a64:101/128"
    machine.peers["wg-service"][ANN]["allowed"] = "10.100.1.1/32,fd12:3456:789a::a64:101/128"  # as wg shows it
    again = _box(machine).reconcile(want)
    assert not (again.admit or again.cut or again.service_remove or again.way_add)


def test_who_may_knock_and_whoever_a_rotated_key_carries_over_have_both_addresses():
    machine = Machine()
    box = Box(SidedWg(machine), Nft(machine), Conntrack(machine))
    box.reconcile(desired(_state(peer()), NOW, "a"))
    box.let_knock({ANN: "10.100.1.1"})
    both = "10.100.1.1/32, fd12:3456:789a::a64:101/128"
    assert machine.peers["wg-service"] == {ANN: {"allowed": both}}
    box.carry_over(ANN, BOB, "10.100.1.1")
    assert machine.peers["wg-service"] == {BOB: {"allowed": both.replace(" ", "")}}


def test_a_revoked_peer_loses_both_and_its_connections_of_both_end():
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(_state(peer(), peer("bob", BOB, "10.100.1.2")), NOW, "a"))
    machine.conntrack.update({"10.100.1.1", "fd12:3456:789a::a64:101"})
    box.reconcile(desired(_state(peer("bob", BOB, "10.100.1.2")), NOW, "a"))
    assert not {"10.100.1.1", "fd12:3456:789a::a64:101"} & machine.served
    assert {"10.100.1.2", "fd12:3456:789a::a64:102"} <= machine.served
    assert machine.conntrack == set()


@pytest.mark.parametrize(("before", "after"), [("", PREFIX), (PREFIX, ""), (PREFIX, "fd00::/96")])
def test_a_change_of_the_prefix_reaches_who_is_already_there(before: str, after: str):
    machine = Machine()
    box = _box(machine)
    box.reconcile(desired(_state(peer(), prefix=before), NOW, "a"))
    box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    changes = box.reconcile(desired(_state(peer(), prefix=after), NOW, "a"))
    assert changes.service_remove == (ANN,), "it is called anew, with other addresses"
    assert {one for one in machine.served if ":" in one} == set(addresses(after, "10.100.1.1")) - {"10.100.1.1"}


def _given(prefix: str = PREFIX):
    tenant = replace(definition().tenants[0], services6=(SERVICE6,), cidrs6=("2001:db8:5::/49", "2001:db8:5:8000::/49"))
    return definition(prefix6=prefix, tenants=(tenant, *definition().tenants[1:]))


RANGE6 = "fd12:3456:789a::a64:100/120"
ROW6 = (RANGE6, "2001:db8:50::5/128", "tcp", 5432)


def test_what_a_tenant_reaches_by_ipv6_is_from_its_own_range_and_merged():
    found = desired(state(peer(), definition=_given()), NOW, "a").reach
    assert found.services6 == (ROW6,)
    assert found.networks6 == ((RANGE6, "2001:db8:5::/48"),)
    assert found.given6 == ("2001:db8:5::/48", "2001:db8:50::5/128")
    assert found.services == desired(state(peer()), NOW, "a").reach.services, "and by IPv4 what it did"


def test_without_ipv6_in_the_tunnel_nothing_is_given_by_it():
    found = desired(state(peer(), definition=_given("")), NOW, "a").reach
    assert (found.services6, found.networks6, found.given6) == ((), (), ())


def test_the_firewall_is_told_in_one_transaction():
    machine = Machine()
    _box(machine).reconcile(desired(state(peer(), definition=_given()), NOW, "a"))
    (told,) = machine.transactions
    elements = {e["add"]["element"]["name"]: e["add"]["element"]["elem"] for e in told if "element" in e.get("add", {})}
    six = {"prefix": {"addr": "2001:db8:50::5", "len": 128}}
    assert elements["services6"] == [{"concat": [network(RANGE6), six, "tcp", 5432]}]
    assert elements["given6"] == [network("2001:db8:5::/48"), six]
    flushed = {each["flush"]["set"]["name"] for each in told if "set" in each.get("flush", {})}
    assert {"services6", "networks6", "given6", "narrow6", "narrow_services6", "narrow_networks6"} <= flushed


@pytest.mark.parametrize(
    ("reach", "services6", "networks6"),
    [
        (("db6",), (("fd12:3456:789a::a64:101/128", "2001:db8:50::5/128", "tcp", 5432),), ()),
        (("2001:db8:5::/49",), (), (("fd12:3456:789a::a64:101/128", "2001:db8:5::/49"),)),
        (("database",), (), ()),
    ],
)
def test_a_narrowed_peer_has_what_it_names_by_ipv6_and_is_narrow_by_it_all_the_same(
    reach: tuple[str, ...], services6: object, networks6: object
):
    found = desired(state(peer(reach=reach), definition=_given()), NOW, "a").narrow["10.100.1.1"]
    assert (found.address6, found.services6, found.networks6) == ("fd12:3456:789a::a64:101", services6, networks6)
    assert bool(found.services) == ("database" in reach)


# -- a client's file --------------------------------------------------------------------------------------------------

SIX = "fd12:3456:789a::a40:101/128"


def test_a_client_routes_the_gateways_ipv6_address_and_no_other():
    made = replace(registry_samples.definition(), prefix6=PREFIX)
    (tenant,) = (tenant for tenant in made.tenants if tenant.name == "auto")
    assert allowed_networks(made, tenant, [gateway_record("a")]) == ("10.64.0.1/32", "fd12:3456:789a::a40:1/128")


def test_a_client_routes_what_its_tenant_reaches_by_ipv6_where_it_has_any():
    tenant = replace(registry_samples.definition().tenants[0], storage=False)
    tenant = replace(tenant, services6=(SERVICE6,), cidrs6=("2001:db8:5::/48",))
    for prefix, more in ((PREFIX, {"2001:db8:50::5/128", "2001:db8:5::/48"}), ("", set[str]())):
        made = replace(registry_samples.definition(), prefix6=prefix)
        routed = {cidr for cidr in allowed_networks(made, tenant, []) if cidr.startswith("2001:")}
        assert routed == more


def test_a_service_by_ipv6_is_named_like_any_other():
    tenant = replace(registry_samples.definition().tenants[0], services6=(SERVICE6,), cidrs6=("2001:db8:5::/48",))
    assert names(tenant)[-1] == "2001:db8:5::/48" and "db6" in names(tenant)
    own = narrowed(tenant, ("db6",))
    assert (own.services6, own.cidrs6, own.services, own.storage) == ((SERVICE6,), (), (), False)


def test_every_form_of_a_file_holds_both_addresses():
    file, key = replace(client_file(), prefix6=PREFIX), make_private_key()
    assert f"Address = 10.64.1.1/32, {SIX}\n" in wg_quick(file, key)
    assert f"[ipv6]\naddress1={SIX}\nmethod=manual\n" in network_manager(file, key)
    assert f"Address=10.64.1.1/32\nAddress={SIX}\n" in networkd(file, key)["tl-lab.network"]


def test_a_file_from_before_is_said_to_lack_its_ipv6_address():
    old, new = client_file(), replace(client_file(), prefix6=PREFIX)
    assert aged(wg_quick(old, None), new) == (f"lacks Address {SIX}",)
    assert aged(wg_quick(new, None), new) == ()


@pytest.mark.parametrize("has_ipv6", [True, False])
def test_a_job_on_a_machine_without_ipv6_has_its_tunnel_by_ipv4(monkeypatch: pytest.MonkeyPatch, has_ipv6: bool):
    """`grep` says whether it is switched off; `ip link add` has to work either way."""
    asked: list[list[str]] = []
    monkeypatch.setattr(tunnel, "_works", lambda words: words[0] == "ip" or has_ipv6)
    monkeypatch.setattr(tunnel, "_run", lambda words, stdin="": asked.append(words) or "")
    file = replace(client_file(), prefix6=PREFIX, allowed=("10.64.0.1/32", "fd12:3456:789a::a40:1/128"))
    with tunnel.tunnel("tl-job", file, make_private_key(), namespace=False):
        pass
    added = {words[3] for words in asked if words[:3] in (["ip", "address", "add"], ["ip", "route", "add"])}
    assert added == {"10.64.1.1/32", "10.64.0.1/32", *((SIX, "fd12:3456:789a::a40:1/128") if has_ipv6 else ())}
