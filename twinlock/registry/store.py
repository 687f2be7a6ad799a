"""The registry: who may use the environment, which gateways there are, who serves.

Everything is read strongly consistent. Errors: Refused (the rules say no), Unavailable (no answer), Corrupt.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from twinlock.registry import items, keys, transitions
from twinlock.registry.addresses import QUARANTINE, Room, free_addresses, probes, room
from twinlock.registry.definition import Definition, DefinitionError, Tenant, definition_from_json
from twinlock.registry.errors import Corrupt, Refused, Unavailable
from twinlock.registry.model import (
    Actor,
    GatewayRecord,
    Identity,
    Peer,
    Rotation,
    ShardLease,
    SwitchWish,
    Wanted,
    numbered,
)
from twinlock.registry.public_key import check_public_key
from twinlock.registry.table import (
    DynamoDB,
    Item,
    Key,
    LostRace,
    Put,
    Table,
    absent,
    equals,
    key_of,
    number,
    text,
    texts,
)
from twinlock.registry.transitions import Change, Moment

BULK = 14  # peers of one transaction: seven items each at most, and DynamoDB takes 100
MARKS = 50  # peers that are marked as moved in one transaction
_PROBES, _ROUNDS = 16, 4  # addresses looked at for each that is wanted, and how often, before all leases are read
_SHARD = keys.shard(0)
_PATIENCE = 30.0  # seconds of trying against others who change the same tenant
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """Time as the registry sees it; tests bring their own."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    waited: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Lives:
    """What is live under one name."""

    pending: Peer | None
    current: Peer | None
    retiring: Peer | None

    @property
    def all(self) -> list[Peer]:
        return [peer for peer in (self.current, self.pending, self.retiring) if peer is not None]


class Registry:
    """One environment's registry: its DynamoDB table, through a client of boto3."""

    def __init__(self, table: str, client: DynamoDB, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._table = Table(table, client, self._clock.sleep)
        self._dice = random.Random()  # noqa: S311  (no secret)
        # Whose approvals stood at the last full read: an attestation that was once there stays, so that reading
        # thousands of peers again costs a query and not three reads for each.
        self._stood: dict[str, frozenset[Peer]] = {}

    # What gateways read and write.

    def definition(self) -> Definition:
        item = self._table.get((keys.DEFINITION, keys.DEFINITION_SORT))
        if item is None:
            raise Corrupt(f"table {self._table.name} holds no definition: has `pulumi up` gone through?")
        try:
            return definition_from_json(text(item, keys.DEFINITION_JSON))
        except DefinitionError as exc:
            raise Corrupt(f"table {self._table.name}: {exc}") from exc

    def generations(self) -> dict[str, int]:
        """The number of each tenant's last change; a tenant that never had one is not there."""
        return {text(item, keys.SORT): number(item, "generation") for item in self._table.query(keys.META)}

    def changed_names(self, tenant: str, since: int, upto: int) -> frozenset[str] | None:
        """Names of the peers that the generations after `since`, up to `upto`, changed; None: unknown, read all."""
        if upto < since:
            return None
        if upto == since:
            return frozenset()
        found = list(self._table.query(keys.change(tenant), items.change_sort(since + 1), items.change_sort(upto)))
        if len(found) != upto - since:
            return None
        return frozenset(name for item in found for name in texts(item, "names"))

    def served_peers(self, tenant: str, names: Iterable[str] | None = None) -> tuple[Peer, ...]:
        """The approved, unexpired peers (of these names) whose approvals hold, sorted by name.

        What an item claims is checked against the attestations of the people whom it names. An item that does not
        stand, or can't be read, is left out and logged: nobody's broken item may keep the others out.
        """
        rules = self._tenant(tenant)
        everyone = names is None
        found = self._table.query(keys.peer(tenant)) if names is None else self._named(keys.peer(tenant), names)
        peers = [peer for item in found if (peer := self._readable(item)) is not None and peer.state == "approved"]
        peers = self._not_revoked(tenant, peers, everyone=everyone)
        served = self._proven(rules, peers, self._stood.get(tenant, frozenset()) if everyone else frozenset())
        if everyone:
            self._stood[tenant] = frozenset(served)
        return tuple(sorted(served, key=lambda peer: peer.name))

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

    def write_lease(self, lease: ShardLease, *, over: str | None = None, seen: int | None = None) -> ShardLease:
        """The lease that is in force now: the given one if there was none, or it was its owner's, or `over`'s, or
        the very one that ends at `seen` (epoch milliseconds). No clock is compared."""
        free = absent() | equals("owner", lease.owner)
        if over is not None:
            free |= equals("owner", over)
        if seen is not None:
            free |= equals("until_ms", seen)
        held = self._table.put(items.shard_item(lease), free)
        return lease if held is None else items.shard_from(held)

    def switch_wish(self) -> SwitchWish | None:
        item = self._table.get((keys.SWITCH, _SHARD))
        return None if item is None else SwitchWish(to=text(item, "to"), asked_ms=number(item, "asked_ms"))

    def ask_switch(self, wish: SwitchWish) -> None:
        item = {keys.PARTITION: keys.SWITCH, keys.SORT: _SHARD, "to": wish.to, "asked_ms": wish.asked_ms}
        self._table.put(item)

    # What people change.

    def enrol(self, actor: Actor, tenant: str, name: str, public_key: str, ttl: int | None = None) -> Peer:
        """A new peer with an address of its own; pending, or approved where the tenant approves by itself.

        `ttl` in seconds. Raises Refused: unknown tenant, a bad name or key, a name or key in use, a full range.
        """
        if ttl is not None and ttl < 1:
            raise Refused(f"a peer that lives {ttl} s is none: pass one second at least")
        ends = None if ttl is None else self._now() + ttl
        [peer] = self.enrol_some(actor, tenant, [Wanted(name=name, public_key=public_key, expires_at=ends)])
        return peer

    def enrol_some(self, actor: Actor, tenant: str, wanted: Sequence[Wanted]) -> tuple[Peer, ...]:
        """BULK peers at most, all or none."""
        for one in wanted:
            check_wanted(one)

        def decide(moment: Moment, reserved: str) -> list[Change]:
            self._check_unused(moment, wanted)
            addresses = self._free_addresses(moment, reserved, len(wanted))
            return [
                transitions.enrol(moment, _new_peer(moment, one, address))
                for one, address in zip(wanted, addresses, strict=True)
            ]

        return self._change(actor, tenant, decide)

    def approve(self, actor: Actor, tenant: str, name: str) -> Peer:
        """One approval more; the peer is approved once it has as many as its tenant needs."""
        [peer] = self.approve_some(actor, tenant, [name])
        return peer

    def approve_some(self, actor: Actor, tenant: str, names: Sequence[str]) -> tuple[Peer, ...]:
        """BULK peers at most, all or none."""
        return self._change(
            actor,
            tenant,
            lambda moment, _: [
                transitions.approve(moment, lives.pending or self.peer(tenant, name), lives.current)
                for name, lives in self._lives(tenant, names)
            ],
        )

    def revoke(self, actor: Actor, tenant: str, name: str) -> Peer:
        """Its address is given again only after a quarantine, its key never."""
        [peer] = self.revoke_some(actor, tenant, [name])
        return peer

    def revoke_some(self, actor: Actor, tenant: str, names: Sequence[str]) -> tuple[Peer, ...]:
        """BULK peers at most, all or none."""
        return self._change(
            actor,
            tenant,
            lambda moment, _: [
                transitions.revoke(moment, lives.all or [self.peer(tenant, name)])
                for name, lives in self._lives(tenant, names)
            ],
        )

    def rotate(self, actor: Actor, tenant: str, name: str, public_key: str, grace: int) -> Peer:
        """A new key for an approved peer, which keeps its address and its end; pending until it is approved.

        From the approval on the old key is accepted for `grace` seconds more.
        """
        check_wanted(Wanted(name=name, public_key=public_key))

        def decide(moment: Moment, _: str) -> list[Change]:
            [(_, lives)] = self._lives(tenant, [name])
            current = lives.current or self.peer(tenant, name)
            if lives.pending is not None or lives.retiring is not None:
                raise Refused(f"peer {name} of tenant {tenant} is being rotated already: `twinlock peer list` shows it")
            if owner := self.owners([public_key]).get(public_key):
                raise Refused(f"this public key is or was that of peer {owner[1]} of tenant {owner[0]}: make another")
            return [transitions.rotate(moment, current, public_key, grace)]

        [peer] = self._change(actor, tenant, decide)
        return peer

    def live(self, tenant: str, name: str) -> tuple[Peer, ...]:
        """What is served first, then what waits for approval, then what was rotated away; empty if there is none."""
        [(_, lives)] = self._lives(tenant, [name])
        return tuple(lives.all)

    def owners(self, public_keys: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Of those public keys that are or were a peer's: (tenant, name)."""
        found = self._table.get_many((keys.KEY, key) for key in public_keys)
        return {key[1]: (text(item, "tenant"), text(item, "name")) for key, item in found.items()}

    def peers(self, tenant: str) -> tuple[Peer, ...]:
        """Of every state, by name; the tenant must exist."""
        self._tenant(tenant)
        partitions = (keys.pending(tenant), keys.peer(tenant), keys.revoked(tenant))
        found = [items.peer_from(item, self._now()) for part in partitions for item in self._table.query(part)]
        return tuple(sorted(found, key=lambda peer: (peer.name, peer.enrolled_at)))

    def scarce_room(self, tenant: str) -> Room | None:
        """How full the tenant's range is, if it nears its end; most times that is known from a few addresses."""
        definition = self.definition()
        cidr = tenant_of(definition, tenant).range
        tried = probes(cidr, {definition.gateway_address}, _PROBES, self._dice)
        if len(self._held_of(tenant, tried, self._now())) * 4 < len(tried) * 3:
            return None
        found = self.room(tenant)
        return found if found.scarce else None

    def room(self, tenant: str) -> Room:
        """How full the tenant's range is."""
        definition = self.definition()
        cidr = tenant_of(definition, tenant).range
        return room(cidr, {definition.gateway_address}, self._held(tenant, self._now()))

    def peer(self, tenant: str, name: str) -> Peer:
        """The one that is or was last of that name. Raises Refused if there never was one."""
        now = self._now()
        live = self._table.get_many([(keys.pending(tenant), name), (keys.peer(tenant), name)])
        found = [items.peer_from(item, now) for item in live.values()]
        past = self._table.query(keys.revoked(tenant), f"{name}#", f"{name}#~")  # "~" is beyond base64
        found += [items.peer_from(item, now) for item in past]
        if not found:
            self._tenant(tenant)
            raise Refused(f"tenant {tenant} has no peer {name}: `twinlock peer list` shows them")
        return max(found, key=_prominence)

    def _lives(self, tenant: str, names: Sequence[str]) -> list[tuple[str, Lives]]:
        """In the order of the names; what has expired is not live."""
        pending, current = (self._unexpired(keys.pending(tenant), names), self._unexpired(keys.peer(tenant), names))
        old = [(keys.revoked(tenant), f"{peer.name}#{peer.replaces}") for peer in current.values() if peer.replaces]
        retiring = {peer.name: peer for item in self._table.get_many(old).values() if (peer := self._retiring(item))}
        return [(name, Lives(pending.get(name), current.get(name), retiring.get(name))) for name in names]

    def _unexpired(self, partition: str, names: Sequence[str]) -> dict[str, Peer]:
        found = (items.peer_from(item, self._now()) for item in self._named(partition, names))
        return {peer.name: peer for peer in found if peer.state != "expired"}

    def _retiring(self, item: Item) -> Peer | None:
        """What was rotated away and is accepted for a while still."""
        peer = items.peer_from(item, self._now())
        return peer if peer.retires_at is not None and peer.state == "approved" else None

    def _change(self, actor: Actor, tenant: str, decide: Callable[[Moment, str], Sequence[Change]]) -> tuple[Peer, ...]:
        """Read, decide, write, and again from the start when somebody else wrote in between."""
        definition = self.definition()
        rules = tenant_of(definition, tenant)
        started, attempt = self._clock.waited(), 0
        while True:
            meta = self._table.get((keys.META, tenant))
            generation = 0 if meta is None else number(meta, "generation")
            moment = Moment(rules, generation, actor, self._now())
            changes = decide(moment, definition.gateway_address)
            try:
                self._table.transact(transitions.transaction(moment, changes))
            except LostRace as exc:
                if self._clock.waited() - started > _PATIENCE:
                    raise Unavailable(
                        f"tenant {tenant}: others change it all the time, gave up after {_PATIENCE:.0f} s: try again"
                    ) from exc
                attempt += 1
                self._clock.sleep(_jitter(attempt))
            else:
                return tuple(change.peer for change in changes)

    def _check_unused(self, moment: Moment, wanted: Sequence[Wanted]) -> None:
        tenant = moment.tenant.name
        live = (keys.pending(tenant), keys.peer(tenant))
        asked = [(keys.KEY, one.public_key) for one in wanted] + [(p, one.name) for p in live for one in wanted]
        found = self._table.get_many(asked)
        for one in wanted:
            if (held := found.get((keys.KEY, one.public_key))) is not None:
                where = f"peer {text(held, 'name')} of tenant {text(held, 'tenant')}"
                raise Refused(f"this public key is or was that of {where}: a key is used once, make another")
            for item in (found.get((partition, one.name)) for partition in live):
                if item is not None and (peer := items.peer_from(item, moment.now)).state != "expired":
                    raise Refused(
                        f"tenant {tenant} has a peer {one.name} already ({peer.state}): revoke it, or take another name"
                    )

    def _free_addresses(self, moment: Moment, reserved: str, count: int) -> tuple[str, ...]:
        """Found by looking at random ones; only in a range that is nearly full are all leases read."""
        tenant, cidr = moment.tenant.name, moment.tenant.range
        free: dict[str, None] = {}
        for _ in range(_ROUNDS):
            tried = probes(cidr, {reserved}, max(_PROBES, 4 * count), self._dice)
            held = self._held_of(tenant, tried, moment.now)
            free |= dict.fromkeys(address for address in tried if address not in held)
            if len(free) >= count:
                return tuple(free)[:count]
        return free_addresses(tenant, cidr, {reserved}, self._held(tenant, moment.now), count)

    def _held_of(self, tenant: str, addresses: Iterable[str], now: int) -> set[str]:
        found = self._table.get_many((keys.address_lease(tenant), address) for address in addresses)
        return {lease.address for lease in map(items.lease_from, found.values()) if _is_held(lease, now)}

    def _held(self, tenant: str, now: int) -> set[str]:
        """Addresses that are leased, or were until less than a quarantine ago."""
        leases = (items.lease_from(item) for item in self._table.query(keys.address_lease(tenant)))
        return {lease.address for lease in leases if _is_held(lease, now)}

    def _named(self, partition: str, names: Iterable[str]) -> Iterable[Item]:
        return self._table.get_many((partition, name) for name in names).values()

    def _not_revoked(self, tenant: str, peers: Sequence[Peer], *, everyone: bool) -> list[Peer]:
        """Never from memory. With those that they replace, as long as these are accepted."""
        if everyone:
            past = {key_of(item): item for item in self._table.query(keys.revoked(tenant))}
        else:
            replaced = [(keys.revoked(tenant), f"{peer.name}#{peer.replaces}") for peer in peers if peer.replaces]
            past = self._table.get_many([*map(transitions.revocation_key, peers), *replaced])
        retiring = {key: peer for key, item in past.items() if (peer := self._readable(item)) and peer.retires_at}
        kept = [peer for peer in peers if transitions.revocation_key(peer) not in past.keys() - retiring.keys()]
        wanted = ((keys.revoked(tenant), f"{peer.name}#{peer.replaces}") for peer in kept if peer.replaces)
        return kept + [peer for key in wanted if (peer := retiring.get(key)) and peer.state == "approved"]

    def _proven(self, rules: Tenant, peers: Sequence[Peer], stood: frozenset[Peer]) -> list[Peer]:
        unknown = [peer for peer in peers if peer not in stood]
        proofs = self._table.get_many(key for peer in unknown for key in transitions.attestation_keys(peer))
        return [peer for peer in peers if peer in stood or _stands(rules, peer, proofs)]

    def _readable(self, item: Item) -> Peer | None:
        try:
            peer = items.peer_from(item, self._now())
            check_name(peer.name)
            check_public_key(peer.public_key)
        except (Corrupt, Refused) as exc:
            _log.warning("not served: %s: %s", item.get(keys.SORT), exc)
            return None
        return peer

    def _tenant(self, name: str) -> Tenant:
        return tenant_of(self.definition(), name)

    def _now(self) -> int:
        return int(self._clock.now())


def tenant_of(definition: Definition, name: str) -> Tenant:
    for tenant in definition.tenants:
        if tenant.name == name:
            return tenant
    known = ", ".join(tenant.name for tenant in definition.tenants) or "none"
    raise Refused(f"environment {definition.environment} has no tenant {name}; it has: {known}")


def check_name(name: str) -> None:
    """Raises Refused unless it is 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends."""
    if _NAME.fullmatch(name) is None:
        raise Refused(f"{name!r} can't be a peer's name: 1 to 63 of a-z 0-9 . _ -, a letter or digit at both ends")


def _prominence(peer: Peer) -> tuple[bool, bool, bool, int]:
    """What is live comes before what was; what is served before the key that waits to replace it."""
    live = peer.state in ("pending", "approved")
    return live, peer.retires_at is None, peer.state == "approved", peer.enrolled_at


def check_wanted(one: Wanted) -> None:
    """Raises Refused for a name or a key that can't be a peer's."""
    check_name(one.name)
    check_public_key(one.public_key)


def _new_peer(moment: Moment, one: Wanted, address: str) -> Peer:
    if one.expires_at is not None and one.expires_at <= moment.now:
        raise Refused(f"peer {one.name} would have expired already: give it a later end")
    return Peer(
        tenant=moment.tenant.name,
        name=one.name,
        public_key=one.public_key,
        address=address,
        state="pending",
        enrolled_by=moment.actor.user_id,
        enrolled_at=moment.now,
        approved_by=(),
        expires_at=one.expires_at,
    )


def _is_held(lease: items.Lease, now: int) -> bool:
    return lease.held_until is None or lease.held_until > now - QUARANTINE


def _stands(tenant: Tenant, peer: Peer, proofs: Mapping[Key, Item]) -> bool:
    if transitions.attested(tenant, peer, proofs):
        return True
    _log.warning("not served: %s of tenant %s: its approvals do not stand", peer.name, peer.tenant)
    return False


def _jitter(attempt: int) -> float:
    """Seconds: full jitter, so that those who lost the same race do not meet again."""
    return random.uniform(0.0, min(1.0, 0.02 * 2 ** min(attempt, 8)))  # noqa: S311  (no secret)
