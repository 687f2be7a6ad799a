"""The agent that ships, on two gateways with wireguard-go, and a stock client behind a symmetric NAT.

The tests share one stage and go in the order in which a day would: from an empty registry to its loss.
"""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from tests.boot.agent_stage import (
    GATEWAYS,
    GATEWAYS6,
    PREFIX6,
    PRIVATE_SERVICE,
    PRIVATE_SERVICE6,
    Stage,
    until,
)
from tests.places import lead_out
from twinlock.agent.interfaces import NAMES
from twinlock.registry.ipv6 import addresses

pytestmark = pytest.mark.timeout(120)


def _wg(*words: str, stdin: str = "") -> str:
    return subprocess.run(["wg", *words], input=stdin, capture_output=True, text=True, check=True).stdout.strip()


def _records(stage: Stage):
    return {record.slot: record for record in stage.registry.gateways(tuple(GATEWAYS))}


def _serving(stage: Stage) -> str:
    return until("a gateway serves", lambda: [slot for slot, record in _records(stage).items() if record.serving])[0]


def _applied(stage: Stage, tenant: str) -> None:
    generation = stage.registry.generations()[tenant]
    until(
        f"generation {generation} of {tenant} on both gateways",
        lambda: all(record.applied.get(tenant, 0) >= generation for record in _records(stage).values()),
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("agent"))
    stage.agents, stage.keys = {}, {}
    for name in ("ann", "bob"):
        private = _wg("genkey")
        stage.keys[name] = (private, _wg("pubkey", stdin=private))
    yield stage
    stage.close()


def test_two_gateways_that_boot_at_once_agree_on_one_service_identity(stage):
    boots = {slot: stage.agent(slot, "bootstrap") for slot in GATEWAYS}
    assert {slot: process.wait(60) for slot, process in boots.items()} == {"a": 0, "b": 0}, stage.logs()
    a, b = _records(stage)["a"], _records(stage)["b"]
    assert a.service_public_key == b.service_public_key
    assert len({a.service_public_key, a.way_public_key, b.way_public_key, a.pair_public_key, b.pair_public_key}) == 5
    assert (a.instance_id, a.serving) == ("i-a", False)


def test_the_console_says_that_the_gateway_is_ready_and_nothing_else(stage):
    for slot, record in _records(stage).items():
        assert stage.gateways[slot].console.read_text() == (
            f"twinlock: gateway {slot} ready service={record.service_public_key} way={record.way_public_key}\n"
        )


def test_a_gateways_keys_are_for_root_alone(stage):
    for place in stage.gateways.values():
        modes = place.run("sh", "-c", "stat -c '%a %U %n' /etc/wireguard/* /var/lib/twinlock/*")
        assert len(modes.splitlines()) == 7
        assert {line.split(" /")[0] for line in modes.splitlines()} == {"600 root"}


def test_bootstrap_again_changes_nothing(stage):
    before = _records(stage)["a"]
    up = stage.gateways["a"].run("wg", "show", "all", "public-key")
    assert stage.agent("a", "bootstrap").wait(60) == 0, stage.logs()
    after = _records(stage)["a"]
    assert (after.service_public_key, after.way_public_key) == (before.service_public_key, before.way_public_key)
    assert after.pair_public_key == before.pair_public_key
    assert stage.gateways["a"].run("wg", "show", "all", "public-key") == up


def test_a_called_client_reaches_storage_through_the_serving_gateway(stage):
    for slot in GATEWAYS:
        stage.agents[slot] = stage.agent(slot, "run")
    slot = _serving(stage)
    peer = stage.enrol("ann", "ml", stage.keys["ann"][1])
    _applied(stage, "ml")
    stage.address, stage.address6 = addresses(PREFIX6, peer.address)
    stage.client_up(peer.address, stage.keys["ann"][0])
    seen = until("an answer through the tunnel", lambda: stage.ask(stage.storage, 443))
    assert seen == {"a": "10.0.1.10", "b": "10.0.2.10"}[slot] or seen == GATEWAYS[slot]


def test_a_tenant_reaches_the_service_that_it_was_given(stage):
    assert stage.ask(PRIVATE_SERVICE, 5432)
    assert stage.ask(PRIVATE_SERVICE6, 5432) == GATEWAYS6[_serving_now(stage)], "by IPv6 from the gateway's own"


def test_a_client_has_an_ipv6_address_that_the_gateway_answers(stage):
    assert stage.pings6("10.100.0.1")
    assert not stage.pings6("10.100.0.2"), "nothing else has any"
    key = stage.keys["ann"][1]
    shown = stage.gateways[_serving_now(stage)].run("wg", "show", "wg-service", "allowed-ips")
    assert f"{key}\t{stage.address}/32 {stage.address6}/128" in shown


@pytest.mark.parametrize(
    "target",
    [
        "other port of a service", "other port of a service by IPv6", "other port of storage", "metadata",
        "the gateway", "the gateway by IPv6", "another tenant",
    ],
)  # fmt: skip
def test_a_tenant_reaches_nothing_else(stage, target):
    address, port = {
        "other port of a service": (PRIVATE_SERVICE, 22),
        "other port of a service by IPv6": (PRIVATE_SERVICE6, 22),
        "the gateway by IPv6": (GATEWAYS6["a"], 80),
        "other port of storage": (stage.storage, 80),
        "metadata": ("169.254.169.254", 80),
        "the gateway": ("10.100.0.1", 80),
        "another tenant": ("10.100.2.1", 443),
    }[target]
    assert stage.ask(address, port) == ""
    assert stage.ask(stage.storage, 443), "and yet the tunnel is up"


def test_the_twins_shake_hands_on_the_pair_channel(stage):
    for place in stage.gateways.values():
        until(
            f"a handshake of {place.name} with its twin",
            lambda place=place: place.run("wg", "show", "wg-pair", "latest-handshakes").split()[1:] not in ([], ["0"]),
        )


def test_a_definition_that_gives_more_is_applied_by_itself(stage):
    assert stage.ask(PRIVATE_SERVICE, 22) == ""
    stage.open_service(22)
    until("the new service", lambda: stage.ask(PRIVATE_SERVICE, 22), 40)
    assert stage.ask(PRIVATE_SERVICE, 5432)


def test_a_restarted_client_is_called_again(stage):
    stage.client.run("wg-quick", "down", "wg-c")
    time.sleep(1.1)  # WireGuard's own tool shows handshakes in whole seconds
    stage.client.run("wg-quick", "up", "wg-c")
    until("an answer after the restart", lambda: stage.ask(stage.storage, 443))


def test_when_the_serving_gateway_dies_the_other_calls(stage):
    dead = _serving(stage)
    other = "b" if dead == "a" else "a"
    stage.gateways[dead].run("ip", "link", "set", "to-net", "down")
    stage.gateways[dead].stop(stage.agents[dead], signal.SIGKILL)
    until(f"{other} serves", lambda: _records(stage)[other].serving, 15)
    until("an answer from the other one", lambda: stage.ask(stage.storage, 443))


def test_a_gateway_that_reboots_waits_and_takes_no_client_back(stage):
    other = _serving_now(stage)
    dead = "b" if other == "a" else "a"
    place = stage.gateways[dead]
    # What a crash of the whole machine takes with it; its disk stays.
    for interface in NAMES:
        place.run("wg-quick", "down", interface)
    place.run("ip", "link", "set", "to-net", "up")
    lead_out(place, dead)
    began = int(time.time())
    assert stage.agent(dead, "bootstrap").wait(60) == 0, stage.logs()
    stage.agents[dead] = stage.agent(dead, "run")
    until("it is back", lambda: (back := _records(stage)[dead]).applied and back.heartbeat_at > began)
    assert place.run("wg", "show", "wg-service", "peers") == ""
    assert _records(stage)[other].serving
    # Two of its leases' lengths: longer than it could hesitate.
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert stage.ask(stage.storage, 443)


def test_without_the_registry_clients_are_served_and_a_restarted_agent_starts_from_disk(stage):
    slot = _serving_now(stage)
    stage.net.run("nft", "-f", "-", stdin=_NO_REGISTRY)
    try:
        assert stage.ask(stage.storage, 443)
        stage.gateways[slot].stop(stage.agents[slot], signal.SIGTERM)
        stage.agents[slot] = stage.agent(slot, "run")
        until("an answer without the registry", lambda: stage.ask(stage.storage, 443), 30)
    finally:
        stage.net.run("nft", "delete", "table", "ip", "cutoff")


def test_a_revoked_peer_gets_no_packet_through(stage):
    until("an answer before", lambda: stage.ask(stage.storage, 443), 30)
    slot = _serving_now(stage)
    assert stage.pings6("10.100.0.1")
    assert f"src={stage.address6} " in stage.gateways[slot].run("conntrack", "-L", "-f", "ipv6")
    stage.revoke("ann", "ml")
    place = stage.gateways[slot]
    key = stage.keys["ann"][1]
    until("its key is gone", lambda: key not in place.run("wg", "show", "all", "peers"), 20)
    assert stage.ask(stage.storage, 443) == "" == stage.ask(PRIVATE_SERVICE6, 5432)
    assert not stage.pings6("10.100.0.1")
    assert stage.address not in place.run("nft", "list", "set", "inet", "twinlock", "served")
    assert stage.address6 not in place.run("nft", "list", "set", "inet", "twinlock", "served6")
    assert f"src={stage.address} " not in place.run("conntrack", "-L")
    assert f"src={stage.address6} " not in place.run("conntrack", "-L", "-f", "ipv6")
    assert stage.ask(stage.storage, 443) == ""  # its client knows nothing of it, and sends
    until("what it still sends is told by its name", lambda: _records(stage)[slot].shut_out.get("ml/ann", 0))


def _serving_now(stage: Stage) -> str:
    """The one that has called somebody and whose agent still runs: a dead one's record says what it last said."""
    alive = [slot for slot, agent in stage.agents.items() if agent.poll() is None]
    return next(slot for slot in alive if stage.gateways[slot].run("wg", "show", "wg-service", "peers"))


_NO_REGISTRY = """
table ip cutoff {
  chain f { type filter hook prerouting priority -400; policy accept; tcp dport 443 ip daddr 192.0.2.0/24 drop; }
}
"""
