"""A registry as a file, and a file as a registry: in another table, region or account.

The file is JSON, a line each: a header, the items, and an end that counts them. It holds who may use the environment,
and what people said of them; nothing of gateways (their identities are theirs to make), nothing of who serves, no audit
entries. Its only secrets are wrapped; the key that opens them is not in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import cast

from twinlock.registry import items, keys
from twinlock.registry.data_keys import Envelope, sealed_from, sealed_item
from twinlock.registry.definition import Definition
from twinlock.registry.errors import Refused
from twinlock.registry.table import Delete, Item, Put, Table, Value, absent, key_of, text
from twinlock.registry.transitions import attestation_keys

FORMAT = 1
_BATCH = 50  # items of one transaction


@dataclass(frozen=True, kw_only=True)
class Backup:
    environment: str
    region: str
    key: str  # ARN of what seals the data keys
    taken_at: int
    items: tuple[Item, ...]  # in the order in which they are to be written


def take(table: Table, definition: Definition, now: int) -> Backup:
    """Raises Refused if peers were changed all the while."""
    for _ in range(5):
        before = _standing(table, definition)
        found = tuple(_items(table, definition, now))
        if _standing(table, definition) == before:
            return Backup(
                environment=definition.environment, region=definition.region, key=definition.key, taken_at=now,
                items=(*found, *_numbers(table)),
            )  # fmt: skip
    raise Refused("peers were changed while they were read, five times: try again when less is going on")


def to_text(backup: Backup) -> str:
    head = {"twinlock_registry": FORMAT, "environment": backup.environment, "region": backup.region,
            "key": backup.key, "taken_at": backup.taken_at}  # fmt: skip
    lines = [json.dumps(line, sort_keys=True) for line in (head, *map(dict, backup.items))]
    body = "\n".join(lines) + "\n"
    return body + json.dumps({"items": len(backup.items), "sha256": hashlib.sha256(body.encode()).hexdigest()}) + "\n"


def from_text(content: str, where: str) -> Backup:
    """Raises Refused for what is no whole backup, or one of a newer program."""
    body, _, end = content.rstrip("\n").rpartition("\n")
    try:
        head, *lines = [cast(dict[str, object], json.loads(line)) for line in body.split("\n")]
        last = cast(Mapping[str, object], json.loads(end))
        version = head["twinlock_registry"]
        if isinstance(version, int) and version > FORMAT:
            raise Refused(f"{where} was written by a newer program (form {version}, this one reads {FORMAT}): update")
        found = Backup(
            environment=str(head["environment"]), region=str(head["region"]), key=str(head["key"]),
            taken_at=int(cast(int, head["taken_at"])), items=tuple(map(_item, lines)),
        )  # fmt: skip
        whole = (last["items"], last["sha256"]) == (len(lines), hashlib.sha256(f"{body}\n".encode()).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Refused(f"{where} is no backup of a registry: pass a file of `registry backup`") from exc
    if not whole:
        raise Refused(f"{where} is not whole, or was changed: take another backup")
    return found


def check(backup: Backup, table: Table, definition: Definition) -> None:
    """Raises Refused unless the target is empty, or holds a part of this very backup, and has room for every peer."""
    wanted = {key_of(item): item for item in backup.items if not _is_data_key(item)}
    held = {**{key_of(item): item for item in table.query(keys.KEY)}, **table.get_many(wanted)}
    if any(wanted.get(key) != item for key, item in held.items()):
        raise Refused(
            f"registry {table.name} holds peers already, and not this backup's: a backup goes into an empty registry, "
            "or on where it was broken off"
        )
    ranges = {tenant.name: IPv4Network(tenant.range) for tenant in definition.tenants}
    for item in backup.items:
        kind, _, tenant = key_of(item)[0].partition("#")
        if kind not in ("pending", "peer"):
            continue
        if tenant not in ranges:
            raise Refused(f"environment {definition.environment} has no tenant {tenant}, and the backup has its peers")
        if IPv4Address(text(item, "address")) not in ranges[tenant]:
            raise Refused(
                f"peer {key_of(item)[1]} of tenant {tenant} has {text(item, 'address')}, which is not in "
                f"{ranges[tenant]} here: give the tenant the range that it had"
            )


def resealed(backup: Backup, old: Envelope, new: Envelope) -> Backup:
    """Data keys under the target's own key; pre-shared keys stay as they are wrapped."""

    def one(item: Item) -> Item:
        if not _is_data_key(item):
            return item
        sealed = sealed_from(item)
        return sealed_item(replace(new.seal(old.open(sealed), sealed.made_at), retiring=sealed.retiring))

    return replace(backup, items=tuple(map(one, backup.items)))


def without_preshared(backup: Backup) -> tuple[Backup, tuple[str, ...]]:
    """Without the peers that have a pre-shared key, and TENANT/NAME of each: they may enrol again with their keys."""
    locked = [item for item in backup.items if "preshared" in item and "public_key" in item]
    public, names = {text(item, "public_key") for item in locked}, [key_of(item) for item in locked]

    def stays(item: Item) -> bool:
        sort = key_of(item)[1]
        gone = item.get("public_key") in public or sort in public or sort.rpartition("#")[2] in public
        return not gone and not _is_data_key(item)

    left = tuple(item for item in backup.items if stays(item))
    return replace(backup, items=left), tuple(f"{part.partition('#')[2]}/{name}" for part, name in names)


def put_back(backup: Backup, table: Table) -> int:
    """How many items it wrote: all but those that are there from a run that was broken off.

    What a peer stands on is there before the peer, and the numbers come last."""
    kept = {key_of(item) for item in backup.items}
    for tenant in {key_of(item)[0].partition("#")[2] for item in backup.items}:
        # The gateways here have made data keys of their own, and nothing is wrapped with them yet.
        if own := [Delete(key_of(one)) for one in table.query(keys.data_key(tenant)) if key_of(one) not in kept]:
            table.transact(own)
    there = table.get_many(kept)
    left = [item for item in backup.items if _is_data_key(item) or key_of(item) not in there]
    for at in range(0, len(left), _BATCH):
        table.transact([Put(item, None if _is_data_key(item) else absent()) for item in left[at : at + _BATCH]])
    return len(left)


def _is_data_key(item: Item) -> bool:
    return key_of(item)[0].startswith(keys.data_key(""))


def _standing(table: Table, definition: Definition) -> tuple[Item, ...]:
    """What every change changes: the numbers of those that gateways see, and enrolments, which have none."""
    waiting = (item for tenant in definition.tenants for item in table.query(keys.pending(tenant.name)))
    return (*_numbers(table), *waiting)


def _numbers(table: Table) -> tuple[Item, ...]:
    return tuple(table.query(keys.META))


def _items(table: Table, definition: Definition, now: int) -> Iterator[Item]:
    yield from table.query(keys.KEY)
    peers: list[Item] = []
    for tenant in definition.tenants:
        yield from table.query(keys.data_key(tenant.name))
        yield from table.query(keys.address_lease(tenant.name))
        yield from (past := list(table.query(keys.revoked(tenant.name))))
        live = [*table.query(keys.pending(tenant.name)), *table.query(keys.peer(tenant.name))]
        peers += live
        said = {key for item in (*past, *live) for key in attestation_keys(items.peer_from(item, now))}
        yield from table.get_many(sorted(said)).values()
    yield from peers


def _item(line: Mapping[str, object]) -> Item:
    return {name: _value(value) for name, value in line.items()}


def _value(value: object) -> Value:
    if isinstance(value, list):
        return tuple(map(str, cast(Iterable[object], value)))
    if not isinstance(value, (str, int, dict)):
        raise TypeError("no value of an item")
    return cast(Value, value)
