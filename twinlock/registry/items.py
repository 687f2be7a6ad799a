"""The registry's items and the types of model.py, in both directions: pure."""

from __future__ import annotations

from dataclasses import dataclass

from twinlock.registry import keys
from twinlock.registry.errors import Corrupt
from twinlock.registry.model import PHASES, GatewayRecord, Identity, Peer, Rotation, ShardLease, State, SwitchWish
from twinlock.registry.rolling import Launch, Roll
from twinlock.registry.table import Item, Key, Value, flag, key_of, number, numbers, text, texts

_DAY = 86_400
CHANGES_KEPT = 7 * _DAY
_EXPIRED_KEPT = 7 * _DAY
_SLACK = 3600  # beyond its quarantine, before the table deletes a lease


@dataclass(frozen=True)
class Lease:
    """A tunnel address that is held for a peer."""

    address: str
    name: str
    public_key: str
    held_until: int | None  # None: as long as the peer is there


_PEER_ATTRIBUTES = frozenset(
    {keys.PARTITION, keys.SORT, keys.TTL, "public_key", "address", "enrolled_by", "enrolled_at", "approved_by",
     "expires_at", "replaces", "grace", "preshared", "reach", "revoked_by", "revoked_at"}
)  # fmt: skip


def peer_item(partition: str, peer: Peer) -> dict[str, Value]:
    """A pending or approved peer, in the given partition."""
    return {keys.PARTITION: partition, keys.SORT: peer.name, **_peer_fields(peer)}


def revoked_item(peer: Peer, by: str, at: int) -> dict[str, Value]:
    """For ever, or for as long as the peer would have been there: after that its end keeps it out."""
    key = {keys.PARTITION: keys.revoked(peer.tenant), keys.SORT: revoked_sort(peer)}
    return {**key, **_peer_fields(peer), "revoked_by": by, "revoked_at": at}


def revoked_sort(peer: Peer) -> str:
    return f"{peer.name}#{peer.public_key}"


def peer_from(item: Item, now: int) -> Peer:
    """Of any state. Raises Corrupt."""
    partition, sort = key_of(item)
    kind, _, tenant = partition.partition("#")
    expires_at = number(item, "expires_at") if "expires_at" in item else None
    states: dict[str, State] = {"pending": "pending", "peer": "approved", "revoked": "revoked"}
    if kind not in states or not tenant:
        raise Corrupt(f"registry item ({partition}, {sort}) is not a peer")
    state = states[kind]
    retires_at = number(item, "revoked_at") if state == "revoked" else None
    if retires_at is not None and retires_at > now:
        state = "approved"  # rotated away, and accepted for a while
    else:
        retires_at = None
    if state != "revoked" and expires_at is not None and expires_at <= now:
        state = "expired"
    return Peer(
        tenant=tenant,
        name=sort.partition("#")[0],
        public_key=text(item, "public_key"),
        address=text(item, "address"),
        state=state,
        enrolled_by=text(item, "enrolled_by"),
        enrolled_at=number(item, "enrolled_at"),
        approved_by=texts(item, "approved_by"),
        expires_at=expires_at,
        replaces=text(item, "replaces") if "replaces" in item else None,
        grace=number(item, "grace") if "grace" in item else 0,
        retires_at=retires_at,
        preshared=text(item, "preshared") if "preshared" in item else None,
        reach=texts(item, "reach") if "reach" in item else None,
        others=tuple(sorted((name, value) for name, value in item.items() if name not in _PEER_ATTRIBUTES)),
    )


def attestation_item(key: Key, peer: Peer) -> dict[str, Value]:
    """That whoever may write this key wants this peer with this address, reach and end, and no other."""
    item: dict[str, Value] = {keys.PARTITION: key[0], keys.SORT: key[1], "address": peer.address}
    # That there is a pre-shared key, and not which: a key has one, and a data key's rotation wraps it anew.
    return item | _end(peer) | _reach(peer) | ({} if peer.preshared is None else {"preshared": True})


def attests(item: Item | None, peer: Peer) -> bool:
    """Whoever may write the peer's item alone can't move it, prolong it, widen it or take its pre-shared key away."""
    if item is None or item.get("preshared", False) is not (peer.preshared is not None):
        return False
    if item.get("reach", None) != peer.reach:
        return False
    return item.get("address") == peer.address and item.get("expires_at", None) == peer.expires_at


def subject(peer: Peer) -> str:
    """What an attestation is about: the sort key."""
    return f"{peer.tenant}#{peer.name}#{peer.public_key}"


def lease_item(tenant: str, lease: Lease, quarantine: int) -> dict[str, Value]:
    item: dict[str, Value] = {
        keys.PARTITION: keys.address_lease(tenant),
        keys.SORT: lease.address,
        "name": lease.name,
        "public_key": lease.public_key,
    }
    if lease.held_until is not None:
        item |= {"held_until": lease.held_until, keys.TTL: lease.held_until + quarantine + _SLACK}
    return item


def lease_from(item: Item) -> Lease:
    held_until = number(item, "held_until") if "held_until" in item else None
    return Lease(key_of(item)[1], text(item, "name"), text(item, "public_key"), held_until)


def change_sort(generation: int) -> str:
    return f"{generation:012d}"


def change_item(tenant: str, generation: int, names: tuple[str, ...], now: int) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.change(tenant),
        keys.SORT: change_sort(generation),
        "names": names,
        keys.TTL: now + CHANGES_KEPT,
    }


def gateway_item(record: GatewayRecord) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.gateway(record.slot),
        keys.SORT: "record",
        "slot": record.slot,
        "instance_id": record.instance_id,
        "zone": record.zone,
        "private_address": record.private_address,
        "public_address": record.public_address,
        "service_public_key": record.service_public_key,
        "way_public_key": record.way_public_key,
        "pair_public_key": record.pair_public_key,
        "agent_version": record.agent_version,
        "agent_sha256": record.agent_sha256,
        "booted_at": record.booted_at,
        "heartbeat_at": record.heartbeat_at,
        "applied": record.applied,
        "storage_prefixes": record.storage_prefixes,
        "serving": record.serving,
        **({"strays": record.strays} if record.strays else {}),
        **({"failing": record.failing} if record.failing else {}),
        **({"ways": record.ways} if record.ways is not None else {}),
        **({"peers": record.peers} if record.peers is not None else {}),
        **({"traffic": record.traffic} if record.traffic is not None else {}),
        **({"left_out": record.left_out} if record.left_out else {}),
        **({"phases": record.phases} if record.phases else {}),
        **({"shut_out": record.shut_out} if record.shut_out else {}),
        **({"floating": record.floating} if record.floating is not None else {}),
        **({"shards": tuple(map(str, record.shards))} if record.shards is not None else {}),
        **({"template": record.template} if record.template else {}),
    }


def gateway_from(item: Item) -> GatewayRecord:
    return GatewayRecord(
        slot=text(item, "slot"),
        instance_id=text(item, "instance_id"),
        zone=text(item, "zone"),
        private_address=text(item, "private_address"),
        public_address=text(item, "public_address"),
        service_public_key=text(item, "service_public_key"),
        way_public_key=text(item, "way_public_key"),
        pair_public_key=text(item, "pair_public_key"),
        agent_version=text(item, "agent_version"),
        agent_sha256=text(item, "agent_sha256"),
        booted_at=number(item, "booted_at"),
        heartbeat_at=number(item, "heartbeat_at"),
        applied=numbers(item, "applied"),
        storage_prefixes=texts(item, "storage_prefixes"),
        serving=flag(item, "serving"),
        strays=texts(item, "strays") if "strays" in item else (),
        failing=texts(item, "failing") if "failing" in item else (),
        ways=number(item, "ways") if "ways" in item else None,
        peers=number(item, "peers") if "peers" in item else None,
        traffic=numbers(item, "traffic") if "traffic" in item else None,
        left_out=number(item, "left_out") if "left_out" in item else 0,
        phases=_phases(item) if "phases" in item else {},
        shut_out=numbers(item, "shut_out") if "shut_out" in item else {},
        floating=flag(item, "floating") if "floating" in item else None,
        shards=_shards(item) if "shards" in item else None,
        template=text(item, "template") if "template" in item else "",
    )


def _phases(item: Item) -> dict[str, int]:
    return {name: value for name, value in numbers(item, "phases").items() if name in PHASES}


def identity_item(identity: Identity) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.IDENTITY,
        keys.SORT: identity.name,
        "public_key": identity.public_key,
        "secret_version": identity.secret_version,
        "claimed_at": identity.claimed_at,
    }


def identity_from(item: Item) -> Identity:
    return Identity(
        name=key_of(item)[1],
        public_key=text(item, "public_key"),
        secret_version=text(item, "secret_version"),
        claimed_at=number(item, "claimed_at"),
    )


def rotation_item(rotation: Rotation) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.ROTATION,
        keys.SORT: rotation.name,
        "number": rotation.number,
        "asked_at": rotation.asked_at,
        "until": rotation.until,
    }


def rotation_from(item: Item) -> Rotation:
    return Rotation(
        name=key_of(item)[1],
        number=number(item, "number"),
        asked_at=number(item, "asked_at"),
        until=number(item, "until"),
    )


def moved_item(rotation: Rotation, public_key: str) -> dict[str, Value]:
    key = {keys.PARTITION: keys.moved(rotation.identity), keys.SORT: public_key}
    return {**key, keys.TTL: rotation.until + CHANGES_KEPT}


def shard_item(lease: ShardLease) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.shard(lease.shard),
        keys.SORT: "lease",
        "shard": lease.shard,
        "owner": lease.owner,
        "until_ms": lease.until_ms,
    }


def shard_from(item: Item) -> ShardLease:
    return ShardLease(shard=number(item, "shard"), owner=text(item, "owner"), until_ms=number(item, "until_ms"))


def wish_item(wish: SwitchWish) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.SWITCH,
        keys.SORT: keys.shard(0),
        "to": wish.to,
        "asked_ms": wish.asked_ms,
        **({"shards": tuple(map(str, wish.shards))} if wish.shards else {}),
    }


def wish_from(item: Item) -> SwitchWish:
    shards = _shards(item) if "shards" in item else ()
    return SwitchWish(to=text(item, "to"), asked_ms=number(item, "asked_ms"), shards=shards)


def _shards(item: Item) -> tuple[int, ...]:
    found = texts(item, "shards")
    if not all(shard.isascii() and shard.isdigit() for shard in found):
        raise Corrupt(f"registry item {key_of(item)}: shards should be numbers")
    return tuple(map(int, found))


def launch_from(item: Item) -> Launch:
    return Launch(slot=key_of(item)[1], template=text(item, "template"), rolling=text(item, "rolling"))


def roll_item(roll: Roll) -> dict[str, Value]:
    return {
        keys.PARTITION: keys.ROLLING,
        keys.SORT: "lease",
        "slot": roll.slot,
        "instance_id": roll.instance_id,
        "at": roll.at,
        "tried": tuple(f"{slot} {template}" for slot, template in sorted(roll.tried.items())),
    }


def roll_from(item: Item) -> Roll:
    tried = dict(line.split(" ", 1) for line in texts(item, "tried") if " " in line)
    return Roll(slot=text(item, "slot"), instance_id=text(item, "instance_id"), at=number(item, "at"), tried=tried)


def _peer_fields(peer: Peer) -> dict[str, Value]:
    return {
        **dict(peer.others),
        "public_key": peer.public_key,
        "address": peer.address,
        "enrolled_by": peer.enrolled_by,
        "enrolled_at": peer.enrolled_at,
        "approved_by": peer.approved_by,
        **_end(peer),
        **({} if peer.replaces is None else {"replaces": peer.replaces, "grace": peer.grace}),
        **_reach(peer),
        **({} if peer.preshared is None else {"preshared": peer.preshared}),
    }


def _reach(peer: Peer) -> dict[str, Value]:
    return {} if peer.reach is None else {"reach": peer.reach}


def _end(peer: Peer) -> dict[str, Value]:
    if peer.expires_at is None:
        return {}
    return {"expires_at": peer.expires_at, keys.TTL: peer.expires_at + _EXPIRED_KEPT}
