"""The identities that this gateway serves, as they rotate: the next one beside the current one, then alone.

An identity is the service's or this slot's way's. `read` and `apply` are the follower's, `settle` is for whoever looks
at the interfaces: it sends each peer's packets to the side on which the peer answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from twinlock.agent.boot import Boot
from twinlock.agent.cloud import SecretStore
from twinlock.agent.identity import IdentityStore, take_identity
from twinlock.agent.interfaces import FOLDER, SERVICE, WAY, side_tunnel, write_tunnel
from twinlock.agent.nft import Json, Nft, add_elements, by_family, delete_elements, flush_set, prefix
from twinlock.agent.private_key import PrivateKey
from twinlock.agent.sides import Seen, SidedWg
from twinlock.registry.ipv6 import addresses, network6
from twinlock.registry.model import GatewayRecord, Peer, Rotation, numbered, served_numbers

_LOOK_SECONDS = 15.0
_MARKS, _BATCHES = 50, 10  # peers that are marked as moved at once, and how often in one round

Peers = Mapping[str, Peer]


class RotationStore(IdentityStore, Protocol):
    """The registry, as far as rotating identities goes."""

    def end_rotation(self, rotation: Rotation) -> None: ...
    def moved(self, rotation: Rotation) -> frozenset[str]: ...
    def mark_moved(self, rotation: Rotation, public_keys: Sequence[str]) -> None: ...


@dataclass
class _Served:
    """One of the two: what is served of it, and who moved."""

    interface: str
    name: str
    container: str
    numbers: tuple[int, ...] = ()  # the newest last; empty: not known yet
    keys: dict[int, PrivateKey] = field(default_factory=dict[int, PrivateKey])
    marked: frozenset[str] = frozenset()  # moved, as the registry has it
    found: frozenset[str] = frozenset()  # seen on the newest here


class Identities:
    def __init__(
        self,
        boot: Boot,
        registry: RotationStore,
        secrets: SecretStore,
        wg: SidedWg,
        nft: Nft,
        folder: Path = FOLDER,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._boot, self._registry, self._secrets = boot, registry, secrets
        self._wg, self._nft, self._folder, self._now = wg, nft, folder, now
        self._service = _Served(SERVICE, "service", boot.service_secret)
        self._way = _Served(WAY, f"way#{boot.slot}", boot.way_secret)
        self._rotations: Mapping[str, Rotation] | None = None
        self._read_at = float("-inf")
        self._lock = threading.Lock()
        self._moved: frozenset[str] | None = None  # addresses, as the firewall has them

    def read(self) -> None:
        """Asks the registry, every few seconds."""
        if self._now() - self._read_at < _LOOK_SECONDS:
            return
        self._rotations = self._registry.rotations()
        self._read_at = self._now()
        with self._lock:
            self._moved = None  # look again

    def apply(self, peers: Peers, alone: AbstractContextManager[object]) -> bool:
        """What follows from the registry and the time; in `alone` nobody else changes the box. Whether other identities
        are served now than before."""
        changed = [served for served in (self._service, self._way) if self._take(served, alone)]
        if self._rotations is not None:
            for served in (self._service, self._way):
                self._account(served, peers)
        return bool(changed)

    def told(self, record: GatewayRecord) -> GatewayRecord:
        """The record with the newest identities, as far as they are known."""
        service, way = (served.keys.get(max(served.numbers, default=0)) for served in (self._service, self._way))
        return replace(
            record,
            service_public_key=service.public() if service else record.service_public_key,
            way_public_key=way.public() if way else record.way_public_key,
        )

    def settle(self, peers: Peers) -> None:
        """After a look at the interfaces: nobody is kept on a side where it does not answer, and packets follow."""
        with self._lock:
            self._settle(peers)

    def _settle(self, peers: Peers) -> None:
        if (ways := self._seen(WAY)) is not None:
            self._way.found |= _on(ways, self._newest(self._way)) & peers.keys()
        sides = self._seen(SERVICE)
        if sides is None:
            return
        self._wg.prune(SERVICE)
        newest = self._newest(self._service)
        self._service.found |= _on(sides, newest) & peers.keys()
        back = _on(sides, 1 - newest)
        moved = (self._service.marked | self._service.found | _on(sides, newest)) - back
        self._service.found -= back
        there = (peers[key].address for key in moved if key in peers)
        self._send(frozenset(one for address in there for one in addresses(self._boot.prefix6, address)))

    def _seen(self, interface: str) -> tuple[Seen, Seen] | None:
        """None where one identity is served: what was seen of two before that would send packets to the dead side."""
        return self._wg.seen.get(interface) if len(self._wg.live(interface)) > 1 else None

    def _newest(self, served: _Served) -> int:
        """The side of the newest identity; without the registry's word the one that packets don't go to by default."""
        return served.numbers[-1] % 2 if served.numbers else 1

    def _take(self, served: _Served, alone: AbstractContextManager[object]) -> bool:
        numbers = self._numbers(served)
        if numbers == served.numbers:
            return False
        changes = numbers != (0,) or len(self._wg.live(served.interface)) > 1
        keys = {number: served.keys.get(number) or self._key(served, number) for number in numbers} if changes else {}
        # At once: whoever settles in between would take the older side for the newest.
        with alone, self._lock:
            if changes:
                self._serve(served, numbers, keys)
                served.keys = keys
            served.numbers, served.found, served.marked = numbers, frozenset(), frozenset()
        return True

    def _numbers(self, served: _Served) -> tuple[int, ...]:
        if self._rotations is None:
            return served.numbers
        return served_numbers(self._rotations.get(served.name), self._now())

    def _key(self, served: _Served, number: int) -> PrivateKey:
        name = numbered(served.name, number)
        return take_identity(name, served.container, self._registry, self._secrets, int(self._now()))

    def _serve(self, served: _Served, numbers: tuple[int, ...], keys: Mapping[int, PrivateKey]) -> None:
        sides = tuple(next((keys[n] for n in numbers if n % 2 == side), None) for side in (0, 1))
        for number, key in enumerate(sides):
            write_tunnel(side_tunnel(self._boot, served.interface, number, key), self._folder)
        self._nft.transaction(self._rules(served, numbers))
        self._moved = None
        self._wg.serve(served.interface, sides)

    def _rules(self, served: _Served, numbers: tuple[int, ...]) -> list[Json]:
        """While two are served the older one's side is where packets go by default."""
        if served.interface == WAY:
            return [flush_set("both_ways"), *([add_elements("both_ways", [0])] if _odd(numbers) else [])]
        everybody = [add_elements("second", [prefix(self._boot.tunnel_range)])]
        if self._boot.prefix6:
            everybody.append(add_elements("second6", [prefix(network6(self._boot.prefix6, self._boot.tunnel_range))]))
        flushed = ("second", "second6", *(("moved", "moved6") if len(numbers) == 1 else ()))
        knocked = [flush_set("both_services"), *([add_elements("both_services", [0])] if _odd(numbers) else [])]
        return [
            *map(flush_set, flushed),
            *(everybody if numbers[0] % 2 else []),
            *(knocked if self._boot.floating else []),
        ]

    def _send(self, here: frozenset[str]) -> None:
        before = self._nft.addresses("moved") | self._nft.addresses("moved6") if self._moved is None else self._moved
        gone, come = sorted(before - here), sorted(here - before)
        self._nft.transaction(by_family(delete_elements, "moved", gone) + by_family(add_elements, "moved", come))
        self._moved = here

    def _account(self, served: _Served, peers: Peers) -> None:
        """Who moved is written down, and the rotation ends with the last one."""
        rotation = (self._rotations or {}).get(served.name)
        if rotation is None or len(served.numbers) != 2:
            return
        if not served.marked:
            served.marked = self._registry.moved(rotation)
        fresh = sorted(served.found - served.marked)[: _MARKS * _BATCHES]
        for at in range(0, len(fresh), _MARKS):
            some = fresh[at : at + _MARKS]
            self._registry.mark_moved(rotation, some)
            served.marked |= frozenset(some)
        if peers and peers.keys() <= served.marked:
            self._registry.end_rotation(rotation)
            self._read_at = float("-inf")


def _odd(numbers: tuple[int, ...]) -> bool:
    return any(number % 2 for number in numbers)


def _on(sides: tuple[Seen, Seen], side: int) -> frozenset[str]:
    """Who talked on that side, and not later on the other."""
    other = sides[1 - side]
    return frozenset(
        key
        for key, peer in sides[side].items()
        if peer.handshake and (key not in other or other[key].handshake <= peer.handshake)
    )
