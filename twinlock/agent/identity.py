"""Who makes an identity, when several gateways want it at once: store, claim, load, each step harmless to repeat.

A private key is first a version of its own in the secret store, and only then is its public half claimed by one
conditional write that names that version. So a claim always names a key that exists, and an attempt that dies in
between leaves an unclaimed version, which nobody reads.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from twinlock.agent.cloud import SecretStore
from twinlock.agent.errors import BadIdentity
from twinlock.agent.interfaces import Sides
from twinlock.agent.private_key import PrivateKey, new_private_key
from twinlock.registry.model import Identity, Rotation, numbered, served_numbers


class IdentityStore(Protocol):
    """The registry, as far as identities go."""

    def identity(self, name: str) -> Identity | None: ...
    def claim_identity(self, identity: Identity) -> Identity: ...
    def rotations(self) -> Mapping[str, Rotation]: ...


class Claim:
    """One attempt at one identity; `steps` in order, each of which may be the last that happens."""

    def __init__(self, name: str, container: str, registry: IdentityStore, secrets: SecretStore, now: int) -> None:
        self._name, self._container = name, container
        self._registry, self._secrets, self._now = registry, secrets, now
        self._version = str(uuid.uuid4())
        self._made: PrivateKey | None = None
        self.winner: Identity | None = None
        self.key: PrivateKey | None = None

    def steps(self) -> tuple[Callable[[], None], ...]:
        return (self.look, self.store, self.claim, self.load, self.tidy)

    def look(self) -> None:
        self.winner = self._registry.identity(self._name)

    def store(self) -> None:
        if self.winner is None:
            self._made = new_private_key()
            self._secrets.put(self._container, self._version, self._made)

    def claim(self) -> None:
        if self._made is not None:
            mine = Identity(
                name=self._name,
                public_key=self._made.public(),
                secret_version=self._version,
                claimed_at=self._now,
            )
            self.winner = self._registry.claim_identity(mine)

    def load(self) -> None:
        """Always from the store, also one's own: what can't be loaded now would not be there after a replacement."""
        if self.winner is None:
            raise BadIdentity(f"identity {self._name}: nobody claimed it, not even this gateway")
        key = self._secrets.get(self._container, self.winner.secret_version)
        if key.public() != self.winner.public_key:
            raise BadIdentity(
                f"identity {self._name}: secret {self._container} version {self.winner.secret_version} is not the key "
                f"that the registry names ({self.winner.public_key[:8]}…): was the table or the secret restored?"
            )
        self.key = key

    def tidy(self) -> None:
        """Whoever lost drops what it had stored."""
        if self._made is not None and self.winner is not None and self.winner.secret_version != self._version:
            self._secrets.drop(self._container, self._version)


def take_identity(name: str, container: str, registry: IdentityStore, secrets: SecretStore, now: int) -> PrivateKey:
    """Loads the identity, or makes it; every gateway that asks gets the same key."""
    attempt = Claim(name, container, registry, secrets, now)
    for step in attempt.steps():
        step()
    if attempt.key is None:
        raise BadIdentity(f"identity {name}: no key was loaded")
    return attempt.key


@dataclass(frozen=True)
class Taken:
    """What one service or way serves: an identity, or two while it rotates."""

    numbers: tuple[int, ...]  # the newest last
    keys: Sides

    @property
    def newest(self) -> PrivateKey:
        key = self.keys[self.numbers[-1] % 2]
        assert key is not None  # noqa: S101  (each number has one)
        return key


def take_sides(
    name: str,
    container: str,
    rotations: Mapping[str, Rotation],
    registry: IdentityStore,
    secrets: SecretStore,
    now: int,
) -> Taken:
    """Loads, or makes, whatever of the identity `name` is to be served now."""
    numbers = served_numbers(rotations.get(name), now)
    keys = {n % 2: take_identity(numbered(name, n), container, registry, secrets, now) for n in numbers}
    return Taken(numbers, (keys.get(0), keys.get(1)))
