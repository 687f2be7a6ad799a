"""Connections that ended with their gateway: who is told of them, and what their clients are asked."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.agent.channel import Flows
from twinlock.agent.flows import AGAIN_SECONDS, FORGET_SECONDS, Flow, FlowMemory, FlowTeller, flow_from, question

FLOW = Flow("10.100.1.1", 38012, "52.216.10.10", 443)
ADDRESSES, PORTS = st.ip_addresses(v=4).map(str), st.integers(1, 65535)


@given(st.builds(Flow, ADDRESSES, PORTS, ADDRESSES, PORTS))
def test_a_question_has_the_checksum_that_tcp_asks_for(flow):
    packet = question(flow)
    pseudo = packet[12:20] + struct.pack("!BBH", 0, 6, len(packet) - 20)
    total = sum(struct.unpack("!16H", pseudo + packet[20:]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert flow_from(str(flow)) == flow


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1:1", "10.0.0.1:1>10.0.0.2:0", "10.0.0.1:1>host:1", "10.0.0.1:x>1.1.1.1:1"]
)
def test_what_is_no_connection_is_none(text):
    with pytest.raises(ValueError, match=r".*"):
        flow_from(text)


def test_each_connection_is_told_at_once_and_again_as_long_as_it_lives():
    teller = FlowTeller("a")
    told = [second for second in range(60) if teller.news({FLOW}, 100.0 + second)]
    assert told == [0, AGAIN_SECONDS, 2 * AGAIN_SECONDS]


def test_very_many_connections_are_told_in_pieces_over_some_seconds():
    flows = {Flow("10.100.1.1", port, "52.216.10.10", 443) for port in range(1, 3001)}
    teller = FlowTeller("a")
    rounds = [sum(len(piece.flows) for piece in teller.news(flows, 100.0 + second)) for second in range(5)]
    assert rounds == [960, 960, 960, 120, 0]


def test_a_twin_remembers_what_lives_and_only_until_it_took_over():
    memory = FlowMemory()
    memory.hear(Flows(slot="b", flows=(str(FLOW),)), 100.0)
    memory.hear(Flows(slot="b", flows=("10.100.1.1:7>52.216.10.10:443",)), 100.0 + FORGET_SECONDS - 1)
    assert [flow.port for flow in memory.take("10.100.1.1".__eq__, 100.0 + FORGET_SECONDS)] == [7]
    assert memory.take("10.100.1.1".__eq__, 100.0) == ()


def test_a_twin_that_tells_of_ever_more_connections_does_not_fill_the_memory():
    memory = FlowMemory()
    for number in range(1000):
        flows = tuple(f"10.100.{number % 250}.1:{port}>52.216.{number // 250}.10:443" for port in range(1, 25))
        memory.hear(Flows(slot="b", flows=flows), 100.0)
    assert len(memory._heard["b"]) == 20_000
