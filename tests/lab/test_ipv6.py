"""Two peers of a deployed environment by IPv6: what their tunnels carry, and what they do not."""

from __future__ import annotations

import subprocess

from lab import clients
from lab.clients import Client
from tests.within import within

ANSWERING = """
import socket
socket.create_server(("::", 8080), family=socket.AF_INET6).accept()
"""


def _six(lab, client: Client) -> str:
    return lab.twinlock("peer", "show", client.name, "--tenant", client.tenant)["addresses"][1]


def _gateway(client: Client) -> str:
    """The one IPv6 address that its file routes."""
    (found,) = [cidr for cidr in clients.allowed_ips(client)[clients.service_key(client)] if ":" in cidr]
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
