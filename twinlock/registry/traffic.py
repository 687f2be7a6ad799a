"""What a gateway counted of a peer's packets, and how it is written down: a line for each peer, lines in pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass

_PIECES = 16  # of a slot: one that is full of changes is a few hundred kilobytes, which an item holds


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Inside the tunnel, seen from the peer. Refused is what it sent and the gateway let go nowhere."""

    sent_packets: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    received_bytes: int = 0
    refused_packets: int = 0
    refused_bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return of(a + b for a, b in zip(astuple(self), astuple(other), strict=True))

    def since(self, before: Traffic) -> Traffic:
        """What came after `before`; where a counter is smaller than it was, somebody began it anew."""
        return of(a - b if a >= b else a for a, b in zip(astuple(self), astuple(before), strict=True))


def still_sending(counted: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Packets of peers that are shut out, by TENANT/NAME, from what each gateway counted (GatewayRecord.shut_out)."""
    return dict(sum(map(Counter, counted), Counter[str]()))


def of(figures: Iterable[int]) -> Traffic:
    """In the order of the fields."""
    a, b, c, d, e, f = figures
    return Traffic(
        sent_packets=a, sent_bytes=b, received_packets=c, received_bytes=d, refused_packets=e, refused_bytes=f
    )


def piece(address: str) -> str:
    """In which of a slot's pieces an address is."""
    return f"{int(address.rpartition('.')[2]) % _PIECES:02d}"


def pieces() -> tuple[str, ...]:
    return tuple(f"{number:02d}" for number in range(_PIECES))


def line(address: str, name: str, traffic: Traffic) -> str:
    return " ".join([address, name, *map(str, astuple(traffic))])


def find(lines: Iterable[str], address: str, name: str) -> Traffic | None:
    """What was counted of this peer; None: nothing, or another peer had the address then."""
    for one in lines:
        words = one.split(" ")
        if words[:2] == [address, name] and len(words) == 8 and all(map(str.isdecimal, words[2:])):
            return of(map(int, words[2:]))
    return None
