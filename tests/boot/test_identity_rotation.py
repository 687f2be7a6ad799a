"""The gateways' identities rotate while a client downloads: the agent that ships, wireguard-go, a symmetric NAT."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.boot.agent_stage import GATEWAYS, Stage, until

pytestmark = [pytest.mark.timeout(240)]
# A datagram each 20 ms to a private service and back, until its input ends; tells the longest time without an answer.
STEADY = """
import json, select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.02)
last, gap, got = None, 0.0, 0
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        s.sendto(b"x" * 800, (sys.argv[1], 5432)); s.recv(2000)
    except OSError:
        pass
    else:
        now = time.monotonic(); got += 1
        gap = max(gap, now - last) if last else 0.0; last = now
        time.sleep(0.02)
now = time.monotonic()
print(json.dumps({"got": got, "gap": max(gap, now - last) if last else 99.0}))
"""
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 5432))
while True:
    data, peer = s.recvfrom(2000); s.sendto(data, peer)
"""


def _records(stage: Stage):
    return {record.slot: record for record in stage.registry.gateways(tuple(GATEWAYS))}


def _serving(stage: Stage) -> str:
    return until("a gateway serves", lambda: [slot for slot, one in _records(stage).items() if one.serving])[0]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("rotation"))
    try:
        stage.open_udp(5432)
        stage.net.start("echo", sys.executable, "-c", ECHO, "10.50.0.5")
        boots = [stage.agent(slot, "bootstrap") for slot in GATEWAYS]
        assert [boot.wait(60) for boot in boots] == [0, 0], stage.logs()
        stage.agents = {slot: stage.agent(slot, "run") for slot in GATEWAYS}
        stage.serving = _serving(stage)
        private = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
        public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True, check=True).stdout
        stage.private, stage.public = private, public.strip()
        stage.address = stage.enrol("ann", "ml", stage.public).address
        stage.client_up(stage.address, private)
        until("an answer through the tunnel", lambda: stage.ask(stage.storage, 443))
        yield stage
    finally:
        stage.close()


def steady(stage: Stage) -> subprocess.Popen:
    words = stage.client.words(sys.executable, "-c", STEADY, "10.50.0.5")
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def gap(running: subprocess.Popen) -> float:
    """The longest so far, and for a while longer: what follows a change belongs to it."""
    time.sleep(2)
    seen = json.loads(running.communicate(timeout=60)[0])
    assert seen["got"] > 20, seen
    return seen["gap"]


def _rotate(stage: Stage, name: str, window: int) -> str:
    """The new identity's public key, once every gateway that has to serves it."""
    rotation = stage.registry.start_rotation(name, window)

    def served() -> str:
        identity = stage.registry.identity(rotation.identity)
        records = _records(stage)
        keys = (
            {one.service_public_key for one in records.values()}
            if name == "service"
            else {records[name.removeprefix("way#")].way_public_key}
        )
        return identity.public_key if identity is not None and keys == {identity.public_key} else ""

    return until("the new identity is served", served, 60)


def _restart_client(stage: Stage) -> None:
    stage.client.run("wg-quick", "down", "wg-c")
    time.sleep(1.1)  # WireGuard's own tool shows handshakes in whole seconds
    stage.client_up(stage.address, stage.private)


def _shaken(stage: Stage, key: str) -> bool:
    shown = stage.client.run("wg", "show", "wg-c", "latest-handshakes")
    return any(line.split()[0] == key and line.split()[1] != "0" for line in shown.splitlines())


def test_a_peer_that_keeps_its_file_loses_nothing_while_the_service_identity_rotates(stage):
    running = steady(stage)
    new = _rotate(stage, "service", 3600)
    assert gap(running) < 1.0
    assert not _shaken(stage, new)


def test_a_peer_with_a_new_file_is_served_by_the_new_identity_and_the_old_one_ends_with_the_last(stage):
    rotation = stage.registry.rotations()["service"]
    _restart_client(stage)
    until("an answer on the new identity", lambda: stage.ask(stage.storage, 443))
    assert _shaken(stage, _records(stage)["a"].service_public_key)
    until("an answer by IPv6", lambda: stage.pings6("10.100.0.1"), 5)
    running = steady(stage)
    until("the last peer moved", lambda: stage.registry.moved(rotation) == {stage.public}, 30)
    until("the rotation ended", lambda: stage.registry.rotations()["service"].until <= time.time(), 30)
    place = stage.gateways[_serving(stage)]
    until("the old identity is gone", lambda: place.run("wg", "show", "wg-service", "public-key") == "(none)\n", 30)
    assert gap(running) < 1.0


@pytest.mark.long
def test_another_gateway_takes_over_with_the_new_identity(stage):
    other = "b" if _serving(stage) == "a" else "a"
    running = steady(stage)
    time.sleep(1)
    stage.switch(other)
    until(f"{other} serves", lambda: _records(stage)[other].serving, 15)
    assert gap(running) < 1.0


@pytest.mark.long
def test_a_ways_identity_rotates_beside_the_old_one(stage):
    name = "way#" + _serving(stage)
    old = _records(stage)[name[-1]].way_public_key
    running = steady(stage)
    new = _rotate(stage, name, 3600)
    assert gap(running) < 1.0
    # A restarted client with its old file is still let in, and one with a new file, too.
    keep = stage.client.run("cat", "/etc/wireguard/wg-c.conf")
    stage.client.run("wg-quick", "down", "wg-c")
    time.sleep(1.1)
    stage.client.write("/etc/wireguard/wg-c.conf", keep)
    stage.client.run("wg-quick", "up", "wg-c")
    until("the old way", lambda: _shaken(stage, old), 10)
    until("an answer with the old file", lambda: stage.ask(stage.storage, 443))
    _restart_client(stage)
    until("the new way", lambda: _shaken(stage, new), 10)
    until("an answer with the new file", lambda: stage.ask(stage.storage, 443))


@pytest.mark.long
def test_a_second_rotation_takes_the_first_side_again(stage):
    running = steady(stage)
    new = _rotate(stage, "service", 3600)
    assert gap(running) < 1.0
    _restart_client(stage)
    until("an answer on the second new identity", lambda: stage.ask(stage.storage, 443))
    assert _shaken(stage, new)
    place = stage.gateways[_serving(stage)]
    assert place.run("wg", "show", "wg-service", "public-key").strip() == new
