"""What gateways tell each other inside wg-pair: datagrams, authenticated by the tunnel, bounded and validated here."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from itertools import islice
from typing import cast

from twinlock.agent.health import CHECKS
from twinlock.registry.errors import Refused
from twinlock.registry.public_key import check_public_key

_VERSION = 1
_LARGEST = 1400  # bytes: one packet
_HIGHEST = 1 << 53
_SLOTS = 8
_SHARDS = 16
LARGEST_WAYS = 12  # of one datagram
LARGEST_FLOWS = 24
MOST_SAID = 40  # datagrams of ends at once
MOST_HEARD = 6000  # datagrams that wait: the ends of as many peers as a gateway can hold
# "10.100.1.1:40000>192.0.2.1:443"
_FLOW = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})>(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a gateway is, of one shard."""

    serving: bool
    term: int
    gives: str = ""  # it let go, and this slot's gateway is next


@dataclass(frozen=True, kw_only=True)
class Word(Said):
    """How a gateway is, several times a second. Where there are shards: whether it serves any, and each."""

    slot: str
    shards: tuple[Said, ...] = ()

    def of(self, shard: int) -> Said:
        """Of one shard. Who names none has but one (another setting is being rolled out), and says it of all."""
        return self.shards[shard] if shard < len(self.shards) else self


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Where ways of the slot `of` are, or were; `slot` says it."""

    slot: str
    of: str
    ends: Mapping[str, str]  # the client's public key -> "192.0.2.1:1234"


@dataclass(frozen=True, kw_only=True)
class Singles:
    """Where the clients of `slot`, which serves, are that hold no way."""

    slot: str
    singles: Mapping[str, str]  # the client's public key -> "192.0.2.1:1234"


@dataclass(frozen=True, kw_only=True)
class Flows:
    """TCP connections of clients that `slot` masquerades."""

    slot: str
    flows: tuple[str, ...]  # "10.100.1.1:40000>192.0.2.1:443"


@dataclass(frozen=True, kw_only=True)
class Health:
    """What a gateway fails, the question that it asks its twins, and whose questions it took its last look for."""

    slot: str
    failing: tuple[str, ...]
    asks: int
    answers: Mapping[str, int]  # by slot


Message = Word | Ways | Singles | Flows | Health


def portions(ends: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """As many ends as one message of ways or singles holds, in order."""
    left = iter(ends.items())
    while some := dict(islice(left, LARGEST_WAYS)):
        yield some


def encode(message: Message) -> bytes:
    return json.dumps({"v": _VERSION, **asdict(message)}).encode()


def decode(data: bytes, slot: str) -> Message | None:
    """None for whatever is not a message of `slot`'s gateway."""
    try:
        found: object = json.loads(data)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    fields = cast(Mapping[str, object], found)
    if fields.get("v") != _VERSION or fields.get("slot") != slot:
        return None
    if "flows" in fields:
        return _flows(fields["flows"], slot)
    if "singles" in fields:
        singles = _ends(fields["singles"])
        return None if singles is None else Singles(slot=slot, singles=singles)
    if "failing" in fields:
        return _health(fields, slot)
    return _ways(fields, slot) if "ends" in fields else _word(fields, slot)


def _flows(found: object, slot: str) -> Flows | None:
    if not isinstance(found, list):
        return None
    flows = tuple(flow for flow in cast(list[object], found) if isinstance(flow, str) and _is_flow(flow))
    return Flows(slot=slot, flows=flows) if len(flows) == len(cast(list[object], found)) <= LARGEST_FLOWS else None


def _is_flow(flow: str) -> bool:
    said = _FLOW.fullmatch(flow)
    if said is None:
        return False
    client, port, server, server_port = said.groups()
    return _is_endpoint(f"{client}:{port}") and _is_endpoint(f"{server}:{server_port}")


def _health(fields: Mapping[str, object], slot: str) -> Health | None:
    failing, asks, answers = fields["failing"], fields.get("asks"), fields.get("answers")
    if not isinstance(failing, list) or not _is_number(asks) or not isinstance(answers, dict):
        return None
    found, given = cast(list[object], failing), cast(Mapping[str, object], answers)
    if (
        len(given) > _SLOTS
        or not all(isinstance(check, str) and check in CHECKS for check in found)
        or not all(map(_is_number, given.values()))
    ):
        return None
    return Health(
        slot=slot,
        failing=tuple(cast(list[str], found)),
        asks=cast(int, asks),
        answers=cast(Mapping[str, int], given),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _HIGHEST


def _ways(fields: Mapping[str, object], slot: str) -> Ways | None:
    of, ends = fields.get("of"), _ends(fields["ends"])
    return None if not isinstance(of, str) or ends is None else Ways(slot=slot, of=of, ends=ends)


def _ends(said: object) -> Mapping[str, str] | None:
    if not isinstance(said, dict):
        return None
    found = cast(Mapping[str, object], said)
    if len(found) > LARGEST_WAYS or not all(_is_key(key) and _is_endpoint(end) for key, end in found.items()):
        return None
    return cast(Mapping[str, str], found)


def _is_key(key: str) -> bool:
    try:
        check_public_key(key)
    except Refused:
        return False
    return True


def _is_endpoint(end: object) -> bool:
    if not isinstance(end, str):
        return False
    address, _, port = end.rpartition(":")
    try:
        ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _word(fields: Mapping[str, object], slot: str) -> Word | None:
    said, each = _said(fields), fields.get("shards", [])
    if said is None or not isinstance(each, list) or len(cast(list[object], each)) > _SHARDS:
        return None
    shards = [_said(cast(Mapping[str, object], one)) for one in cast(list[object], each) if isinstance(one, dict)]
    if len(shards) != len(cast(list[object], each)) or None in shards:
        return None
    known = tuple(filter(None, shards))
    return Word(slot=slot, serving=said.serving, term=said.term, gives=said.gives, shards=known)


def _said(fields: Mapping[str, object]) -> Said | None:
    serving, term, gives = fields.get("serving"), fields.get("term"), fields.get("gives")
    if not isinstance(serving, bool) or not _is_number(term) or not isinstance(gives, str):
        return None
    return Said(serving=serving, term=cast(int, term), gives=gives)


class Channel:
    """One UDP socket; `twins` are the slots by their address on the pair channel."""

    def __init__(self, port: int, twins: Mapping[str, str]) -> None:
        self._port, self._twins = port, dict(twins)
        # At any address: wg-pair may come and go. The firewall lets this port in from wg-pair alone.
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._socket.bind(("::", port))

    def say(self, message: Message) -> None:
        for address in self._twins:
            try:
                self._socket.sendto(encode(message), (address, self._port))
            except OSError:  # no tunnel, no session yet: said again in a moment, and silence is what the twin acts on
                continue

    def listen(self) -> Message | None:
        """Waits for the next datagram; None if it was nonsense."""
        data, sender = self._socket.recvfrom(_LARGEST)
        slot = self._twins.get(cast(str, sender[0]))
        return None if slot is None else decode(data, slot)
