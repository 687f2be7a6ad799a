"""The fabric's filters, with real packets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.fabric import Fabric, kernel
from lab.topology import Rule
from tests.boot import fabric_samples as sample
from tests.boot.fabric_samples import (
    ALL,
    ALL_OUT,
    ANYWHERE,
    INTERNET,
    PUBLIC_A,
    A,
    B,
    C,
    allow_in,
    arrives,
    cloud,
    interface,
    never_arrives,
    subnet,
    udp,
    with_interface,
)

TUNNEL = allow_in("udp", 51820)


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    made = Fabric("fabfil", sample.NAMES)
    made.start()
    yield made
    made.teardown()


SIX_A, SIX_C = "2001:db8:1:1::11", "2001:db8:1:2::13"
OUT6 = Rule(direction="out", protocol="tcp", ports=(5432, 5432), cidrs=(f"{SIX_C}/128",))
IN6 = Rule(direction="in", protocol="tcp", ports=(5432, 5432), cidrs=("::/0",))


def test_ipv6_passes_between_interfaces_of_a_network_as_their_groups_say_and_no_further(fabric: Fabric) -> None:
    gateway, service = interface(1, A), interface(3, C, IN6, subnet="subnet-2")
    without = cloud(replace(gateway, rules=(ALL_OUT,), addresses6=(SIX_A,)), replace(service, addresses6=(SIX_C,)))
    fabric.apply(without)
    here, there = (fabric.machine_namespace(name) for name in ("i-1", "i-3"))
    listening = kernel.inside(there, lambda: socket.create_server((SIX_C, 5432), family=socket.AF_INET6))
    with listening:
        assert sample.connects(here, (SIX_C, 5432), seconds=0.5) is None, "a rule for IPv4 lets no IPv6 out"
        fabric.apply(with_interface(without, replace(gateway, rules=(OUT6,), addresses6=(SIX_A,))))
        made = sample.connects(here, (SIX_C, 5432))
        assert made is not None
        made.close()
        assert listening.accept()[1][0] == SIX_A
        assert sample.connects(here, (SIX_C, 22), seconds=0.5) is None
        kernel.inside_run(here, ["ip", "-6", "addr", "add", "2001:db8:1:1::99/128", "dev", "ens5", "nodad"])
        kernel.inside_run(here, ["ip", "-6", "addr", "del", f"{SIX_A}/128", "dev", "ens5"])
        assert sample.connects(here, (SIX_C, 5432), seconds=0.5) is None, "from an address that is not its own"


def test_a_group_that_opens_lets_traffic_in_and_one_that_closes_stops_it_at_once(fabric: Fabric) -> None:
    closed = interface(1, A, ALL_OUT, public=PUBLIC_A)
    fabric.apply(cloud(closed))
    client = udp(fabric.add_client("c"), ALL, 4000)
    gateway = udp(fabric.machine_namespace("i-1"), A, 51820)
    assert never_arrives(client, gateway, (PUBLIC_A, 51820))

    fabric.apply(cloud(replace(closed, rules=(ALL_OUT, TUNNEL))))
    assert arrives(client, gateway, (PUBLIC_A, 51820)) == (fabric.client_address("c"), 4000)

    fabric.apply(cloud(closed))
    assert never_arrives(client, gateway, (PUBLIC_A, 51820))


def test_only_the_named_port_and_range_get_in(fabric: Fabric) -> None:
    client = fabric.add_client("c")
    only = allow_in("udp", 51820, f"{fabric.client_address('c')}/32")
    fabric.apply(cloud(interface(1, A, ALL_OUT, only, public=PUBLIC_A)))
    other = udp(fabric.add_client("d"), ALL)
    namespace = fabric.machine_namespace("i-1")
    right, wrong = udp(namespace, A, 51820), udp(namespace, A, 51821)
    assert arrives(udp(client, ALL), right, (PUBLIC_A, 51820))
    assert never_arrives(udp(client, ALL), wrong, (PUBLIC_A, 51821))
    assert never_arrives(other, right, (PUBLIC_A, 51820))


def test_an_answer_comes_back_through_a_group_without_rules_for_it(fabric: Fabric) -> None:
    fabric.apply(cloud(interface(1, A, ALL_OUT, public=PUBLIC_A)))
    client = udp(fabric.add_client("c"), ALL, 4000)
    gateway = udp(fabric.machine_namespace("i-1"), A, 5000)
    assert never_arrives(client, gateway, (PUBLIC_A, 5000))
    assert arrives(gateway, client, (fabric.client_address("c"), 4000)) == (PUBLIC_A, 5000)
    assert arrives(client, gateway, (PUBLIC_A, 5000))


def test_a_machine_sends_only_what_its_own_rules_let_out(fabric: Fabric) -> None:
    only_dns = Rule(direction="out", protocol="udp", ports=(53, 53), cidrs=(ANYWHERE,))
    fabric.apply(cloud(interface(1, A, only_dns, public=PUBLIC_A)))
    client = fabric.add_client("c")
    there = fabric.client_address("c")
    gateway = udp(fabric.machine_namespace("i-1"), A)
    assert arrives(gateway, udp(client, ALL, 53), (there, 53))
    assert never_arrives(gateway, udp(client, ALL, 54), (there, 54))


def test_machines_of_a_network_need_the_senders_rules_and_the_receivers(fabric: Fabric) -> None:
    sender, receiver = interface(1, A, ALL_OUT), interface(2, B, TUNNEL)
    topology = cloud(sender, receiver)
    fabric.apply(topology)
    one, two = udp(fabric.machine_namespace("i-1"), A), udp(fabric.machine_namespace("i-2"), B, 51820)
    assert arrives(one, two, (B, 51820)) == (A, one.getsockname()[1])

    fabric.apply(with_interface(topology, replace(sender, rules=())))
    assert never_arrives(one, two, (B, 51820))
    fabric.apply(with_interface(topology, replace(receiver, rules=())))
    assert never_arrives(one, two, (B, 51820))


def test_a_subnets_acl_is_stateless_and_its_first_match_decides(fabric: Fabric) -> None:
    def rule(direction: str, action: str, cidr: str) -> Rule:
        return Rule(direction=direction, protocol="any", ports=None, cidrs=(cidr,), action=action)  # type: ignore[arg-type]

    everything = (rule("in", "allow", ANYWHERE), rule("out", "allow", ANYWHERE))
    client = fabric.add_client("c")
    refused = rule("in", "deny", f"{fabric.client_address('c')}/32")
    gateway_interface = interface(1, A, ALL_OUT, TUNNEL, public=PUBLIC_A)
    fabric.apply(cloud(gateway_interface, subnets=(subnet(1, INTERNET, acl=everything), subnet(2))))
    one, gateway = udp(client, ALL, 4000), udp(fabric.machine_namespace("i-1"), A, 51820)
    assert arrives(one, gateway, (PUBLIC_A, 51820))

    fabric.apply(cloud(gateway_interface, subnets=(subnet(1, INTERNET, acl=(refused, *everything)), subnet(2))))
    assert arrives(gateway, one, (fabric.client_address("c"), 4000))
    assert never_arrives(one, gateway, (PUBLIC_A, 51820)), "a flow that is under way passes no stateless list"


def test_an_acl_is_not_asked_inside_its_subnet(fabric: Fabric) -> None:
    nothing = (Rule(direction="in", protocol="any", ports=None, cidrs=(ANYWHERE,), action="deny"),)
    machines = (
        interface(1, A, ALL_OUT, TUNNEL),
        interface(2, B, TUNNEL),
        interface(3, C, ALL_OUT, subnet="subnet-2"),
    )
    fabric.apply(cloud(*machines, subnets=(subnet(1, INTERNET, acl=nothing), subnet(2))))
    two = udp(fabric.machine_namespace("i-2"), B, 51820)
    assert arrives(udp(fabric.machine_namespace("i-1"), A), two, (B, 51820))
    assert never_arrives(udp(fabric.machine_namespace("i-3"), C), two, (B, 51820))


def test_a_foreign_source_address_leaves_only_an_interface_without_address_check(fabric: Fabric) -> None:
    sender, receiver = interface(1, A, ALL_OUT), interface(2, B, TUNNEL)
    topology = cloud(sender, receiver)
    fabric.apply(topology)
    here = fabric.machine_namespace("i-1")
    sample.inside_ip(here, "address add 172.16.0.1/32 dev lo")
    own, foreign = udp(here, A), udp(here, "172.16.0.1")
    two = udp(fabric.machine_namespace("i-2"), B, 51820)
    assert arrives(own, two, (B, 51820))
    assert never_arrives(foreign, two, (B, 51820))
    fabric.apply(with_interface(topology, replace(sender, address_check=False)))
    assert arrives(foreign, two, (B, 51820)) == ("172.16.0.1", foreign.getsockname()[1])


def test_udp_flows_are_forgotten_when_the_cloud_forgets_them(fabric: Fabric) -> None:
    fabric.apply(cloud(interface(1, A, ALL_OUT, TUNNEL, public=PUBLIC_A)))
    client = udp(fabric.add_client("c"), ALL, 4000)
    gateway = udp(fabric.machine_namespace("i-1"), A, 51820)

    def seconds_left() -> int:
        listed = kernel.inside_run(fabric.network_namespace("vpc-1"), ["conntrack", "-L", "--orig-dst", A])
        return int(listed.split()[2])

    assert arrives(client, gateway, (PUBLIC_A, 51820))
    assert 0 < seconds_left() <= 30, "seen in one direction alone"
    time.sleep(2.1)  # the kernel calls it a stream from its third second on
    for _ in range(2):
        assert arrives(gateway, client, (fabric.client_address("c"), 4000))
        assert arrives(client, gateway, (PUBLIC_A, 51820))
    assert 30 < seconds_left() <= 180
