"""What is read of a name server's answer."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from twinlock.cli.dns_question import Answer, answer_from

QUESTION = b"\x01a\x04corp\x08internal\0" + struct.pack(">2H", 1, 1)


def packet(code: int, *records: bytes) -> bytes:
    return struct.pack(">6H", 7, 0x8180 | code, 1, len(records), 0, 0) + QUESTION + b"".join(records)


def record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack(">2HIH", kind, 1, 60, len(data)) + data


def read(found: bytes) -> Answer:
    return answer_from(found, 12 + len(QUESTION))


def test_addresses_are_read_behind_an_alias_too():
    alias = record(b"\xc0\x0c", 5, b"\x01b\xc0\x0e")
    two = [record(b"\x01b\xc0\x0e", 1, bytes(four)) for four in ((10, 20, 0, 10), (10, 20, 16, 10))]
    assert read(packet(0, alias, *two)) == Answer("ok", ("10.20.0.10", "10.20.16.10"))


def test_a_refusal_is_told_from_a_name_that_is_not_there():
    assert [read(packet(code)).code for code in (0, 2, 3, 5, 9)] == ["ok", "failed", "no such name", "refused", "9"]


@given(st.binary(max_size=80))
def test_whatever_comes_back_is_an_answer(found: bytes):
    assert isinstance(read(found), Answer) and isinstance(read(packet(0, found)), Answer)
    assert read(b"short") == Answer("garbled")
