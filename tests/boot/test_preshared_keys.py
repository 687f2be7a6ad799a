"""Pre-shared keys with real handshakes: the agent that ships, wireguard-go, a stock client, moto's KMS.

One stage, in the order of a day: from the first data key to gateways that start without KMS.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace

import pytest

from tests.boot.agent_stage import GATEWAYS, Stage, definition, until
from twinlock.agent.interfaces import NAMES
from twinlock.registry.kms import KmsEnvelope
from twinlock.registry.model import Actor
from twinlock.registry.preshared import make_preshared_key

pytestmark = pytest.mark.timeout(180)
ENROLLER = Actor(user_id="AIDAENROLLER", arn="arn:aws:iam::123456789012:user/enroller", host="stage")
APPROVER = Actor(user_id="AIDAAPPROVER", arn="arn:aws:iam::123456789012:user/approver", host="stage")
_QUIET = 6.0  # seconds: a client asks for a handshake at once, and again after 5 s


def _wg(*words: str, stdin: str = "") -> str:
    return subprocess.run(["wg", *words], input=stdin, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("preshared"))
    try:
        kms = stage._client("kms")
        stage.arn = kms.create_key()["KeyMetadata"]["Arn"]
        wanting = tuple(replace(tenant, preshared_keys=tenant.name == "ml") for tenant in definition().tenants)
        stage.define(replace(definition(), tenants=wanting, key=stage.arn))
        stage.envelope = KmsEnvelope(kms, "stage", stage.arn)
        boots = [stage.agent(slot, "bootstrap") for slot in GATEWAYS]
        assert [boot.wait(60) for boot in boots] == [0, 0], stage.logs()
        stage.agents = {slot: stage.agent(slot, "run") for slot in GATEWAYS}
        stage.private = _wg("genkey")
        stage.public = _wg("pubkey", stdin=stage.private)
        yield stage
    finally:
        stage.close()


def _handshakes(stage: Stage) -> dict[str, int]:
    shown = stage.client.run("wg", "show", "wg-c", "latest-handshakes").split()
    return dict(zip(shown[::2], map(int, shown[1::2]), strict=True))


def _up(stage: Stage, service: str, ways: str) -> None:
    stage.client.run("wg-quick", "down", "wg-c", check=False)
    stage.client_up(stage.address, stage.private, service, ways)


def test_a_gateway_makes_the_tenants_data_key_and_another_tenant_gets_none(stage):
    [made] = until("the data key", lambda: stage.registry.data_keys.all("ml"))
    assert (made.number, made.retiring) == (1, False)
    assert stage.registry.data_keys.all("ci") == ()


def test_a_client_without_its_pre_shared_key_shakes_hands_with_no_gateway(stage):
    stage.key = make_preshared_key()
    data_key = stage.envelope.open(stage.registry.data_keys.current("ml"))
    stage.registry.enrol(ENROLLER, "ml", "ann", stage.public, preshared=data_key.wrap(stage.key, stage.public))
    stage.address = stage.registry.approve(APPROVER, "ml", "ann").address
    for place in stage.gateways.values():
        until("the way", lambda place=place: stage.public in place.run("wg", "show", "wg-way", "peers"))
    _up(stage, "", "")
    time.sleep(_QUIET)
    assert set(_handshakes(stage).values()) == {0}


def test_nor_with_a_wrong_one(stage):
    wrong = make_preshared_key().reveal()
    _up(stage, wrong, wrong)
    time.sleep(_QUIET)
    assert set(_handshakes(stage).values()) == {0}


def test_the_service_asks_for_it_too_and_not_its_ways_alone(stage):
    _up(stage, make_preshared_key().reveal(), stage.key.reveal())
    ways = {record.way_public_key for record in stage.registry.gateways(tuple(GATEWAYS))}
    until("both ways", lambda: all(_handshakes(stage)[way] for way in ways), 20)
    time.sleep(_QUIET / 2)
    assert [key for key, at in _handshakes(stage).items() if at == 0] == [_service(stage)]
    assert stage.ask(stage.storage, 443) == ""


def test_with_it_the_client_reaches_the_storage(stage):
    _up(stage, stage.key.reveal(), stage.key.reveal())
    until("an answer through the tunnel", lambda: stage.ask(stage.storage, 443), 30)
    assert all(_handshakes(stage).values())


def test_the_key_is_in_the_state_for_root_alone_and_in_no_log(stage):
    for slot, place in stage.gateways.items():
        assert set(place.run("sh", "-c", "stat -c '%a %U' /var/lib/twinlock/state.*").splitlines()) == {"600 root"}
        assert stage.key.reveal() in place.run("sh", "-c", "cat /var/lib/twinlock/state.*")
        assert stage.key.reveal() not in place.log("run") + place.console.read_text(), slot


@pytest.mark.long
def test_gateways_that_reboot_without_kms_still_have_it(stage):
    stage.net.run("nft", "-f", "-", stdin=_NO_KMS)
    try:
        for slot, place in stage.gateways.items():
            stage.gateways[slot].stop(stage.agents[slot], 9)
            for interface in NAMES:
                place.run("wg-quick", "down", interface)
        assert [stage.agent(slot, "bootstrap").wait(90) for slot in GATEWAYS] == [0, 0], stage.logs()
        stage.agents = {slot: stage.agent(slot, "run") for slot in GATEWAYS}
        stage.client.run("wg-quick", "down", "wg-c")
        time.sleep(1.1)  # WireGuard's own tool shows handshakes in whole seconds
        stage.client.run("wg-quick", "up", "wg-c")
        until("an answer without KMS", lambda: stage.ask(stage.storage, 443), 40)
    finally:
        stage.net.run("nft", "delete", "table", "ip", "cutoff")


def _service(stage: Stage) -> str:
    return stage.registry.gateways(tuple(GATEWAYS))[0].service_public_key


_NO_KMS = """
table ip cutoff {
  chain f { type filter hook prerouting priority -400; policy accept; tcp dport 443 ip daddr 192.0.2.1 drop; }
}
"""
