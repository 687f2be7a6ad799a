"""IPv6 inside the tunnel: a mapping that gives nobody a second address, from the settings to the box and the file."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import SettingsError
from components.ipv6 import prefix6
from components.plan import plan
from components.settings import parse
from tests import registry_samples
from tests.agent_samples import ANN, BOB, NOW, Machine, definition, peer, state
from tests.registry_samples import gateway_record
from tests.unit.program_build import changed
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
from twinlock.agent.sides import SidedWg
from twinlock.agent.wg import Wg
from twinlock.cli import tunnel
from twinlock.cli.client_formats import network_manager, networkd
from twinlock.cli.private_key import make_private_key
from twinlock.cli.wireguard_file import aged, allowed_networks, wg_quick
from twinlock.registry.definition import DefinitionError, definition_from_json, definition_to_json
from twinlock.registry.ipv6 import address6, addresses, host_networks, network6
from twinlock.registry.model import Peer
from userdata.render import boot_json, render_firewall

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


@pytest.mark.parametrize(
    "more", [{"services": [{"name": "db", "cidr": "2001:db8::5/128", "port": 5432}]}, {"cidrs": ["2001:db8::/64"]}]
)
def test_a_destination_that_gateways_have_no_ipv6_towards_is_refused_with_that_reason(more: dict[str, object]):
    with pytest.raises(SettingsError, match="the gateways' network has no IPv6") as caught:
        parse(changed(tunnel={"ipv6": True}, tenants={"x": {"range": "10.90.64.0/24", **more}}))
    assert len(caught.value.problems) == 1


# -- the definition and the boot arguments ----------------------------------------------------------------------------


def test_the_prefix_comes_through_the_definition():
    made = replace(registry_samples.definition(), prefix6=PREFIX)
    assert definition_from_json(definition_to_json(made)) == made
    with pytest.raises(DefinitionError, match="fd12::/64 is not a /96"):
        definition_from_json(definition_to_json(replace(made, prefix6="fd12::/64")))


def test_a_gateway_that_was_told_no_prefix_does_not_start():
    with pytest.raises(BadBoot, match="is not a /96"):
        boot_from(json.loads(boot_json(gateway_boot(prefix6="fd12::/64"))), "boot.json")


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


# -- a client's file --------------------------------------------------------------------------------------------------

SIX = "fd12:3456:789a::a40:101/128"


def test_a_client_routes_the_gateways_ipv6_address_and_no_other():
    made = replace(registry_samples.definition(), prefix6=PREFIX)
    (tenant,) = (tenant for tenant in made.tenants if tenant.name == "auto")
    assert allowed_networks(made, tenant, [gateway_record("a")]) == ("10.64.0.1/32", "fd12:3456:789a::a40:1/128")


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
