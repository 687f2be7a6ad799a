"""The firewall that ships, in a namespace: what the service sends passes only while the gate is kept open."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from lab.fabric.kernel import inside
from lab.paths import MARK
from tests.userdata_samples import gateway_boot
from twinlock.agent.gate import set_gate
from twinlock.agent.nft import Nft
from userdata.render import render_firewall

# Not of the lab's prefix: a lab that comes up beside this sweeps those.
GATEWAY, CLIENT = f"gate{MARK}-g", f"gate{MARK}-c"
PORT = gateway_boot().port
INDEX = 0x01020304


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def nft() -> Iterator[Nft]:
    """Two namespaces with a cable between them; the gateway's has its firewall."""
    made = []
    try:
        for name in (GATEWAY, CLIENT):
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", "ens5", "netns", GATEWAY, "type", "veth", "peer", "name", "ens5", "netns", CLIENT)
        for name, address in ((GATEWAY, "192.0.2.1/24"), (CLIENT, "192.0.2.2/24")):
            _ip("-n", name, "addr", "add", address, "dev", "ens5")
            for device in ("lo", "ens5"):
                _ip("-n", name, "link", "set", device, "up")
        firewall = render_firewall(gateway_boot())
        subprocess.run(["ip", "netns", "exec", GATEWAY, "nft", "-f", "-"], input=firewall, text=True, check=True)
        yield Nft(_runner)
    finally:
        for name in made:
            _ip("netns", "del", name)


def _runner(words, stdin: str) -> str:
    return subprocess.run(
        ["ip", "netns", "exec", GATEWAY, *words], input=stdin, text=True, check=True, capture_output=True
    ).stdout


def _bound(namespace: str, address: str, port: int) -> socket.socket:
    def made() -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((address, port))
        one.settimeout(0.2)
        return one

    return inside(namespace, made)


@pytest.fixture
def service(nft) -> Iterator[socket.socket]:
    with _bound(GATEWAY, "192.0.2.1", PORT + 1) as one:
        yield one


@pytest.fixture
def client(nft) -> Iterator[socket.socket]:
    with _bound(CLIENT, "192.0.2.2", 40404) as one:
        yield one


def _message(kind: int, size: int = 100) -> bytes:
    return struct.pack("<II", kind, INDEX) + os.urandom(size - 8)


@pytest.fixture
def arrives(service, client) -> Callable[..., bool]:
    def sent(kind: int = 4, size: int = 100) -> bool:
        message = _message(kind, size)
        try:
            service.sendto(message, ("192.0.2.2", 40404))
        except PermissionError:  # how a dropped packet looks to its sender
            return False
        try:
            data, sender = client.recvfrom(2000)
        except TimeoutError:
            return False
        assert (data, sender) == (message, ("192.0.2.1", PORT)), "from the public port"
        return True

    return sent


def test_nothing_is_sent_before_the_agent_opens_the_gate(arrives):
    assert not arrives()


def test_a_gate_that_is_not_kept_open_is_shut_within_1_2_seconds(nft, arrives):
    set_gate(nft, ["open"])
    opened = time.monotonic()
    assert arrives()
    while arrives():
        assert time.monotonic() - opened < 1.2
    assert time.monotonic() - opened > 0.5


def test_a_gate_that_is_kept_open_stays_open(nft, arrives):
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        set_gate(nft, ["open"])
        assert arrives()
        time.sleep(0.2)
    set_gate(nft, ["shut"])
    assert not arrives()


def test_in_doubt_only_a_client_that_sent_data_itself_is_answered_and_no_keepalive_is_sent(
    nft, arrives, service, client
):
    set_gate(nft, ["open"])
    assert arrives(kind=1), "so that the service's index is known"
    set_gate(nft, ["doubt"])
    assert not arrives()
    client.sendto(_message(4, 32), ("192.0.2.1", PORT))
    assert not arrives(), "a client's keepalive is no data"
    client.sendto(_message(4), ("192.0.2.1", PORT))
    assert len(service.recv(2000)) == 32
    assert len(service.recv(2000)) == 100
    assert arrives()
    assert not arrives(size=32), "a keepalive"
    began = time.monotonic()
    while time.monotonic() - began < 2.3:
        set_gate(nft, ["doubt"])
        time.sleep(0.1)
    assert not arrives(), "2 s without data"


def test_an_answered_way_is_told_with_the_gate(nft, service, client):
    assert not set_gate(nft, ["open"])
    with _bound(GATEWAY, "192.0.2.1", PORT + 2) as way:
        way.sendto(_message(2), ("192.0.2.2", 40404))
    assert set_gate(nft, ["open"])
    time.sleep(1.2)
    assert not set_gate(nft, ["open"])
