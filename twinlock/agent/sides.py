"""`wg` for the service and the way, which have two sides while an identity rotates: whoever asks need not know.

A peer has the identity of one side. Nobody is told which: a call goes out from both, and the peer answers the one that
it knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from twinlock.agent.command import Run, run
from twinlock.agent.interfaces import SIDES, WAY
from twinlock.agent.private_key import PrivateKey
from twinlock.agent.wg import SetPeer, TunnelPeer, Wg

Seen = Mapping[str, TunnelPeer]


class SidedWg(Wg):
    """SERVICE and WAY mean those of their sides that have an identity; every other name means itself."""

    def __init__(self, runner: Run = run) -> None:
        super().__init__(runner)
        self._live: dict[str, tuple[str, ...]] = {}
        # What both sides held when they were last looked at, where there are two.
        self.seen: dict[str, tuple[Seen, Seen]] = {}

    def live(self, interface: str) -> tuple[str, ...]:
        """The sides that have an identity. Read from the box once: an agent may be restarted while one rotates."""
        if interface not in SIDES:
            return (interface,)
        if interface not in self._live:
            self._live[interface] = tuple(side for side in SIDES[interface] if self.has_key(side))
        return self._live[interface]

    def peers(self, interface: str) -> dict[str, TunnelPeer]:
        found = [super(SidedWg, self).peers(side) for side in self.live(interface)]
        if len(found) != 2:
            self.seen.pop(interface, None)
            return found[0] if found else {}
        self.seen[interface] = (found[0], found[1])
        return merged(*found)

    def set_peers(self, interface: str, peers: Iterable[SetPeer]) -> None:
        some = tuple(peers)
        for side in self.live(interface):
            super().set_peers(side, some)

    def add_peers(self, interface: str, peers: Iterable[SetPeer]) -> None:
        some = tuple(peers)
        for side in self.live(interface):
            super().add_peers(side, some)

    def is_on(self, interface: str, public_key: str) -> bool:
        """Whether it was on every side at the last look."""
        return all(public_key in self.last_seen(side) for side in self.live(interface))

    def last_ends(self, interface: str, public_keys: Collection[str], since: int = 0) -> dict[str, tuple[str, ...]]:
        """On all sides."""
        found: dict[str, tuple[str, ...]] = {}
        for side in self.live(interface):
            for key, ends in super().last_ends(side, public_keys, since).items():
                found[key] = (*found.get(key, ()), *ends)
        return found

    def let_knock(self, interface: str, peers: Mapping[str, SetPeer]) -> None:
        """Puts these on each side on which they were not at the last look: whoever knocks there is let in."""
        for side in self.live(interface):
            held = self.last_seen(side)
            super().add_peers(side, [peer for key, peer in peers.items() if key not in held])

    def renew_peers(self, interface: str, peers: Iterable[SetPeer]) -> None:
        some = tuple(peers)
        for side in self.live(interface):
            super().remove_peers(side, (peer.public_key for peer in some))
            super().add_peers(side, some)

    def remove_peers(self, interface: str, public_keys: Iterable[str]) -> None:
        keys = tuple(public_keys)
        for side in self.live(interface):
            super().remove_peers(side, keys)

    def nudge_peers(self, interface: str, public_keys: Iterable[str], keepalive: int) -> None:
        """Each on the side that held it when it was last seen: on another it would be made."""
        keys = tuple(public_keys)
        for side, held in zip(self.live(interface), self.seen.get(interface) or (keys,), strict=False):
            super().nudge_peers(side, [key for key in keys if key in held], keepalive)

    def prune(self, interface: str) -> None:
        """As it was last seen: takes who was called on both sides from the one where it did not answer."""
        if interface in self.seen:
            for side, keys in zip(SIDES[interface], unanswered(self.seen[interface]), strict=True):
                super().remove_peers(side, keys)

    def serve(self, interface: str, keys: Sequence[PrivateKey | None]) -> None:
        """From now on these identities. Peers of a way are let in on both sides; who is called is on both anyway."""
        before = self.live(interface)
        wanted = {side: key for side, key in zip(SIDES[interface], keys, strict=True) if key is not None}
        if interface == WAY:
            opened = {key: held for side in before for key, held in super(SidedWg, self).preshared(side).items()}
            known = [SetPeer(public_key=peer, preshared=opened.get(peer)) for peer in self.peers(interface)]
            for side in wanted.keys() - set(before):
                super().add_peers(side, known)
        for side, key in wanted.items():
            self.set_key(side, key)
        self._live[interface] = tuple(side for side in SIDES[interface] if side in wanted)
        for side in set(before) - wanted.keys():
            super().remove_peers(side, super().peers(side))
            self.set_key(side, None)


def merged(first: Seen, second: Seen) -> dict[str, TunnelPeer]:
    """Each peer as the side has it that it talked to last."""
    return {**first, **{key: peer for key, peer in second.items() if key not in first or _later(peer, first[key])}}


def _later(one: TunnelPeer, other: TunnelPeer) -> bool:
    return (one.handshake, one.received) > (other.handshake, other.received)


def unanswered(sides: tuple[Seen, Seen]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """On each side, who was called there in vain: it answered on the other. Who is only let knock has no end there."""
    first, second = sides
    both = [key for key in first if key in second]
    return (
        tuple(key for key in both if first[key].endpoint and second[key].handshake > first[key].handshake),
        tuple(key for key in both if second[key].endpoint and first[key].handshake > second[key].handshake),
    )
