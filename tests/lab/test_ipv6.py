"""Two peers of a deployed environment by IPv6: what their tunnels carry, and what they do not."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from lab import calls, clients
from lab.clients import Client
from lab.fabric.kernel import inside
from tests.lab.test_peers_live import api
from tests.within import within

ANSWERING = """
import socket
socket.create_server(("::", 8080), family=socket.AF_INET6).accept()
"""


def _six(lab, client: Client) -> str:
    return lab.twinlock("peer", "show", client.name, "--tenant", client.tenant)["addresses"][1]


def _gateway(client: Client) -> str:
    """The one IPv6 address inside the tunnel that its file routes."""
    routed = [cidr for cidr in clients.allowed_ips(client)[clients.service_key(client)] if cidr.startswith("fd")]
    (found,) = routed
    return found.removesuffix("/128")


def _pings(client: Client, address: str) -> bool:
    return client.run("ping", "-6nc1", "-W2", address).returncode == 0


def test_a_peer_pings_the_gateway_by_ipv6_through_the_tunnel(lab, ada: Client, bob: Client) -> None:
    for client in (ada, bob):
        route = client.run("ip", "-6", "route", "get", _gateway(client)).stdout
        assert f"dev {client.interface}" in route and f"src {_six(lab, client)}" in route
        assert _pings(client, _gateway(client))


def test_a_peer_opens_no_port_of_the_gateway_by_ipv6(lab, ada: Client) -> None:
    rows = lab.twinlock("gateway", "list")["gateways"]
    slot = next(row["slot"] for row in rows if row["serving"])
    run = ("systemd-run", "--unit=six-answers", "/usr/bin/python3", "-c", ANSWERING.strip())
    lab.on_gateway(slot, *run)
    try:
        listening = ("sh", "-c", "ss -Hltn 'sport = 8080'")
        within(10, lambda: "8080" in lab.on_gateway(slot, *listening), "the gateway listens")
        assert clients.can_open(ada.namespace, _gateway(ada), 8080) == "timed out"
        assert _pings(ada, _gateway(ada)), "and yet the tunnel is up"
    finally:
        lab.on_gateway(slot, "systemctl", "stop", "six-answers")


def test_a_peer_does_not_reach_another_by_ipv6_though_it_widens_its_file(lab, ada: Client, bob: Client) -> None:
    address = _six(lab, bob)
    words = ["ip", "netns", "exec", bob.namespace, clients.PYTHON, "-m", "http.server", "8080", "--bind", address]
    listener = subprocess.Popen(words, cwd=clients.PEERS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        within(10, lambda: clients.can_open(bob.namespace, address, 8080) == "connected", "bob's own port")
        with clients.widened(ada, f"{address}/128"):
            # The gateway's own answer: what listens there would be connected.
            assert clients.can_open(ada.namespace, address, 8080) == "Connection refused"
            assert not _pings(ada, address)
    finally:
        listener.terminate()
        listener.wait()


SERVICE, PORT, OTHER_PORT = "2001:db8:1:8::7", 8080, 8081  # the first is what the lab's stack gives tenant red


@dataclass(frozen=True)
class Private:
    """A machine of somebody's in a private subnet, and what listens there; its group lets everybody in."""

    listening: socket.socket


@pytest.fixture
def private(lab) -> Iterator[Private]:
    ec2 = api(lab, "ec2")
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["*-private-a"]}])["Subnets"]
    group = ec2.create_security_group(GroupName="six", Description="Six", VpcId=subnet["VpcId"])["GroupId"]
    ports = {"FromPort": PORT, "ToPort": OTHER_PORT, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", **ports}])
    place = {"SubnetId": subnet["SubnetId"], "Groups": [group], "Ipv6Addresses": [{"Ipv6Address": SERVICE}]}
    interface = ec2.create_network_interface(**place)["NetworkInterface"]["NetworkInterfaceId"]
    image = api(lab, "ec2").describe_instances()["Reservations"][0]["Instances"][0]["ImageId"]
    network = [{"DeviceIndex": 0, "NetworkInterfaceId": interface}]
    made = ec2.run_instances(
        ImageId=image, InstanceType="t4g.small", MinCount=1, MaxCount=1, NetworkInterfaces=network
    )  # fmt: skip
    instance = made["Instances"][0]["InstanceId"]
    held: list[socket.socket] = []

    def listens() -> bool:
        # The network of a machine is there before it boots.
        with suppress(OSError):
            where, ports = calls.namespace(instance), (PORT, OTHER_PORT)[len(held) :]
            held.extend(inside(where, lambda port=port: _listener(port)) for port in ports)
        return len(held) == 2

    def gone(act) -> bool:
        with suppress(ClientError):
            act()
            return True
        return False

    try:
        within(30, listens, "a service listens by IPv6 in a private subnet")
        yield Private(held[0])
    finally:
        for one in held:
            one.close()
        ec2.terminate_instances(InstanceIds=[instance])
        within(60, lambda: gone(lambda: ec2.delete_network_interface(NetworkInterfaceId=interface)), "it is let go")
        ec2.delete_security_group(GroupId=group)


def _listener(port: int) -> socket.socket:
    made = socket.create_server((SERVICE, port), family=socket.AF_INET6)
    made.settimeout(5)
    return made


def test_a_tenant_reaches_its_service_by_ipv6_from_the_gateways_address_and_nothing_else(
    lab, ada: Client, bob: Client, private: Private
) -> None:
    rows = api(lab, "ec2").describe_network_interfaces()["NetworkInterfaces"]
    gateways = {each["Ipv6Address"] for row in rows for each in row.get("Ipv6Addresses", [])} - {SERVICE}
    assert len(gateways) == 2
    assert f"{SERVICE}/128" in clients.allowed_ips(ada)[clients.service_key(ada)], "its file routes it"
    within(10, lambda: clients.can_open(ada.namespace, SERVICE, PORT) == "connected", "the service")
    accepted, seen = private.listening.accept()
    accepted.close()
    assert seen[0] in gateways
    assert clients.can_open(ada.namespace, SERVICE, OTHER_PORT, 1) == "timed out"
    with clients.widened(bob, f"{SERVICE}/128"):
        assert clients.can_open(bob.namespace, SERVICE, PORT, 1) == "timed out", "another tenant, by its own tunnel"
    for gateway in gateways:
        with clients.widened(ada, f"{gateway}/128"):
            assert not _pings(ada, gateway), "a gateway's own address in its network"
