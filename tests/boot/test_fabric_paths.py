"""The fabric's routes, translation, endpoints, clients and names, with real packets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.fabric import Fabric, FabricError, kernel
from lab.topology import Route
from tests.boot import fabric_samples as sample
from tests.boot.fabric_samples import (
    ALL,
    ALL_OUT,
    INTERNET,
    PUBLIC_A,
    PUBLIC_B,
    STORAGE,
    A,
    B,
    C,
    allow_in,
    arrives,
    cloud,
    connects,
    inside_ip,
    interface,
    never_arrives,
    subnet,
    udp,
)
from tests.within import within

PREFIX = "fabpath"
TUNNEL = allow_in("udp", 51820)
GATEWAY = interface(1, A, ALL_OUT, TUNNEL, public=PUBLIC_A)


@pytest.fixture
def doors() -> dict[str, socket.socket]:
    return {}


@pytest.fixture
def fabric(doors: dict[str, socket.socket]) -> Iterator[Fabric]:
    made = Fabric(PREFIX, sample.NAMES, on_endpoint=doors.__setitem__, on_network=doors.__setitem__)
    made.start()
    yield made
    made.teardown()


def test_applying_the_same_again_disturbs_no_flow(fabric: Fabric) -> None:
    fabric.apply(cloud(GATEWAY, interface(2, B)))
    pair = udp(fabric.add_client("c"), ALL), udp(fabric.machine_namespace("i-1"), A, 51820)
    assert arrives(*pair, (PUBLIC_A, 51820))
    fabric.apply(cloud(GATEWAY, interface(2, B)))
    assert arrives(*pair, (PUBLIC_A, 51820))


def test_a_subnet_without_a_route_to_the_internet_has_none(fabric: Fabric) -> None:
    there = fabric.add_client("c")
    client, to = udp(there, ALL, 4000), (fabric.client_address("c"), 4000)
    fabric.apply(cloud(GATEWAY, subnets=(subnet(1), subnet(2))))
    gateway = udp(fabric.machine_namespace("i-1"), A)
    assert never_arrives(gateway, client, to)
    fabric.apply(cloud(GATEWAY, subnets=(subnet(1, INTERNET), subnet(2))))
    assert arrives(gateway, client, to)
    hole = Route(destination=f"{to[0]}/32", kind="blackhole", target="")
    fabric.apply(cloud(GATEWAY, subnets=(subnet(1, INTERNET, hole), subnet(2))))
    assert never_arrives(gateway, client, to), "the longest prefix decides"


def test_a_machine_without_a_public_address_gets_nothing_out(fabric: Fabric) -> None:
    client = udp(fabric.add_client("c"), ALL, 4000)
    fabric.apply(cloud(interface(1, A, ALL_OUT), interface(2, B, ALL_OUT, public=PUBLIC_B)))
    to = (fabric.client_address("c"), 4000)
    assert never_arrives(udp(fabric.machine_namespace("i-1"), A), client, to)
    assert arrives(udp(fabric.machine_namespace("i-2"), B, 4001), client, to) == (PUBLIC_B, 4001)


def test_a_public_address_that_moves_takes_its_traffic_along_at_once(fabric: Fabric) -> None:
    other = interface(2, B, ALL_OUT, TUNNEL)
    fabric.apply(cloud(GATEWAY, other))
    client = udp(fabric.add_client("c", nat="port-restricted"), ALL, 4000)
    one, two = (udp(fabric.machine_namespace(f"i-{n}"), a, 51820) for n, a in ((1, A), (2, B)))
    assert arrives(client, one, (PUBLIC_A, 51820))
    fabric.apply(cloud(replace(GATEWAY, public=()), replace(other, public=((B, PUBLIC_A),))))
    came_from = arrives(client, two, (PUBLIC_A, 51820))
    assert came_from and arrives(two, client, came_from) == (PUBLIC_A, 51820)
    assert never_arrives(client, one, (PUBLIC_A, 51820))


def test_machines_reach_each_other_by_public_addresses_too(fabric: Fabric) -> None:
    fabric.apply(cloud(GATEWAY, interface(2, B, ALL_OUT, public=PUBLIC_B)))
    two, one = udp(fabric.machine_namespace("i-2"), B, 6000), udp(fabric.machine_namespace("i-1"), A, 51820)
    assert arrives(two, one, (PUBLIC_A, 51820)) == (PUBLIC_B, 6000)


def test_a_route_to_an_interface_carries_other_subnets_through_it(fabric: Fabric) -> None:
    through = Route(destination="10.100.0.0/16", kind="interface", target="eni-1")
    inside = replace(GATEWAY, address_check=False, rules=(ALL_OUT, allow_in("udp", 7000)))
    worker = interface(3, C, ALL_OUT, subnet="subnet-2")
    fabric.apply(cloud(inside, worker, subnets=(subnet(1, INTERNET), subnet(2, through))))
    inside_ip(fabric.machine_namespace("i-1"), "address add 10.100.0.1/32 dev lo")
    tunnel = udp(fabric.machine_namespace("i-1"), "10.100.0.1", 7000)
    sender = udp(fabric.machine_namespace("i-3"), C)
    assert arrives(sender, tunnel, ("10.100.0.1", 7000)) == (C, sender.getsockname()[1])
    fabric.apply(cloud(inside, worker, subnets=(subnet(1, INTERNET), subnet(2))))
    assert never_arrives(sender, tunnel, ("10.100.0.1", 7000))


def test_a_delegated_prefix_is_the_interfaces(fabric: Fabric) -> None:
    prefix = replace(GATEWAY, prefixes=("10.0.1.32/28",))
    fabric.apply(cloud(prefix, interface(2, B, ALL_OUT)))
    inside_ip(fabric.machine_namespace("i-1"), "address add 10.0.1.40/32 dev lo")
    delegated, sender = (
        udp(fabric.machine_namespace("i-1"), "10.0.1.40", 51820),
        udp(fabric.machine_namespace("i-2"), B),
    )
    assert arrives(sender, delegated, ("10.0.1.40", 51820))


def test_an_endpoint_sees_the_private_address_of_who_calls(fabric: Fabric, doors: dict[str, socket.socket]) -> None:
    fabric.apply(cloud(GATEWAY))
    calling = connects(fabric.machine_namespace("i-1"), ("52.218.0.10", 443))
    assert calling
    accepted, caller = doors["vpce-1"].accept()
    assert caller == (A, calling.getsockname()[1])
    assert accepted.getsockname() == ("52.218.0.10", 443)
    calling.sendall(b"x" * 100_000)
    received = 0
    while received < 100_000:
        received += len(accepted.recv(65536))


def test_only_subnets_with_its_route_and_rules_for_it_reach_an_endpoint(fabric: Fabric) -> None:
    worker = interface(3, C, ALL_OUT, subnet="subnet-2")
    mute = interface(2, B)
    fabric.apply(cloud(GATEWAY, mute, worker))
    to = ("52.218.0.10", 443)
    assert connects(fabric.machine_namespace("i-1"), to)
    assert not connects(fabric.machine_namespace("i-2"), to, seconds=0.3)
    assert not connects(fabric.machine_namespace("i-3"), to, seconds=0.3)
    fabric.apply(cloud(GATEWAY, mute, worker, subnets=(subnet(1, INTERNET, STORAGE), subnet(2, STORAGE))))
    assert connects(fabric.machine_namespace("i-3"), to)


def test_an_endpoint_that_goes_ends_its_socket(fabric: Fabric, doors: dict[str, socket.socket]) -> None:
    topology = cloud(GATEWAY)
    fabric.apply(topology)
    ended = threading.Event()

    def serve() -> None:
        try:
            doors["vpce-1"].accept()
        except OSError:
            ended.set()

    threading.Thread(target=serve, daemon=True).start()
    (network,) = topology.networks
    fabric.apply(replace(topology, networks=(replace(network, endpoints=()),)))
    assert ended.wait(2)


def test_the_metadata_service_answers_whatever_the_rules_say(fabric: Fabric, doors: dict[str, socket.socket]) -> None:
    fabric.apply(cloud(interface(1, A)))
    assert connects(fabric.machine_namespace("i-1"), ("169.254.169.254", 80))
    assert doors["vpc-1"].accept()[1][0] == A


def test_the_metadata_address_is_all_that_a_network_answers(fabric: Fabric) -> None:
    fabric.apply(cloud(interface(1, A, ALL_OUT)))
    listener = fabric.listen("vpc-1", "169.254.169.123", 80)
    assert not connects(fabric.machine_namespace("i-1"), listener.getsockname(), seconds=0.3)


def test_a_hop_limit_of_one_ends_metadata_answers_at_the_machine(
    fabric: Fabric, doors: dict[str, socket.socket]
) -> None:
    fabric.apply(cloud(interface(1, A)))
    here = fabric.machine_namespace("i-1")
    doors["vpc-1"].setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    assert connects(here, ("169.254.169.254", 80))
    behind = fabric.add_client("behind")  # a tunnel's client: its packets are forwarded and masqueraded by the machine
    sample.tie(behind, here)
    assert not connects(behind, ("169.254.169.254", 80), seconds=0.5)


@pytest.mark.parametrize(("nat", "ports"), [("port-restricted", 1), ("symmetric", 2)])
def test_a_nat_maps_as_its_kind_says_and_drops_what_was_not_asked_for(fabric: Fabric, nat: str, ports: int) -> None:
    other = interface(2, B, ALL_OUT, TUNNEL, public=PUBLIC_B)
    fabric.apply(cloud(GATEWAY, other))
    client = udp(fabric.add_client("c", nat=nat), ALL, 4000)  # type: ignore[arg-type]
    one, two = (udp(fabric.machine_namespace(f"i-{n}"), a, 51820) for n, a in ((1, A), (2, B)))
    first = arrives(client, one, (PUBLIC_A, 51820))
    assert first and first[0] == fabric.client_address("c")
    assert arrives(one, client, first) == (PUBLIC_A, 51820)
    assert never_arrives(two, client, first), "two was never asked"
    second = arrives(client, two, (PUBLIC_B, 51820))
    assert second and len({first, second}) == ports


def test_names_of_the_cloud_resolve_everywhere_and_no_others(fabric: Fabric) -> None:
    fabric.apply(cloud(interface(1, A)))

    def resolves(namespace: str, name: str) -> str:
        argv = ["ip", "netns", "exec", namespace, "getent", "ahostsv4", name]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.partition(" ")[0]

    for namespace in (fabric.machine_namespace("i-1"), fabric.add_client("c", nat="symmetric")):
        assert resolves(namespace, "ec2.eu-west-1.amazonaws.com") == "52.94.0.10"
        assert resolves(namespace, "bucket.s3.eu-west-1.amazonaws.com") == "52.218.0.10"
        assert resolves(namespace, "example.org") == ""


def test_no_namespace_has_a_way_out_and_the_machine_itself_gets_no_device(fabric: Fabric) -> None:
    devices = {device.name for device in Path("/sys/class/net").iterdir()}
    fabric.apply(cloud(replace(GATEWAY, address_check=False)))
    spaces = [fabric.machine_namespace("i-1"), fabric.add_client("c", nat="symmetric"), f"{PREFIX}-internet"]
    listener = socket.create_server((ALL, 0))
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    assert own, "a machine without an address shows nothing"
    socket.create_connection((own[0], listener.getsockname()[1]), timeout=2).close()
    for namespace in spaces:
        for address in [a for a in own if ":" not in a]:
            assert not connects(namespace, (address, listener.getsockname()[1]), seconds=0.3)
    new = {device.name for device in Path("/sys/class/net").iterdir()} - devices
    assert not [name for name in new if name.startswith(("if-", "ep-", "up-", "ens", "internet", "lan"))]


def test_a_machine_that_goes_takes_its_namespace_and_leaves_the_others(fabric: Fabric) -> None:
    fabric.apply(cloud(GATEWAY, interface(2, B)))
    fabric.apply(cloud(GATEWAY))
    assert fabric.machine_namespace("i-2") not in kernel.existing()
    client, gateway = udp(fabric.add_client("c"), ALL), udp(fabric.machine_namespace("i-1"), A, 51820)
    assert arrives(client, gateway, (PUBLIC_A, 51820))


def test_an_interface_moves_to_a_new_machine_with_its_addresses(fabric: Fabric) -> None:
    topology = cloud(GATEWAY)
    fabric.apply(topology)
    client = udp(fabric.add_client("c"), ALL)
    (machine,) = topology.machines
    fabric.apply(replace(topology, machines=(replace(machine, id="i-9"),)))
    assert arrives(client, udp(fabric.machine_namespace("i-9"), A, 51820), (PUBLIC_A, 51820))


def test_what_failed_half_way_is_finished_by_the_next_apply(fabric: Fabric) -> None:
    client = udp(fabric.add_client("c"), ALL)
    fabric.apply(cloud(GATEWAY))
    gateway = udp(fabric.machine_namespace("i-1"), A, 51820)
    wrong = interface(2, B, allow_in("udp", 70_000))
    with pytest.raises(FabricError, match="70000"):
        fabric.apply(cloud(GATEWAY, wrong))
    fabric.apply(cloud(GATEWAY, interface(2, B, TUNNEL)))
    assert arrives(client, gateway, (PUBLIC_A, 51820))
    assert arrives(gateway, udp(fabric.machine_namespace("i-2"), B, 51820), (B, 51820))


KILLED = """
import os, signal, sys
from lab.fabric import Fabric
from tests.boot import fabric_samples as sample
fabric = Fabric(sys.argv[1], sample.NAMES)
fabric.start()
fabric.apply(sample.cloud(sample.interface(1, sample.A)))
fabric.add_client("c", nat="symmetric")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_fabric_left_is_swept_up() -> None:
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", KILLED, "fabkilled"], cwd=root, check=False)
    left = [name for name in kernel.existing() if name.startswith("fabkilled-")]
    served = [pid for name in left for pid in kernel.pids(name)]
    assert len(left) >= 5 and len(served) == 2
    Fabric.sweep("fabkilled")
    assert not [name for name in kernel.existing() if name.startswith("fabkilled-")]
    assert not list(kernel.RESOLVERS.glob("fabkilled-*"))
    within(10, lambda: not [pid for pid in served if _runs(pid)], "its processes are gone too")


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
