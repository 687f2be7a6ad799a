"""One question to one name server: the machine's own library would ask again, and others.

It imports nothing of ours, so that tests can run it where nothing of ours is.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

NOBODY, REFUSED = "no answer", "refused"
_CODES = {0: "ok", 2: "failed", 3: "no such name", 5: REFUSED}


@dataclass(frozen=True)
class Answer:
    code: str  # "ok", "refused", …, or NOBODY
    addresses: tuple[str, ...] = ()  # IPv4


def ask(server: str, name: str, *, tcp: bool = False, seconds: float = 2) -> Answer:
    question = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + _name(name) + struct.pack(">2H", 1, 1)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as made:
            made.settimeout(seconds)
            made.connect((server, 53))
            made.send(struct.pack(">H", len(question)) + question if tcp else question)
            found = made.recv(4096)
            return answer_from(found[2:] if tcp else found, len(question))
    except OSError:
        return Answer(NOBODY)


def _name(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def answer_from(packet: bytes, question: int) -> Answer:
    """`question`: bytes of the packet that was sent, which the answer begins with."""
    try:
        return _answer(packet, question)
    except (struct.error, IndexError):
        return Answer("garbled")


def _answer(found: bytes, question: int) -> Answer:
    _, flags, _, answers, _, _ = struct.unpack(">6H", found[:12])
    addresses: list[str] = []
    at = question
    for _ in range(answers):
        # Its name: a pointer to the question's, or spelt out after an alias.
        while found[at] and found[at] < 0xC0:
            at += 1 + found[at]
        at += 2 if found[at] else 1
        kind, _, _, size = struct.unpack(">2HIH", found[at : at + 10])
        at += 10
        if kind == 1:
            addresses.append(".".join(map(str, found[at : at + size])))
        at += size
    return Answer(_CODES.get(flags & 15, str(flags & 15)), tuple(addresses))
