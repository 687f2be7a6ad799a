"""TCP connections end with the gateway that masqueraded them, and whoever only waits for bytes does not notice.

So the serving gateway tells its twins which there are. A twin that takes over sends each client one acknowledgement
that fits no connection, in the server's name. The client answers, as TCP asks, with what it expects next; its answer
belongs to no connection that the new gateway knows, and is answered with a reset (gateway.nft.j2) that fits exactly.
A client that has no such connection any more drops it or answers with a reset itself: nothing else can be ended so.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from twinlock.agent.channel import LARGEST_FLOWS, Flows

AGAIN_SECONDS = 20.0  # each is told again as long as it lives: a datagram may get lost
FORGET_SECONDS = 45.0  # and whatever was not is over
_AT_ONCE = 40 * LARGEST_FLOWS  # told at once
_MOST = 20_000  # of one twin
_LINE = re.compile(r"^tcp\s.* ESTABLISHED src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) ", re.MULTILINE)
_ACK, _TCP, _DONT_FRAGMENT = 0x10, 6, 0x4000


@dataclass(frozen=True, order=True)
class Flow:
    """As the client sees it."""

    client: str  # IPv4
    port: int
    server: str
    server_port: int

    def __str__(self) -> str:
        return f"{self.client}:{self.port}>{self.server}:{self.server_port}"


def flow_from(text: str) -> Flow:
    """The opposite of str; ValueError for anything else."""
    client, _, server = text.partition(">")
    return Flow(*_end(client), *_end(server))


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text} is no end of a connection")
    return str(IPv4Address(address)), int(port)


def parse_flows(text: str, clients: Collection[str]) -> frozenset[Flow]:
    """Those that one of `clients` (addresses) began, from the text of `conntrack -L`."""
    found = (one.groups() for one in _LINE.finditer(text))
    return frozenset(Flow(a, int(p), b, int(q)) for a, b, p, q in found if a in clients)


class FlowTeller:
    """What the twins are told, by the gateway that serves."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._told: dict[Flow, float] = {}

    def news(self, flows: Collection[Flow], clock: float) -> list[Flows]:
        self._told = {flow: at for flow, at in self._told.items() if flow in flows}
        due = sorted(flow for flow in flows if clock - self._told.get(flow, float("-inf")) >= AGAIN_SECONDS)[:_AT_ONCE]
        self._told.update(dict.fromkeys(due, clock))
        pieces = (due[start : start + LARGEST_FLOWS] for start in range(0, len(due), LARGEST_FLOWS))
        return [Flows(slot=self._slot, flows=tuple(map(str, piece))) for piece in pieces]


class FlowMemory:
    """What twins said."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[Flow, float]] = {}

    def hear(self, said: Flows, clock: float) -> None:
        known = self._heard.setdefault(said.slot, {})
        for flow in map(flow_from, said.flows):
            if flow in known or len(known) < _MOST:
                known[flow] = clock
        if len(known) >= _MOST:
            self._heard[said.slot] = {flow: at for flow, at in known.items() if clock - at < FORGET_SECONDS}

    def take(self, is_wanted: Callable[[str], bool], clock: float) -> tuple[Flow, ...]:
        """The connections that ended with their gateway, of the clients (addresses) that are wanted. They are
        forgotten, and so is what is old."""
        heard, self._heard = self._heard, {}
        found: list[Flow] = []
        for slot, flows in heard.items():
            fresh = {flow: at for flow, at in flows.items() if clock - at < FORGET_SECONDS}
            taken = {flow for flow in fresh if is_wanted(flow.client)}
            found += taken
            self._heard[slot] = {flow: at for flow, at in fresh.items() if flow not in taken}
        return tuple(found)


def question(flow: Flow) -> bytes:
    """An IPv4 packet from the server to the client: a bare acknowledgement of nothing."""
    server, client = IPv4Address(flow.server).packed, IPv4Address(flow.client).packed
    tcp = struct.pack("!HHIIBBHHH", flow.server_port, flow.port, 0, 0, 5 << 4, _ACK, 0, 0, 0)
    pseudo = server + client + struct.pack("!BBH", 0, _TCP, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", _checksum((pseudo, tcp))) + tcp[18:]
    # The kernel fills in the header's own checksum and identification.
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, _DONT_FRAGMENT, 64, _TCP, 0)
    return header + server + client + tcp


def _checksum(parts: Iterable[bytes]) -> int:
    data = b"".join(parts)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
