"""People, keys and an environment for the tests of the registry and the command."""

from __future__ import annotations

import base64
import hashlib

from twinlock.registry import keys
from twinlock.registry.definition import Definition, Service, Slot, Tenant, definition_to_json
from twinlock.registry.dynamodb import encode
from twinlock.registry.model import Actor, GatewayRecord
from twinlock.registry.table import Item

ALICE = Actor(user_id="AROAALICE:alice", arn="arn:aws:sts::123456789012:assumed-role/enroller/alice", host="desk")
BOB = Actor(user_id="AROABOB:bob", arn="arn:aws:sts::123456789012:assumed-role/approver/bob", host="desk")
CAROL = Actor(user_id="AROACAROL:carol", arn="arn:aws:sts::123456789012:assumed-role/approver/carol", host="desk")


def public_key(seed: int | str) -> str:
    """Base64 of 32 bytes, the same for the same seed."""
    return base64.b64encode(hashlib.sha256(f"key {seed}".encode()).digest()).decode()


def tenant(name: str, cidr: str, approval="manual", approvers=1, storage=True, services=(), cidrs=()) -> Tenant:
    return Tenant(
        name=name,
        range=cidr,
        approval=approval,
        approvers=approvers,
        storage=storage,
        services=services,
        cidrs=cidrs,
        sources=(),
    )


def definition() -> Definition:
    nfs = Service(name="nfs", cidr="10.80.12.7/32", port=2049, protocol="tcp")
    return Definition(
        environment="lab",
        region="eu-west-1",
        tunnel_range="10.64.0.0/16",
        gateway_address="10.64.0.1",
        port=51820,
        mtu=1420,
        buckets=("lab-data",),
        tenants=(
            tenant("red", "10.64.1.0/24", services=(nfs,), cidrs=("10.80.64.0/20",)),
            tenant("auto", "10.64.2.0/24", approval="auto", storage=False),
            tenant("strict", "10.64.3.0/24", approvers=2),
            tenant("tiny", "10.64.0.0/29"),
        ),
        slots=(
            Slot(name="a", zone="eu-west-1a", public_address="198.51.100.10", private_address="10.80.0.10"),
            Slot(name="b", zone="eu-west-1b", public_address="198.51.100.11", private_address="10.80.1.10"),
        ),
    )


def gateway_record(slot: str, **changes) -> GatewayRecord:
    index = "ab".index(slot)
    fields = {
        "slot": slot,
        "instance_id": f"i-{index:017x}",
        "zone": f"eu-west-1{slot}",
        "private_address": f"10.80.{index}.10",
        "public_address": f"198.51.100.{10 + index}",
        "service_public_key": public_key("service"),
        "way_public_key": public_key(f"way {slot}"),
        "pair_public_key": public_key(f"pair {slot}"),
        "agent_version": "0.1.0",
        "agent_sha256": "0" * 64,
        "booted_at": 1_700_000_000,
        "heartbeat_at": 1_700_000_100,
        "applied": {"red": 2},
        "storage_prefixes": ("52.218.0.0/17", "3.5.64.0/21"),
        "serving": False,
    }
    return GatewayRecord(**(fields | changes))


def definition_item(what: Definition) -> Item:
    return {
        keys.PARTITION: keys.DEFINITION,
        keys.SORT: keys.DEFINITION_SORT,
        keys.DEFINITION_JSON: definition_to_json(what),
    }


def write_definition(client, table: str, what: Definition) -> None:
    """As the program does."""
    client.put_item(TableName=table, Item=encode(definition_item(what)))


class FakeClock:
    """Stands still until told."""

    def __init__(self, seconds: float = 1_700_000_000.0) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return self._seconds

    def pass_(self, seconds: float) -> None:
        self._seconds += seconds
