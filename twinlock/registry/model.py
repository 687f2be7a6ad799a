"""What the registry holds, as its readers and writers see it. Times are epoch seconds unless the name says ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["pending", "approved", "revoked", "expired"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Someone or something that may use the environment, or asks to, or once did."""

    tenant: str
    name: str
    public_key: str  # base64 of 32 bytes
    address: str  # IPv4 inside the tenant's range, without a prefix length
    state: State  # "expired" is computed from expires_at, never written
    enrolled_by: str  # AWS unique user id, as sts:GetCallerIdentity's UserId
    enrolled_at: int
    approved_by: tuple[str, ...]  # the same kind of ids, in the order of approval
    expires_at: int | None  # None: stays until revoked
    replaces: str | None = None  # the public key that this one was rotated from
    grace: int = 0  # seconds that the replaced key is accepted for, from the approval on
    retires_at: int | None = None  # of a key that was rotated away: accepted until then
    preshared: str | None = None  # its pre-shared key, wrapped (preshared.py)
    reach: tuple[str, ...] | None = None  # what it may reach of what its tenant may (reach.py); None: all
    # What a newer program wrote besides, which stays in the item when this one writes it again.
    others: tuple[tuple[str, str | int | bool | tuple[str, ...] | Mapping[str, int]], ...] = field(
        default=(), hash=False
    )

    @property
    def needs(self) -> frozenset[str]:
        """What a program has to know that serves this peer (versions.py)."""
        named = dict(self.others).get("needs", ())
        return frozenset(named) if isinstance(named, tuple) else frozenset({"its needs"})

    @property
    def ends_at(self) -> int | None:
        """When it is no longer to be served, as far as that is known now."""
        return min((at for at in (self.expires_at, self.retires_at) if at is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A peer as somebody asks for it."""

    name: str
    public_key: str
    expires_at: int | None = None
    preshared: str | None = None  # wrapped
    reach: tuple[str, ...] | None = None  # None: all that the tenant may reach


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who changes the registry: IAM lets `user_id` alone write under its own keys, the rest is for reading."""

    user_id: str  # as sts:GetCallerIdentity's UserId, which is ${aws:userid}
    arn: str
    host: str  # the name of the machine that the command ran on


# What a gateway says of the last change of who serves; each is there if it applies.
PHASES = ("taken_at", "switch", "called", "detection_ms", "lease_ms", "calls_ms", "answers_ms", "let_go_at",
          "let_go_ms")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GatewayRecord:
    """What a slot's gateway says of itself; `heartbeat_at` tells how old it is."""

    slot: str
    instance_id: str
    zone: str
    private_address: str
    public_address: str
    service_public_key: str
    way_public_key: str
    pair_public_key: str
    agent_version: str
    agent_sha256: str
    booted_at: int
    heartbeat_at: int
    applied: Mapping[str, int]  # tenant -> the generation that the gateway has made true
    storage_prefixes: tuple[str, ...]  # CIDRs of the storage endpoint
    serving: bool
    strays: tuple[str, ...] = ()  # a line for each thing that was changed on the gateway by hand in the last day
    failing: tuple[str, ...] = ()  # checks of its own health (docs/availability.md)
    ways: int | None = None  # how many clients hold a fresh way to it; None: an older one, which can't say
    peers: int | None = None  # how many it lets in, keys that retire among them; None: as above
    traffic: Mapping[str, int] | None = None  # of all its peers since its agent began: Traffic's fields (traffic.py)
    phases: Mapping[str, int] = field(default_factory=dict[str, int])  # by names of PHASES
    left_out: int = 0  # peers of the registry that it does not serve: it does not believe them, or has no place
    # TENANT/NAME of peers that were shut out within the hour -> packets that still came from where they were.
    shut_out: Mapping[str, int] = field(default_factory=dict[str, int])
    floating: bool | None = None  # whether it holds the floating address; None: there is none
    shards: tuple[int, ...] | None = None  # those that it serves; None: there is but one
    template: str = ""  # digest of the launch template that it was booted from; empty: an older one, which can't say


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who won the race for an identity ("service", "way#SLOT")."""

    name: str
    public_key: str
    secret_version: str  # the secret's version id that holds the private half
    claimed_at: int


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """The last time that an identity ("service", "way#SLOT") was replaced, or is being."""

    name: str
    number: int  # from 1; 0 is the identity that the first gateway made
    asked_at: int
    until: int  # the one before it is served until then

    @property
    def identity(self) -> str:
        """Under which name the new one is claimed."""
        return numbered(self.name, self.number)


def numbered(name: str, number: int) -> str:
    return f"{name}#{number}" if number else name


def served_numbers(rotation: Rotation | None, now: float) -> tuple[int, ...]:
    """Which of an identity's numbers gateways serve, the newest last."""
    if rotation is None:
        return (0,)
    return (rotation.number - 1, rotation.number) if now < rotation.until else (rotation.number,)


@dataclass(frozen=True, kw_only=True)
class SwitchWish:
    """Somebody asked that a slot's gateway serve; another time is another wish."""

    to: str
    asked_ms: int  # epoch milliseconds
    shards: tuple[int, ...] = ()  # these; none named: all that there are


@dataclass(frozen=True, kw_only=True)
class ShardLease:
    """Who serves a shard, and until when it is known to."""

    shard: int
    owner: str  # the slot
    until_ms: int  # epoch milliseconds


@dataclass(frozen=True, kw_only=True)
class LeaseClaim:
    """That this lease be in force. It holds if the shard has none, if that is the claimant's own or `over`'s, or if it
    is the very one that ends at `seen` (epoch milliseconds): no clock is compared."""

    lease: ShardLease
    over: str | None = None
    seen: int | None = None
