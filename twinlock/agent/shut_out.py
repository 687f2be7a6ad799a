"""Peers that were shut out and whose packets still come.

WireGuard drops what is of a key that it does not know, and tells nobody. So the firewall counts what comes from where
such a peer was last, for an hour. It only counts: an address translation may give that place to another client.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from twinlock.agent.desired import Desired
from twinlock.agent.nft import End, Json, Labelled, Nft, add_elements, delete_elements
from twinlock.registry.model import Peer

SETS = ("shut_out", "shut_out6")  # the firewall's, of IPv4 and of IPv6: TENANT/NAME by where it was
KEPT = 4096  # of each family; the firewall's sets have twice the room, so that adding to them can't fail
TOLD = 50  # names, those with the most packets: they are in the gateway's own item


def shut_out(removed: Iterable[str], known: Mapping[str, Peer], want: Desired) -> dict[str, str]:
    """Which of the removed keys were a peer's that is not served any more: public key -> TENANT/NAME. A key that was
    rotated away is none: its client goes on with another, from the same place."""
    gone = (known[key] for key in removed if key in known)
    return {peer.public_key: f"{peer.tenant}/{peer.name}" for peer in gone if not _is_served(want, peer)}


def _is_served(want: Desired, peer: Peer) -> bool:
    holder = want.peers.get(want.addresses.get(peer.address, ""))
    return holder is not None and (holder.tenant, holder.name) == (peer.tenant, peer.name)


def end_from(endpoint: str) -> End:
    """An endpoint as `wg` writes it."""
    address, _, port = endpoint.rpartition(":")
    return address.strip("[]").partition("%")[0], int(port)


class ShutOut:
    """What the firewall knows of them. It has the names too, so a restarted agent goes on where this one was."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft

    def watch(self, ends: Mapping[End, str]) -> None:
        """Counts from now on, for an hour, what comes from these: -> TENANT/NAME. Beyond KEPT nobody is added."""
        commands: list[Json] = []
        for name, some in _by_set(ends).items():
            held = self._nft.labelled(name)
            again = [end for end in some if end in held]
            new = list(some)[: max(0, KEPT - len(held) + len(again))]
            commands += _forget(name, again)
            if new:
                commands.append(add_elements(name, [_element(end, some[end]) for end in new]))
        self._nft.transaction(commands)

    def count(self, live: Callable[[], Collection[End]]) -> dict[str, int]:
        """Packets by TENANT/NAME, of those of whom any came. `live` says where peers are served now; it is asked
        after the sets are read: what comes from there is nobody's who was shut out, and not counted any more."""
        held = {name: self._nft.labelled(name) for name in SETS}
        if not any(held.values()):
            return {}
        taken = set(live())
        self._nft.transaction(
            [one for name, some in held.items() for one in _forget(name, [end for end in some if end in taken])]
        )
        return _most([one for some in held.values() for end, one in some.items() if end not in taken])


def _by_set(ends: Mapping[End, str]) -> dict[str, dict[End, str]]:
    found: dict[str, dict[End, str]] = {}
    for end, name in ends.items():
        found.setdefault(SETS[":" in end[0]], {})[end] = name
    return found


def _forget(name: str, ends: Collection[End]) -> list[Json]:
    return [delete_elements(name, [_place(end) for end in ends])] if ends else []


def _place(end: End) -> Json:
    return {"concat": [*end]}


def _element(end: End, name: str) -> Json:
    return {"elem": {"val": _place(end), "comment": name}}


def _most(found: Iterable[Labelled]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, (packets, _) in found:
        if packets:
            sums[name] = sums.get(name, 0) + packets
    return dict(sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:TOLD])
