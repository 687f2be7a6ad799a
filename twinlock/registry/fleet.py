"""The registry as gateways and those who run them use it: identities, their rotations, records, who serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from twinlock.registry import items, keys, traffic
from twinlock.registry.errors import Refused
from twinlock.registry.ground import Ground
from twinlock.registry.leasing import write_leases
from twinlock.registry.model import GatewayRecord, Identity, LeaseClaim, Rotation, ShardLease, SwitchWish, numbered
from twinlock.registry.rolling import Roll, Rolling
from twinlock.registry.table import Put, absent, equals, key_of, texts
from twinlock.registry.traffic import Traffic

MARKS = 50  # peers that are marked as moved in one transaction


class Fleet(Ground):
    """The gateways of an environment."""

    def identity(self, name: str) -> Identity | None:
        item = self._table.get((keys.IDENTITY, name))
        return None if item is None else items.identity_from(item)

    def claim_identity(self, identity: Identity) -> Identity:
        """The winner's: the given one if nobody claimed that name before."""
        held = self._table.put(items.identity_item(identity), absent())
        return identity if held is None else items.identity_from(held)

    def rotations(self) -> dict[str, Rotation]:
        """The last rotation of each identity that ever had one, by its name."""
        return {found.name: found for found in map(items.rotation_from, self._table.query(keys.ROTATION))}

    def start_rotation(self, name: str, window: int) -> Rotation:
        """The next identity beside the current one for `window` seconds. Raises Refused while one is under way."""
        now, last = self._now(), self.rotations().get(name)
        if window < 1:
            raise Refused(f"a window of {window} s is none: pass one second at least")
        if last is not None and now < last.until:
            raise Refused(f"identity {name} is being rotated already: `twinlock gateway rotation` shows how far it is")
        if self.identity(numbered(name, last.number if last else 0)) is None:
            raise Refused(f"no gateway has made the identity {name} yet: there is nothing to rotate")
        following = Rotation(name=name, number=1 + (last.number if last else 0), asked_at=now, until=now + window)
        same = absent() if last is None else equals("number", last.number)
        if self._table.put(items.rotation_item(following), same) is not None:
            raise Refused(f"somebody else rotates identity {name} just now: `twinlock gateway rotation` shows it")
        return following

    def end_rotation(self, rotation: Rotation) -> None:
        """The old identity ends now; nothing happens if that rotation is not the last one any more."""
        ended = replace(rotation, until=min(rotation.until, self._now()))
        self._table.put(items.rotation_item(ended), equals("number", rotation.number))

    def moved(self, rotation: Rotation) -> frozenset[str]:
        """The public keys of the peers that were seen on the new identity."""
        return frozenset(key_of(item)[1] for item in self._table.query(keys.moved(rotation.identity)))

    def mark_moved(self, rotation: Rotation, public_keys: Sequence[str]) -> None:
        """MARKS at most."""
        self._table.transact([Put(items.moved_item(rotation, key)) for key in public_keys])

    def put_gateway(self, record: GatewayRecord) -> None:
        self._table.put(items.gateway_item(record))

    def gateways(self, slots: Iterable[str]) -> tuple[GatewayRecord, ...]:
        """The records that exist, in the order of the slots."""
        wanted = [(keys.gateway(slot), "record") for slot in slots]
        found = self._table.get_many(wanted)
        return tuple(items.gateway_from(found[key]) for key in wanted if key in found)

    def ways(self, slot: str) -> dict[str, tuple[str, ...]]:
        """Where a slot's gateway last had its ways: pieces of lines, as that gateway wrote them."""
        return {key_of(item)[1]: texts(item, "ends") for item in self._table.query(keys.ways(slot))}

    def keep_ways(self, slot: str, piece: str, ends: tuple[str, ...]) -> None:
        self._table.put({keys.PARTITION: keys.ways(slot), keys.SORT: piece, "ends": ends})

    def keep_traffic(self, slot: str, piece: str, lines: tuple[str, ...]) -> None:
        self._table.put({keys.PARTITION: keys.traffic(slot), keys.SORT: piece, "lines": lines})

    def traffic(self, slots: Iterable[str], address: str, name: str) -> Traffic | None:
        """What these slots' gateways counted of a peer since their agents began; None: nothing yet."""
        found = self._table.get_many((keys.traffic(slot), traffic.piece(address)) for slot in slots)
        counted = (traffic.find(texts(item, "lines"), address, name) for item in found.values())
        known = [one for one in counted if one is not None]
        return sum(known, Traffic()) if known else None

    def write_leases(self, claims: Sequence[LeaseClaim], shards: int) -> Mapping[int, ShardLease]:
        """The leases that are in force now, of all shards that have one; `shards` is how many there are."""
        return write_leases(self._table, claims, shards)

    def rolling(self, slots: Iterable[str]) -> Rolling:
        """What these slots' groups launch, and whose machine is being replaced."""
        lease = (keys.ROLLING, "lease")
        found = self._table.get_many([lease, *((keys.LAUNCH, slot) for slot in slots)])
        launches = (items.launch_from(item) for key, item in found.items() if key != lease)
        return Rolling(
            launches={launch.slot: launch for launch in launches},
            roll=items.roll_from(found[lease]) if lease in found else None,
        )

    def take_roll(self, roll: Roll, over: Roll | None) -> bool:
        """Whether the rolling lease is this one now: it is if it was `over` until then."""
        free = absent() if over is None else equals("instance_id", over.instance_id)
        return self._table.put(items.roll_item(roll), free) is None

    def switch_wish(self) -> SwitchWish | None:
        item = self._table.get((keys.SWITCH, keys.shard(0)))
        return None if item is None else items.wish_from(item)

    def ask_switch(self, wish: SwitchWish) -> None:
        self._table.put(items.wish_item(wish))
