"""From which of its addresses a gateway sends on whose packets, with real ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lab.fabric.kernel import inside
from tests.boot import firewall_bench as fw
from tests.boot.firewall_bench import Bench

OWN, OTHERS, PEERS, FAR = "10.0.1.16", "10.0.1.17", "10.0.1.18", "203.0.113.9"
SOURCES = f"""
add element inet twinlock tenant_sources {{ 10.100.1.0/24 : {OWN}, 10.100.2.0/24 : {OTHERS} }}
"""
OF_A_PEER = f"add element inet twinlock peer_sources {{ {fw.PEER} : {PEERS} }}\n"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    # The network brings the pool's addresses to the interface; no machine answers for them.
    made.ip(made.out, f"route add 10.0.1.16/28 via {fw.GATEWAY}")
    made.ip(made.out, f"addr add {FAR}/32 dev lo")
    yield made
    made.close()


def _seen(bench: Bench, where: str, address: str, port: int = 8443) -> str:
    """The address that a connection from `where` comes from."""

    def listen() -> socket.socket:
        made = socket.create_server((address, port))
        made.settimeout(2)
        return made

    server = inside(bench.out, listen)
    with server, inside(where, lambda: socket.create_connection((address, port), 2)) as client:
        accepted, (source, _) = server.accept()
        with accepted:
            accepted.sendall(b"answer")
            assert client.recv(6) == b"answer"
    return source


@pytest.mark.parametrize("to", [fw.STORAGE, fw.SERVICE])
def test_storage_and_private_services_see_a_tenants_own_address(bench: Bench, to: str) -> None:
    bench.load(more=SOURCES)
    assert _seen(bench, bench.peer, to) == OWN
    assert _seen(bench, bench.other, to) == OTHERS


def test_a_peer_may_have_an_address_of_its_own_within_its_tenant(bench: Bench) -> None:
    bench.load(more=SOURCES + OF_A_PEER)
    assert _seen(bench, bench.peer, fw.STORAGE) == PEERS
    assert _seen(bench, bench.other, fw.STORAGE) == OTHERS


def test_a_tenant_without_addresses_leaves_from_the_gateways(bench: Bench) -> None:
    bench.load()
    assert _seen(bench, bench.peer, fw.STORAGE) == fw.GATEWAY


def test_the_internet_sees_the_one_address_that_has_a_public_one(bench: Bench) -> None:
    bench.load(more=SOURCES)
    assert _seen(bench, bench.peer, FAR) == fw.GATEWAY
