"""The registry as people and programs change it: enrol, approve, revoke, rotate, and look at the peers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from twinlock.registry import items, keys, transitions
from twinlock.registry.definition import Tenant
from twinlock.registry.errors import Refused, Unavailable
from twinlock.registry.ground import check_wanted, tenant_of
from twinlock.registry.leases import Leases
from twinlock.registry.model import Actor, Peer, Wanted
from twinlock.registry.preshared import data_key_number
from twinlock.registry.reach import NARROWING, check_reach
from twinlock.registry.table import Item, LostRace, number, text
from twinlock.registry.transitions import Change, Moment

BULK = 14  # peers of one transaction: seven items each at most, and both clouds take 100
_PATIENCE = 30.0  # seconds of trying against others who change the same tenant


@dataclass(frozen=True)
class Lives:
    """What is live under one name."""

    pending: Peer | None
    current: Peer | None
    retiring: Peer | None

    @property
    def all(self) -> list[Peer]:
        return [peer for peer in (self.current, self.pending, self.retiring) if peer is not None]


class People(Leases):
    """What people change."""

    def enrol(
        self,
        actor: Actor,
        tenant: str,
        name: str,
        public_key: str,
        ttl: int | None = None,
        preshared: str | None = None,
        reach: tuple[str, ...] | None = None,
    ) -> Peer:
        """A new peer with an address of its own; pending, or approved where the tenant approves by itself.

        `ttl` in seconds; `preshared` is wrapped; `reach` names what of the tenant's destinations it may reach.
        Raises Refused: unknown tenant or destination, a bad name or key, a name or key in use, a full range.
        """
        if ttl is not None and ttl < 1:
            raise Refused(f"a peer that lives {ttl} s is none: pass one second at least")
        ends = None if ttl is None else self._now() + ttl
        one = Wanted(name=name, public_key=public_key, expires_at=ends, preshared=preshared, reach=reach)
        [peer] = self.enrol_some(actor, tenant, [one])
        return peer

    def enrol_some(self, actor: Actor, tenant: str, wanted: Sequence[Wanted]) -> tuple[Peer, ...]:
        """BULK peers at most, all or none."""
        for one in wanted:
            check_wanted(one)

        def decide(moment: Moment, reserved: str) -> list[Change]:
            self._check_unused(moment, wanted)
            self._check_preshared(moment.tenant, wanted)
            for one in wanted:
                check_reach(moment.tenant, one.reach)
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

    def rotate(
        self, actor: Actor, tenant: str, name: str, public_key: str, grace: int, preshared: str | None = None
    ) -> Peer:
        """A new key for an approved peer, which keeps its address and its end; pending until it is approved.

        From the approval on the old key is accepted for `grace` seconds more, with the pre-shared key that it had.
        """
        wanted = Wanted(name=name, public_key=public_key, preshared=preshared)
        check_wanted(wanted)

        def decide(moment: Moment, _: str) -> list[Change]:
            self._check_preshared(moment.tenant, [wanted])
            [(_, lives)] = self._lives(tenant, [name])
            current = lives.current or self.peer(tenant, name)
            if lives.pending is not None or lives.retiring is not None:
                raise Refused(f"peer {name} of tenant {tenant} is being rotated already: `twinlock peer list` shows it")
            if owner := self.owners([public_key]).get(public_key):
                raise Refused(f"this public key is or was that of peer {owner[1]} of tenant {owner[0]}: make another")
            return [transitions.rotate(moment, current, public_key, grace, preshared)]

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
            if not changes:
                return ()
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

    def _check_preshared(self, rules: Tenant, wanted: Sequence[Wanted]) -> None:
        if rules.preshared_keys and any(one.preshared is None for one in wanted):
            raise Refused(f"tenant {rules.name} wants a pre-shared key of each peer: pass --preshared-key-file")
        numbers = {data_key_number(one.preshared) for one in wanted if one.preshared is not None}
        current = self.data_keys.current(rules.name) if numbers else None
        if numbers and (current is None or numbers != {current.number}):
            raise Refused(f"the data key of tenant {rules.name} was rotated meanwhile: try again")

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


def _prominence(peer: Peer) -> tuple[bool, bool, bool, int]:
    """What is live comes before what was; what is served before the key that waits to replace it."""
    live = peer.state in ("pending", "approved")
    return live, peer.retires_at is None, peer.state == "approved", peer.enrolled_at


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
        preshared=one.preshared,
        reach=one.reach,
        others=() if one.reach is None else (("needs", (NARROWING,)),),
    )


def _jitter(attempt: int) -> float:
    """Seconds: full jitter, so that those who lost the same race do not meet again."""
    return random.uniform(0.0, min(1.0, 0.02 * 2 ** min(attempt, 8)))  # noqa: S311  (no secret)
