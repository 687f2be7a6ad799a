"""The only file that runs `wg` and `wg-quick`: what an interface holds, and changes of single peers.

Never syncconf: it takes seconds with many peers, and loses their packets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, cast

from twinlock.agent.command import Run, run
from twinlock.agent.errors import CommandFailed
from twinlock.agent.private_key import PrivateKey
from twinlock.registry.preshared import PresharedKey, preshared_key_from_text

_BATCH = 200  # peers of one command: an argument list has an end
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TunnelPeer:
    """One line of `wg show INTERFACE dump`, without the pre-shared key."""

    public_key: str
    endpoint: str | None  # "192.0.2.1:1234" or "[2001:db8::1]:1234"
    allowed_ips: tuple[str, ...]
    handshake: int  # epoch seconds, 0: never
    received: int  # bytes
    sent: int
    keepalive: int  # seconds, 0: off


@dataclass(frozen=True, kw_only=True)
class SetPeer:
    """Adds a peer, or changes what is given of it."""

    public_key: str
    allowed_ips: tuple[str, ...] = ()
    endpoint: str | None = None
    keepalive: int | None = None
    preshared: PresharedKey | None = None  # of one that is added: never changed afterwards


class Wg:
    def __init__(self, runner: Run = run) -> None:
        self._run = runner
        # Of each interface as it was last read: most lines of ten thousand say what they said a second ago.
        self._lines: dict[str, Mapping[str, TunnelPeer]] = {}
        self._seen: dict[str, Mapping[str, TunnelPeer]] = {}

    def interfaces(self) -> frozenset[str]:
        return frozenset(self._run(("wg", "show", "interfaces"), "").split())

    def peers(self, interface: str) -> dict[str, TunnelPeer]:
        """By public key."""
        found = parse_dump(self._run(("wg", "show", interface, "dump"), ""), self._lines.get(interface, {}))
        self._lines[interface] = found
        self._seen[interface] = by_key = {peer.public_key: peer for peer in found.values()}
        return by_key

    def last_seen(self, interface: str) -> Collection[str]:
        """Whom `peers` found there the last time, by public key; one interface, whatever it is a side of."""
        return self._seen.get(interface, ())

    def last_ends(self, interface: str, public_keys: Collection[str], since: int = 0) -> dict[str, tuple[str, ...]]:
        """Where `peers` found these the last time, those alone whose last handshake was at `since` or later: public
        key -> endpoints."""
        seen = self._seen.get(interface, {})
        found = ((key, seen[key]) for key in public_keys if key in seen)
        return {key: (peer.endpoint,) for key, peer in found if peer.endpoint and peer.handshake >= since}

    def preshared(self, interface: str) -> dict[str, PresharedKey]:
        """The pre-shared keys of those peers that have one."""
        lines = (line.split("\t") for line in self._run(("wg", "show", interface, "preshared-keys"), "").splitlines())
        return {key: preshared_key_from_text(text, interface) for key, text in lines if text != "(none)"}

    def add_peers(self, interface: str, peers: Iterable[SetPeer]) -> None:
        """By standard input, which holds their pre-shared keys and has no end as an argument list has."""
        text = "".join(map(_section, peers))
        if text:
            self._run(("wg", "addconf", interface, "/dev/stdin"), text)

    def set_peers(self, interface: str, peers: Iterable[SetPeer]) -> None:
        """What changes of peers that are there."""
        for some in _batches(peers):
            self._run(("wg", "set", interface, *(word for peer in some for word in _words(peer))), "")

    def renew_peers(self, interface: str, peers: Iterable[SetPeer]) -> None:
        """Removes each and adds it again: its old session is forgotten."""
        some = tuple(peers)
        self.remove_peers(interface, (peer.public_key for peer in some))
        self.add_peers(interface, some)

    def remove_peers(self, interface: str, public_keys: Iterable[str]) -> None:
        for some in _batches(public_keys):
            self._run(("wg", "set", interface, *(word for key in some for word in ("peer", key, "remove"))), "")

    def nudge_peers(self, interface: str, public_keys: Iterable[str], keepalive: int) -> None:
        """Sends each a keepalive now, as WireGuard does when keepalives are switched on. The session stays."""
        for some in _batches(public_keys):
            words = (
                word
                for key in some
                for seconds in ("0", str(keepalive))
                for word in ("peer", key, "persistent-keepalive", seconds)
            )
            self._run(("wg", "set", interface, *words), "")

    def has_key(self, interface: str) -> bool:
        return self._run(("wg", "show", interface, "public-key"), "").strip() != "(none)"

    def set_key(self, interface: str, key: PrivateKey | None) -> None:
        """None: it has no identity any more, and answers nobody."""
        file = "/dev/null" if key is None else "/dev/stdin"
        self._run(("wg", "set", interface, "private-key", file), "" if key is None else key.text() + "\n")

    def up(self, interface: str) -> None:
        """From /etc/wireguard/INTERFACE.conf; nothing happens if it is up.

        One that is there without being up was left by a wg-quick that died (it sets that last): it is made anew.
        """
        if interface not in self._links_up():
            self.down(interface)
            self._run(("wg-quick", "up", interface), "")

    def down(self, interface: str) -> None:
        if interface in self.interfaces():
            self._run(("wg-quick", "down", interface), "")

    def _links_up(self) -> frozenset[str]:
        links = cast(list[Mapping[str, str]], json.loads(self._run(("ip", "-j", "link", "show", "up"), "")))
        return frozenset(link["ifname"] for link in links if link)  # one that is not up is {}


def _batches(things: Iterable[T]) -> Iterator[list[T]]:
    left = iter(things)
    while some := list(islice(left, _BATCH)):
        yield some


def _words(peer: SetPeer) -> Sequence[str]:
    words = ["peer", peer.public_key, "allowed-ips", ",".join(peer.allowed_ips)]
    if peer.endpoint is not None:
        words += ["endpoint", peer.endpoint]
    if peer.keepalive is not None:
        words += ["persistent-keepalive", str(peer.keepalive)]
    return words


def _section(peer: SetPeer) -> str:
    lines = [
        "[Peer]",
        f"PublicKey = {peer.public_key}",
        f"PresharedKey = {peer.preshared.reveal()}" if peer.preshared else "",
        f"AllowedIPs = {', '.join(peer.allowed_ips)}" if peer.allowed_ips else "",
        f"Endpoint = {peer.endpoint}" if peer.endpoint else "",
        f"PersistentKeepalive = {peer.keepalive}" if peer.keepalive is not None else "",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def parse_dump(text: str, known: Mapping[str, TunnelPeer]) -> dict[str, TunnelPeer]:
    """The peers in the text of `wg show INTERFACE dump`, by their lines; `known` ones are not read again. The first
    line holds the private key: it is not looked at."""
    return {line: known.get(line) or _peer(line) for line in text.splitlines()[1:]}


def _peer(line: str) -> TunnelPeer:
    words = line.split("\t")
    if len(words) != 8:
        raise CommandFailed(f"wg show dump: a line of {len(words)} words where 8 are expected: another wg version?")
    key, _, endpoint, allowed, handshake, received, sent, keepalive = words
    return TunnelPeer(
        public_key=key,
        endpoint=None if endpoint == "(none)" else endpoint,
        allowed_ips=() if allowed == "(none)" else tuple(allowed.split(",")),
        handshake=int(handshake),
        received=int(received),
        sent=int(sent),
        keepalive=0 if keepalive == "off" else int(keepalive),
    )
