"""Pre-shared keys from their wrapping to the interface: nothing shows them, nothing takes them away, nobody waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent_samples import ANN, BOB, NOW, Machine, definition, peer, state
from tests.preshared_samples import Kms, Sealed
from tests.registry_samples import ALICE
from twinlock.agent.box import Box
from twinlock.agent.calls import Call
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import desired
from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.nft import Nft
from twinlock.agent.preshared import PresharedKeys
from twinlock.agent.private_key import PrivateKey
from twinlock.agent.sides import SidedWg
from twinlock.agent.state_file import StateFile
from twinlock.registry import items, transitions
from twinlock.registry.errors import Corrupt, Refused
from twinlock.registry.kms import KmsEnvelope
from twinlock.registry.model import Peer
from twinlock.registry.preshared import (
    DataKey,
    PresharedKey,
    data_key_number,
    make_preshared_key,
    preshared_key_from_text,
)

DATA_KEY = DataKey("ml", 1, b"d" * 32)


def wrapped(key: PresharedKey, public_key: str = ANN, **changes) -> Peer:
    return replace(peer(key=public_key, **changes), preshared=DATA_KEY.wrap(key, public_key))


@given(st.binary(min_size=32, max_size=32))
def test_what_was_wrapped_opens_for_that_peer_and_data_key_alone(raw):
    text = DATA_KEY.wrap(PresharedKey(raw), ANN)
    assert DATA_KEY.unwrap(text, ANN) == PresharedKey(raw)
    assert data_key_number(text) == 1
    for key, public in ((DATA_KEY, BOB), (DataKey("ci", 1, DATA_KEY.raw), ANN), (DataKey("ml", 1, b"e" * 32), ANN)):
        with pytest.raises(Corrupt, match="does not open"):
            key.unwrap(text, public)


@pytest.mark.parametrize("text", ["", "1.", "1.AAAA", "1.####", "x.AAAA", "²." + "A" * 80])
def test_what_is_no_wrapped_key_is_said_in_one_line(text):
    with pytest.raises(Corrupt):
        DATA_KEY.unwrap(text, ANN)
        data_key_number(text)


def test_no_words_about_a_key_show_it():
    key = make_preshared_key()
    for shown in (repr(key), str(key), repr(DATA_KEY), repr(state(preshared={ANN: key}))):
        assert key.reveal() not in shown and repr(key.raw)[2:-1] not in shown and "ddd" not in shown
    with pytest.raises(Refused) as told:
        preshared_key_from_text("c2VjcmV0", "laptop.psk")
    assert "c2VjcmV0" not in str(told.value)


def test_whoever_may_write_a_peers_item_alone_can_not_take_its_pre_shared_key_away():
    given_one = wrapped(make_preshared_key())
    attestation = items.attestation_item(("enrolment#AIDAE", items.subject(given_one)), given_one)
    assert items.attests(attestation, given_one)
    assert not items.attests(attestation, replace(given_one, preshared=None))
    without = items.attestation_item(("enrolment#AIDAE", items.subject(given_one)), replace(given_one, preshared=None))
    assert not items.attests(without, given_one)


def test_a_revoked_peers_item_keeps_no_pre_shared_key():
    moment = transitions.Moment(definition().tenants[0], 3, ALICE, NOW)
    change = transitions.revoke(moment, [wrapped(make_preshared_key())])
    assert not [write for write in change.writes if "preshared" in getattr(write, "item", {})]


class Stage:
    """A gateway's box and what opens pre-shared keys on it."""

    def __init__(self) -> None:
        self.kms, self.store, self.machine = Kms(), Sealed(), Machine()
        self.box = Box(SidedWg(self.machine), Nft(self.machine), Conntrack(self.machine))
        self.keys = self.fresh()

    def fresh(self) -> PresharedKeys:
        return PresharedKeys(self.store, lambda what: self.envelope(), lambda: NOW)

    def envelope(self) -> KmsEnvelope:
        return KmsEnvelope(self.kms, "lab", "arn:aws:kms:eu-west-1:123456789012:key/1")

    def sealed(self, key: DataKey = DATA_KEY) -> None:
        self.store.add(self.envelope().seal(key, NOW))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_pre_shared_key_reaches_way_and_service_by_standard_input_alone(stage):
    stage.sealed()
    key = make_preshared_key()
    opened = stage.keys.unlocked(state(wrapped(key)))
    stage.keys.check()
    stage.box.reconcile(desired(opened, NOW, "a"))
    assert stage.machine.preshared == {ANN: key.reveal()}
    stage.machine.preshared.clear()
    stage.box.call([Call(public_key=ANN, endpoint="198.51.100.2:29112", address="10.100.1.1")])
    assert stage.machine.preshared == {ANN: key.reveal()}
    assert not [words for words in stage.machine.asked if key.reveal() in " ".join(words)]


def test_the_second_side_of_a_way_has_the_pre_shared_keys_too(stage):
    stage.sealed()
    key = make_preshared_key()
    stage.box.reconcile(desired(stage.keys.unlocked(state(wrapped(key))), NOW, "a"))
    stage.machine.asked.clear()
    stage.machine.told.clear()
    stage.box.wg.serve("wg-way", (PrivateKey(b"1" * 32), PrivateKey(b"2" * 32)))
    assert ("wg", "addconf", "wg-way2", "/dev/stdin") in stage.machine.asked
    assert [text for text in stage.machine.told if f"PresharedKey = {key.reveal()}" in text]


def test_a_peer_whose_key_can_not_be_opened_waits_and_nobody_else_does(stage):
    stage.sealed()
    stage.kms.gone = True
    waiting = stage.keys.unlocked(state(wrapped(make_preshared_key()), peer("bob", BOB, "10.100.2.1", "ci")))
    with pytest.raises(CloudUnavailable, match="data key of tenant ml"):
        stage.keys.check()
    want = desired(waiting, NOW, "a")
    assert set(want.peers) == {BOB}
    assert "pre-shared key is not known here yet" in want.refused[0]
    stage.kms.gone = False
    assert set(desired(stage.keys.unlocked(waiting), NOW, "a").peers) == {ANN, BOB}
    stage.keys.check()


def test_a_data_key_is_opened_once_for_all_peers_and_not_again(stage):
    stage.sealed()
    some = [wrapped(make_preshared_key()), wrapped(make_preshared_key(), BOB, name="bob", address="10.100.1.2")]
    opened = stage.keys.unlocked(state(*some))
    assert stage.keys.unlocked(opened) is opened
    assert len(opened.preshared) == 2 and stage.kms.opened == 1


def test_a_gateway_that_starts_without_kms_knows_what_it_knew(stage, tmp_path):
    stage.sealed()
    key = make_preshared_key()
    StateFile(tmp_path).save(stage.keys.unlocked(state(wrapped(key))))
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    stage.kms.gone = True
    again = stage.fresh()
    found = again.unlocked(StateFile(tmp_path).load())
    again.check()
    assert desired(found, NOW, "a").preshared == {ANN: key}


def test_gateways_make_a_tenants_first_data_key_and_only_where_it_is_wanted(stage):
    tenants = tuple(replace(tenant, preshared_keys=tenant.name == "ci") for tenant in definition().tenants)
    wanting = state(definition=definition(tenants=tenants))
    stage.keys.unlocked(wanting)
    stage.keys.check()
    assert {tenant: [key.number for key in held] for tenant, held in stage.store.keys.items()} == {"ci": [1]}
    stage.fresh().unlocked(wanting)
    assert len(stage.store.keys["ci"]) == 1


def test_a_revoked_peers_key_is_forgotten(stage, tmp_path):
    stage.sealed()
    opened = stage.keys.unlocked(state(wrapped(make_preshared_key())))
    gone = stage.keys.unlocked(replace(opened, peers={"ml": {}, "ci": {}}))
    assert gone.preshared == {}
