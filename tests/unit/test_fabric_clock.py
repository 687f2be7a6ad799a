"""The lab's NTP answers, byte by byte (RFC 5905, figure 8)."""

from __future__ import annotations

import struct

from lab.fabric.clock import EPOCH, answer

REQUEST = bytes([0b00_100_011, 0, 6, 0]) + bytes(36) + b"TRANSMIT"


def test_an_answer_returns_the_clients_stamp_and_carries_the_time() -> None:
    reply = answer(REQUEST, 1_000_000.25, 1_000_000.5)
    assert reply and len(reply) == 48
    assert reply[0] == 0b00_100_100, "no leap second, the client's version, server mode"
    assert reply[1] == 3 and reply[2] == 6
    assert reply[24:32] == b"TRANSMIT"
    assert struct.unpack("!II", reply[32:40]) == (1_000_000 + EPOCH, 2**30)
    assert struct.unpack("!II", reply[40:48]) == (1_000_000 + EPOCH, 2**31)


def test_what_is_no_clients_packet_gets_no_answer() -> None:
    assert answer(b"", 0, 0) is None
    assert answer(REQUEST[:47], 0, 0) is None
    assert answer(bytes([0b00_100_100]) + REQUEST[1:], 0, 0) is None, "a server's: answering would loop"
