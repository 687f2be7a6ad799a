"""`twinlock doctor` in a client whose tunnel is well, and with each cause made in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import clients
from lab.clients import TWINLOCK, Client


def _causes(client: Client) -> list[str]:
    argv = (TWINLOCK, "doctor", client.interface, "--region", "eu-west-1", "--json")
    done = clients.in_namespace(client.namespace, argv, {}, 60)
    assert done.returncode in (0, 1), done.stderr
    return [found["cause"] for found in json.loads(done.stdout)["findings"]]


@contextmanager
def _rule(client: Client, rule: str) -> Iterator[None]:
    """A firewall rule on the client's way out."""
    table = f"table inet ill {{ chain out {{ type filter hook output priority 0; {rule}; }} }}"
    done = client.run("nft", table)
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        client.run("nft", "delete", "table", "inet", "ill")


def test_a_tunnel_that_works_is_well_and_one_that_is_not_there_is_told(lab, ada: Client) -> None:
    assert _causes(ada) == []
    argv = (TWINLOCK, "doctor", "tl-nowhere", "--region", "eu-west-1", "--json")
    done = clients.in_namespace(ada.namespace, argv, {}, 60)
    assert done.returncode == 1
    assert [found["cause"] for found in json.loads(done.stdout)["findings"]] == ["interface"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("cause", "rule"),
    [
        ("dns", "meta l4proto { tcp, udp } th dport 53 drop"),
        ("firewall", 'oifname "INTERFACE" tcp dport 443 drop'),
        # What a tunnel with too large an MTU does: small packets pass.
        ("mtu", 'oifname "INTERFACE" meta length > 300 drop'),
    ],
)
def test_what_the_clients_network_drops_is_told(lab, ada: Client, cause: str, rule: str) -> None:
    with _rule(ada, rule.replace("INTERFACE", ada.interface)):
        assert _causes(ada) == [cause]
    assert _causes(ada) == []


@pytest.mark.long
def test_a_file_whose_prefixes_have_aged_is_told(lab, ada: Client) -> None:
    key = clients.service_key(ada)
    before = clients.allowed_ips(ada)[key]
    ada.run("wg", "set", ada.interface, "peer", key, "allowed-ips", before[0])
    try:
        assert _causes(ada) == ["prefix"]
    finally:
        ada.run("wg", "set", ada.interface, "peer", key, "allowed-ips", ",".join(before))


@pytest.mark.long
def test_a_shut_port_is_told(lab, ada: Client) -> None:
    """All sessions are forgotten, as after a restart, while nothing goes out."""
    again = ("bash", "-c", 'wg setconf "$1" <(wg showconf "$1")', "bash", ada.interface)
    with _rule(ada, "udp dport 51820 drop"):
        assert ada.run(*again).returncode == 0
        assert _causes(ada) == ["port"]
    clients.wait_for_service(ada, 40)
    assert _causes(ada) == []
