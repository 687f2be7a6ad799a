"""What the registry refuses and how it speaks to DynamoDB, without one."""

from __future__ import annotations

import base64
import dataclasses
import json
import random
import time
from ipaddress import IPv4Address, IPv4Network

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from tests.registry_samples import definition, gateway_record, public_key
from twinlock.registry import items
from twinlock.registry.addresses import free_addresses, probes
from twinlock.registry.aws_errors import explained
from twinlock.registry.definition import (
    MINOR,
    Definition,
    DefinitionError,
    Service,
    Slot,
    Source,
    Tenant,
    definition_from_json,
    definition_to_json,
)
from twinlock.registry.dynamodb import DynamoTable, decode, encode
from twinlock.registry.errors import Corrupt, NotSignedIn, Refused, Unavailable
from twinlock.registry.ground import Clock, check_name
from twinlock.registry.model import Peer
from twinlock.registry.public_key import check_public_key
from twinlock.registry.table import Check, LostRace, absent

P = 2**255 - 19
LOW = (
    0,
    1,
    P - 1,
    P,
    P + 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


@pytest.mark.parametrize("point", [*LOW, *(low + 2**255 for low in LOW)])
def test_a_point_of_low_order_is_no_public_key(point):
    with pytest.raises(Refused, match="low order"):
        check_public_key(base64.b64encode(point.to_bytes(32, "little")).decode())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_x25519_agrees_on_which_points_give_everybody_the_same_secret(seed):
    """The list is right: the library refuses each of them, and none of ours."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    own = X25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    for point in LOW:
        with pytest.raises(ValueError, match=r".*"):
            own.exchange(X25519PublicKey.from_public_bytes(point.to_bytes(32, "little")))
    good = own.public_key().public_bytes_raw()
    check_public_key(base64.b64encode(good).decode())


@pytest.mark.parametrize(
    "key",
    ["", "AAAA", public_key(1)[:-1], public_key(1) + "\n", " " + public_key(1), "é" * 44, public_key(1)[:-2] + "/="],
)
def test_a_key_that_wg_would_not_print_is_refused(key):
    with pytest.raises(Refused):
        check_public_key(key)


@given(st.text(max_size=60))
def test_no_text_makes_the_key_check_do_anything_but_refuse(text):
    with pytest.raises(Refused):
        check_public_key(text)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a#b", "a b", "a/b", "a" * 64, "a\n", "é"])
def test_a_name_that_a_key_of_the_table_could_not_hold_is_refused(name):
    with pytest.raises(Refused):
        check_name(name)


@given(prefix=st.integers(24, 32), taken=st.sets(st.integers(0, 255), max_size=255), reserved=st.integers(0, 255))
def test_a_free_address_is_inside_and_neither_held_nor_reserved_nor_an_end(prefix, taken, reserved):
    network = IPv4Network(f"10.9.8.0/{prefix}")
    held = {str(IPv4Address(int(network.network_address) + offset)) for offset in taken}
    own = str(IPv4Address(int(network.network_address) + reserved))
    left = {str(host) for host in network} - held - {own, str(network[0]), str(network[-1])}
    for count in (1, 2):
        if len(left) >= count:
            given_ = free_addresses("red", str(network), {own}, held, count)
            assert (len(set(given_)), set(given_) <= left) == (count, True)
        else:
            with pytest.raises(Refused, match="widen"):
                free_addresses("red", str(network), {own}, held, count)


@given(prefix=st.integers(20, 32), reserved=st.integers(0, 255), count=st.integers(1, 200), seed=st.integers())
def test_addresses_that_are_tried_are_different_and_could_all_be_given(prefix, reserved, count, seed):
    network = IPv4Network(f"10.9.0.0/{prefix}")
    own = str(IPv4Address(int(network.network_address) + reserved))
    tried = probes(str(network), {own}, count, random.Random(seed))
    assert len(set(tried)) == len(tried) <= count
    assert not {own, str(network[0]), str(network[-1])} & set(tried)
    assert all(IPv4Address(address) in network for address in tried)


def test_a_definition_comes_back_as_it_was_written():
    assert definition_from_json(definition_to_json(definition())) == definition()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version 2"),
        ({"port": "51820"}, "port should be a whole number"),
        ({"port": True}, "port should be a whole number"),
        ({"surprise": 1}, "unknown ['surprise']"),
        ({"tunnel_range": "10.64.0.0/33"}, "not a valid netmask"),
        ({"gateway_address": "10.65.0.1"}, "not inside"),
        ({"tenants": [{}]}, "tenant: missing"),
        ({"slots": "ab"}, "slots should be a list"),
        ({"buckets": [1]}, "buckets should be a list of texts"),
        ({"zones": ["corp.internal'; reboot; '"]}, "is no name of a zone"),
        ({"zones": [""]}, "is no name of a zone"),
        ({"storage_zone": "s3.internal'"}, "is no name of a zone"),
        ({"storage_addresses": ["10.80.0.0/16"]}, "10.80.0.0/16"),
    ],
)
def test_a_definition_that_is_not_exact_is_refused(change, says):
    document = json.loads(definition_to_json(definition())) | change
    with pytest.raises(DefinitionError) as refused:
        definition_from_json(json.dumps(document))
    assert says in str(refused.value)


def _of_a_newer_program() -> dict:
    """With a field more in every part."""
    document = json.loads(definition_to_json(definition())) | {"minor": MINOR + 1, "news": 1}
    for part in (*document["tenants"], *document["slots"]):
        part["news"] = {"deep": [1]}
    for tenant in document["tenants"]:
        for part in (*tenant["services"], *tenant["sources"]):
            part["news"] = True
    assert any(tenant["services"] for tenant in document["tenants"])
    return document


def test_a_newer_program_that_only_adds_is_followed_without_what_it_added():
    assert definition_from_json(json.dumps(_of_a_newer_program())) == definition()


def test_a_newer_program_that_restricts_is_refused_and_says_what_to_do():
    with pytest.raises(DefinitionError, match="version 2, this program reads 1: update this program"):
        definition_from_json(json.dumps(_of_a_newer_program() | {"version": 2}))


def test_a_newer_program_may_leave_nothing_out_and_give_nothing_another_meaning():
    document = _of_a_newer_program()
    del document["mtu"]
    with pytest.raises(DefinitionError, match=r"missing \['mtu'\]"):
        definition_from_json(json.dumps(document))
    document = _of_a_newer_program()
    document["tenants"][0]["approval"] = "quorum"
    with pytest.raises(DefinitionError, match="approval is manual or auto"):
        definition_from_json(json.dumps(document))


def test_an_older_programs_definition_is_read_as_it_meant_it():
    document = json.loads(definition_to_json(definition()))
    del document["minor"], document["key"]
    for tenant in document["tenants"]:
        del tenant["preshared_keys"]
    read = definition_from_json(json.dumps(document))
    assert (read.key, {tenant.preshared_keys for tenant in read.tenants}) == ("", {False})


def test_each_field_that_was_added_has_a_default_and_a_minor_version():
    """A field more, without a word here: older gateways would stop following. Add it, and 1 to MINOR."""
    added = {
        1: {"Definition.key", "Tenant.preshared_keys", "Tenant.max_key_age"},
        2: {"Definition.prefix6"},
        3: {"Tenant.internet"},
        4: {"Definition.floating_address"},
        5: {"Definition.zones", "Definition.storage_zone", "Definition.storage_addresses"},
        6: {"Tenant.services6", "Tenant.cidrs6"},
    }
    parts = (Definition, Tenant, Service, Slot, Source)
    fields = {f"{part.__name__}.{field.name}": field for part in parts for field in dataclasses.fields(part)}
    later = {name for name, field in fields.items() if field.default is not dataclasses.MISSING}
    assert later == set().union(*added.values())
    assert max(added) == MINOR
    assert len(fields) - len(later) == 28


def test_private_zones_come_back_as_they_went():
    names = {"zones": ("corp.internal", "20.10.in-addr.arpa"), "storage_zone": "s3.eu-west-1.amazonaws.com"}
    held = dataclasses.replace(definition(), **names, storage_addresses=("10.80.128.9", "10.80.144.9"))
    assert definition_from_json(definition_to_json(held)) == held


def test_a_tenant_outside_of_the_tunnel_is_no_definition():
    text = definition_to_json(definition()).replace("10.64.3.0/24", "10.99.3.0/24")
    with pytest.raises(DefinitionError, match="tenant strict"):
        definition_from_json(text)


_values = st.one_of(
    st.text(), st.integers(-(10**20), 10**20), st.booleans(), st.lists(st.text()).map(tuple),
    st.dictionaries(st.text(min_size=1), st.integers(0, 10**12)),
)  # fmt: skip


@given(st.dictionaries(st.text(min_size=1), _values))
def test_items_come_back_from_the_wire_as_they_went(item):
    assert decode(encode(item)) == item


@pytest.mark.parametrize("wire", [{"B": b"x"}, {"N": "1.5"}, {"L": [{"N": "1"}]}, {"M": {"a": {"S": "x"}}}, {}])
def test_what_this_version_never_writes_is_corrupt_and_not_empty(wire):
    with pytest.raises(Corrupt):
        decode({"attribute": wire})


@pytest.mark.parametrize("ways", [None, 0, 12])
@pytest.mark.parametrize(("peers", "left_out"), [(None, 0), (0, 0), (65_536, 3)])
def test_a_gateway_record_comes_back_as_it_went(ways, peers, left_out):
    phases = {"taken_at": 1_700_000_000, "detection_ms": 300} if peers else {}
    shut_out = {"red/ann": 12} if left_out else {}
    record = gateway_record("a", ways=ways, peers=peers, left_out=left_out, phases=phases, shut_out=shut_out)
    assert items.gateway_from(decode(encode(items.gateway_item(record)))) == record


def test_of_phases_only_the_known_ones_are_read():
    item = items.gateway_item(gateway_record("a", phases={"calls_ms": 3, "nonsense": 9}))
    assert items.gateway_from(decode(encode(item))).phases == {"calls_ms": 3}


@pytest.mark.parametrize("expires_at", [None, 1_700_000_500])
def test_a_peer_comes_back_as_it_went_and_expires_by_the_time_alone(expires_at):
    peer = Peer(
        tenant="red", name="laptop", public_key=public_key(1), address="10.64.1.1", state="approved",
        enrolled_by="A:a", enrolled_at=1_700_000_000, approved_by=("B:b",), expires_at=expires_at,
    )  # fmt: skip
    item = decode(encode(items.peer_item("peer#red", peer)))
    assert items.peer_from(item, 1_700_000_499) == peer
    assert items.peer_from(item, 1_700_000_500).state == ("approved" if expires_at is None else "expired")


class Answers:
    """A client that raises, in turn, what it was given; then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), []

    def transact_write_items(self, **arguments):
        self.calls.append(arguments)
        if self.errors:
            raise self.errors.pop(0)
        return {}

    def get_item(self, **arguments):
        return self.transact_write_items(**arguments)


def cancelled(*codes: str) -> ClientError:
    error = {"Code": "TransactionCanceledException", "Message": "cancelled"}
    return ClientError(
        {"Error": error, "CancellationReasons": [{"Code": code} for code in codes]}, "TransactWriteItems"
    )


def failed(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "why\nnot"}}, "GetItem")


@pytest.mark.parametrize(
    "error",
    [
        cancelled("None", "TransactionConflict"),
        cancelled("ConditionalCheckFailed", "None"),
        cancelled("ThrottlingError"),
        failed("TransactionConflictException"),
    ],
)
def test_a_transaction_that_met_another_is_a_lost_race(error):
    with pytest.raises(LostRace):
        DynamoTable("t", Answers(error)).transact([Check(("a", "b"), absent())])


def test_a_transaction_that_aws_finds_wrong_is_not_tried_again():
    with pytest.raises(Unavailable):
        DynamoTable("t", Answers(cancelled("None", "ValidationError"))).transact([Check(("a", "b"), absent())])


def test_a_transaction_in_progress_is_asked_again_under_the_same_token():
    client, waits = Answers(failed("TransactionInProgressException")), []
    DynamoTable("t", client, waits.append).transact([Check(("a", "b"), absent())])
    assert len(waits) == 1
    assert len({call["ClientRequestToken"] for call in client.calls}) == 1
    assert len(client.calls) == 2


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (failed("AccessDeniedException"), Refused, "ask for the role"),
        (failed("ExpiredTokenException"), NotSignedIn, "sign in again"),
        (failed("UnrecognizedClientException"), NotSignedIn, "does not know these credentials"),
        (failed("ResourceNotFoundException"), Unavailable, "no such table"),
        (failed("InternalServerError"), Unavailable, "why not"),
        (NoCredentialsError(), NotSignedIn, "AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="https://x"), Unavailable, "can't be reached"),
        (ResponseParserError("<html>"), Unavailable, "is not AWS"),
    ],
)
def test_what_aws_answers_becomes_one_line_with_the_mend(error, kind, says):
    told = explained(error, "table t")
    assert type(told) is kind
    assert says in str(told)
    assert "\n" not in str(told)
    with pytest.raises(kind, match="table t"):
        DynamoTable("t", Answers(error)).get(("a", "b"))


def test_the_registry_takes_the_time_from_the_machine_unless_told():
    assert Clock().now() == pytest.approx(time.time(), abs=5)
