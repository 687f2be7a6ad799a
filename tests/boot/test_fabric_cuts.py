"""Paths that a fault cuts, and mends, with real packets; the time source that lies."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from lab.fabric import Fabric
from lab.fabric.clock import EPOCH
from lab.fabric.cuts import Cut
from lab.fabric.kernel import inside
from lab.fabric.names import TIME
from tests.boot.fabric_samples import (
    ALL,
    ALL_OUT,
    NAMES,
    PUBLIC_A,
    A,
    B,
    allow_in,
    arrives,
    cloud,
    interface,
    never_arrives,
    udp,
)

OPEN = allow_in("udp", 51820)
ONE, TWO = interface(1, A, ALL_OUT, OPEN, public=PUBLIC_A), interface(2, B, ALL_OUT, OPEN)


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    made = Fabric("fabcut", NAMES)
    made.start()
    made.apply(cloud(ONE, TWO))
    yield made
    made.teardown()


def test_a_cut_ends_a_path_both_ways_and_leaves_the_others_until_it_is_mended(fabric: Fabric) -> None:
    one, two = (udp(fabric.machine_namespace(f"i-{n}"), a, 51820) for n, a in ((1, A), (2, B)))
    client = udp(fabric.add_client("c"), ALL)
    assert arrives(one, two, (B, 51820))
    assert arrives(two, one, (A, 51820))
    fabric.cut("pair", [Cut(interface=ONE.id, cidrs=(B,))])
    assert never_arrives(one, two, (B, 51820))
    assert never_arrives(two, one, (A, 51820))
    assert arrives(client, one, (PUBLIC_A, 51820))
    fabric.mend("pair")
    assert arrives(one, two, (B, 51820))
    fabric.mend("pair")


def test_a_cut_that_spares_some_ends_every_other_path(fabric: Fabric) -> None:
    one, two = (udp(fabric.machine_namespace(f"i-{n}"), a, 51820) for n, a in ((1, A), (2, B)))
    client = udp(fabric.add_client("c"), ALL)
    fabric.cut("off", [Cut(interface=ONE.id, cidrs=(fabric.client_address("c"),), spare=True)])
    assert arrives(client, one, (PUBLIC_A, 51820)), "spared"
    assert never_arrives(one, two, (B, 51820))
    assert never_arrives(two, one, (A, 51820))


def test_a_cut_outlives_a_change_of_the_networks_rules(fabric: Fabric) -> None:
    fabric.cut("pair", [Cut(interface=ONE.id, cidrs=(B,))])
    fabric.apply(cloud(ONE, interface(2, B, ALL_OUT, OPEN, allow_in("tcp", 80))))
    one, two = (udp(fabric.machine_namespace(f"i-{n}"), a, 51820) for n, a in ((1, A), (2, B)))
    assert never_arrives(one, two, (B, 51820))


def test_the_time_source_lies_to_the_one_it_was_told_to_and_to_nobody_else(fabric: Fabric) -> None:
    fabric.lie([A], -5.0)
    assert _offset(fabric.machine_namespace("i-1")) == pytest.approx(-5.0, abs=0.5)
    assert _offset(fabric.machine_namespace("i-2")) == pytest.approx(0.0, abs=0.5)
    fabric.lie([A], 0.0)
    assert _offset(fabric.machine_namespace("i-1")) == pytest.approx(0.0, abs=0.5)


def _offset(namespace: str) -> float:
    """Seconds that the time source says more than this machine's clock."""

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(2)
            asking.sendto(bytes([0o43]) + bytes(47), (TIME, 123))
            return asking.recv(64)

    whole, part = struct.unpack("!II", inside(namespace, ask)[40:48])
    return whole - EPOCH + part / 2**32 - time.time()
