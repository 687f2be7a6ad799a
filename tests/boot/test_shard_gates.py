"""The firewall of a gateway with sixteen shards: what the service sends passes only by the gate of its own shard."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest

from lab.fabric.kernel import inside
from lab.paths import MARK
from tests.userdata_samples import gateway_boot
from twinlock.agent.ends import Ends
from twinlock.agent.gate import set_gate
from twinlock.agent.nft import Nft
from userdata.render import render_firewall

# Not of the lab's prefix: a lab that comes up beside this sweeps those.
GATEWAY, CLIENT = f"shard{MARK}-g", f"shard{MARK}-c"
PORT = gateway_boot().port
MINE, OTHER = 3, 5
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:7::1", "2001:db8:7::2")}


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def nft() -> Iterator[Nft]:
    made = []
    try:
        for name in (GATEWAY, CLIENT):
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", "ens5", "netns", GATEWAY, "type", "veth", "peer", "name", "ens5", "netns", CLIENT)
        for place, name in enumerate((GATEWAY, CLIENT)):
            for length, family in ((24, 4), (64, 6)):
                _ip("-n", name, "addr", "add", f"{ADDRESSES[family][place]}/{length}", "dev", "ens5", "nodad")
            for device in ("lo", "ens5"):
                _ip("-n", name, "link", "set", device, "up")
            cable = json.loads(_ip("-n", name, "-j", "link", "show", "ens5"))[0]
            # Known from the start: a gate is open for a second, and IPv6 takes some time to find a neighbour.
            known = ("lladdr", cable["address"], "nud", "permanent", "dev", "ens5")
            _ip("-n", (CLIENT, GATEWAY)[place], "neigh", "add", ADDRESSES[6][place], *known)
        firewall = render_firewall(gateway_boot(shards=16))
        subprocess.run(["ip", "netns", "exec", GATEWAY, "nft", "-f", "-"], input=firewall, text=True, check=True)
        yield Nft(_runner)
    finally:
        for name in made:
            _ip("netns", "del", name)


def _runner(words, stdin: str) -> str:
    return subprocess.run(
        ["ip", "netns", "exec", GATEWAY, *words], input=stdin, text=True, check=True, capture_output=True
    ).stdout


class Client:
    """One with a session: `index` is the service's, `own` the client's."""

    def __init__(self, service: socket.socket, family: int, port: int) -> None:
        self.service, self.family = service, family
        self.index, self.own = (int.from_bytes(os.urandom(4), "little") for _ in range(2))
        self.socket = _bound(CLIENT, family, ADDRESSES[family][1], port)

    @property
    def end(self) -> str:
        address, port = self.socket.getsockname()[:2]
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def is_called(self) -> bool:
        return self._gets(struct.pack("<II", 1, self.index))

    def answers(self) -> None:
        self._says(struct.pack("<III", 2, self.own, self.index))

    def is_sent_data(self) -> bool:
        return self._gets(struct.pack("<II", 4, self.own))

    def sends_data(self) -> None:
        self._says(struct.pack("<II", 4, self.index))

    def _gets(self, message: bytes) -> bool:
        message += os.urandom(100 - len(message))
        try:
            self.service.sendto(message, self.socket.getsockname())
        except PermissionError:  # how a dropped packet looks to its sender
            return False
        try:
            return self.socket.recv(2000) == message
        except TimeoutError:
            return False

    def _says(self, message: bytes) -> None:
        message += os.urandom(100 - len(message))
        self.socket.sendto(message, (ADDRESSES[self.family][0], PORT))
        assert self.service.recv(2000) == message


def _bound(namespace: str, family: int, address: str, port: int) -> socket.socket:
    def made() -> socket.socket:
        one = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        one.bind((address, port))
        one.settimeout(0.2)
        return one

    return inside(namespace, made)


@pytest.fixture(params=[4, 6])
def family(request) -> int:
    return request.param


@pytest.fixture
def service(nft, family) -> Iterator[socket.socket]:
    with _bound(GATEWAY, family, ADDRESSES[family][0], PORT + 1) as one:
        yield one


@pytest.fixture
def client(service, family) -> Iterator[Client]:
    one = Client(service, family, 40404)
    with one.socket:
        yield one


def _gates(nft: Nft, **kinds: int) -> None:
    set_gate(nft, [next((kind for kind, at in kinds.items() if at == shard), "shut") for shard in range(16)])


def test_a_client_that_nobody_said_a_shard_of_is_sent_nothing(nft, client):
    Ends(nft).replace({})
    set_gate(nft, ["open"] * 16)
    assert not client.is_called()
    assert not client.is_sent_data()


def test_a_client_is_called_and_sent_data_only_while_its_own_shards_gate_is_open(nft, client):
    Ends(nft).replace({client.end: MINE})
    _gates(nft, open=OTHER)
    assert not client.is_called()
    _gates(nft, open=MINE)
    assert client.is_called()
    assert not client.is_sent_data(), "no session yet"
    client.answers()
    assert client.is_sent_data()
    _gates(nft, open=OTHER)
    assert not client.is_sent_data()
    assert not client.is_called()
    _gates(nft, open=MINE)
    assert client.is_sent_data()


def test_a_client_that_roams_is_sent_data_at_once_and_called_once_the_agent_has_looked(nft, client, service, family):
    ends = Ends(nft)
    ends.replace({client.end: MINE})
    _gates(nft, open=MINE)
    assert client.is_called()
    client.answers()
    with client.socket:
        client.socket = _bound(CLIENT, family, ADDRESSES[family][1], 40405)
    client.sends_data()
    _gates(nft, open=MINE)
    assert client.is_sent_data()
    assert not client.is_called()
    ends.replace({client.end: MINE})
    assert client.is_called()


def test_in_doubt_a_client_of_that_shard_is_answered_that_sent_data_itself(nft, client):
    Ends(nft).replace({client.end: MINE})
    _gates(nft, open=MINE)
    assert client.is_called()
    client.answers()
    _gates(nft, doubt=MINE)
    assert not client.is_sent_data()
    client.sends_data()
    assert client.is_sent_data()
    _gates(nft, doubt=OTHER)
    assert not client.is_sent_data()


def test_an_end_that_was_anothers_is_of_the_shard_of_who_is_called_there_now(nft, client):
    ends = Ends(nft)
    ends.replace({client.end: OTHER})
    ends.add({client.end: MINE, "192.0.2.9:7": OTHER})
    _gates(nft, open=MINE)
    assert client.is_called()
    again = Ends(nft)  # an agent that was restarted
    again.add({"192.0.2.9:7": OTHER})
    assert not client.is_called()
