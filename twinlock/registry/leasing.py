"""Who serves which shard, as the registry has it: claims, and the one item that they are written to.

Where there is one shard the item is its lease, and a claim one conditional write. Where there are more the same item
holds the lease of each, and a claim is made on what was read just before: an item a shard would cost sixteen writes a
second for each gateway, and sixteen calls in the path of a takeover. A gateway that knows of one shard alone (another
setting is being rolled out) reads it as that one's lease, and writes one that is everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twinlock.registry import items, keys
from twinlock.registry.errors import Corrupt
from twinlock.registry.model import LeaseClaim, ShardLease
from twinlock.registry.table import (
    Condition,
    Item,
    LostRace,
    Table,
    Value,
    absent,
    equals,
    key_of,
    number,
    numbers,
    texts,
)

_TRIES = 5  # gateways that write at the same moment


def claimed(held: Mapping[int, ShardLease], claims: Sequence[LeaseClaim]) -> dict[int, ShardLease]:
    """The leases after these claims: pure."""
    found = dict(held)
    for claim in claims:
        lease = held.get(claim.lease.shard)
        if (
            lease is None
            or lease.owner in (claim.lease.owner, claim.over)
            or (claim.seen is not None and lease.until_ms == claim.seen)
        ):
            found[claim.lease.shard] = claim.lease
    return found


def write_leases(table: Table, claims: Sequence[LeaseClaim], shards: int) -> Mapping[int, ShardLease]:
    """The leases in force afterwards. LostRace if others were faster again and again."""
    if shards == 1:
        (claim,) = claims
        return {0: _write_one(table, claim)}
    item = table.get((keys.shard(0), "lease"))
    for _ in range(_TRIES):
        held = {} if item is None else leases_from(item, shards)
        wanted = claimed(held, claims)
        if wanted == held:
            return held
        item = table.put(leases_item(wanted, 1 + _version(item)), _same(item))
        if item is None:
            return wanted
    raise LostRace("who serves which shard: other gateways write all the time")


def _write_one(table: Table, claim: LeaseClaim) -> ShardLease:
    free = absent() | equals("owner", claim.lease.owner)
    if claim.over is not None:
        free |= equals("owner", claim.over)
    if claim.seen is not None:
        free |= equals("until_ms", claim.seen)
    held = table.put(items.shard_item(claim.lease), free)
    return claim.lease if held is None else items.shard_from(held)


def _same(item: Item | None) -> Condition:
    """That nobody has written since."""
    if item is None:
        return absent()
    return equals("version", _version(item)) if "version" in item else equals("until_ms", number(item, "until_ms"))


def _version(item: Item | None) -> int:
    return number(item, "version") if item is not None and "version" in item else 0


def leases_item(leases: Mapping[int, ShardLease], version: int) -> dict[str, Value]:
    """Also a lease of the first shard, for a gateway that knows of no other."""
    first = leases[min(leases)]
    return {
        **items.shard_item(ShardLease(shard=0, owner=first.owner, until_ms=first.until_ms)),
        "version": version,
        "owners": tuple(f"{shard}={leases[shard].owner}" for shard in sorted(leases)),
        "untils": {str(shard): lease.until_ms for shard, lease in leases.items()},
    }


def leases_from(item: Item, shards: int) -> dict[int, ShardLease]:
    """Of each shard that has one. A lease of a gateway that knows of one shard is one of all."""
    if "owners" not in item:
        whole = items.shard_from(item)
        return {shard: ShardLease(shard=shard, owner=whole.owner, until_ms=whole.until_ms) for shard in range(shards)}
    untils = numbers(item, "untils")
    pairs = [entry.partition("=")[::2] for entry in texts(item, "owners")]
    if not all(shard.isascii() and shard.isdigit() and shard in untils for shard, _ in pairs):
        raise Corrupt(f"registry item {key_of(item)}: owners should name each shard that has an end")
    return {int(shard): ShardLease(shard=int(shard), owner=owner, until_ms=untils[shard]) for shard, owner in pairs}
