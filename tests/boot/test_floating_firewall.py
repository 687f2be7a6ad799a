"""The firewall's part for the floating address, with real packets: who knocks there, and what answers leave from.

Each thing is tried without it, too: with its line taken out, and at the gateway's own address.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from lab.fabric.kernel import inside_run
from tests.boot import firewall_bench as fw
from tests.boot.firewall_bench import Bench, data, first_message, response, udp
from tests.userdata_samples import gateway_boot
from twinlock.agent.nft import Nft
from twinlock.agent.shut_out import ShutOut
from userdata.boot_args import Floating
from userdata.render import render_firewall

FLOATING, ANY = "10.0.1.11", "0.0.0.0"  # noqa: S104  of a namespace without a way out
KNOCKS_COUNTED = "    # The others are counted where they are told apart, too.\n"
CLIENT, INDEX, OURS = "10.9.9.9", 0x11223344, 0x55667788


@dataclass
class Ends:
    """The gateway's sockets behind the port, and a client's outside."""

    service: socket.socket
    second: socket.socket
    way: socket.socket
    client: socket.socket

    def knocks(self, at: str, message: bytes = first_message(INDEX)) -> set[str]:
        """Which sockets hear what a client sends to the public port."""
        self.client.sendto(message, (at, fw.PORT))
        return {name for name in ("service", "second", "way") if _hears(getattr(self, name))}

    def answers_from(self, message: bytes, by: str = "service") -> tuple[str, int] | None:
        """Where a client sees what the gateway sends it."""
        getattr(self, by).sendto(message, self.client.getsockname())
        try:
            return self.client.recvfrom(2000)[1]
        except TimeoutError:
            return None


def _hears(one: socket.socket) -> bool:
    try:
        return bool(one.recv(2000))
    except TimeoutError:
        return False


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    made.ip(made.gateway, f"address replace {FLOATING}/32 dev lo")
    # The cloud delivers to the interface, whether or not its machine answers for the address.
    made.ip(made.out, f"route add {FLOATING} via {fw.GATEWAY}")
    yield made
    made.close()


@pytest.fixture
def ends(bench: Bench) -> Iterator[Ends]:
    with ExitStack() as stack:
        sockets = [udp(bench.gateway, ANY, fw.PORT + behind) for behind in (1, 5, 2)]
        yield Ends(*(stack.enter_context(one) for one in (*sockets, udp(bench.out, CLIENT, 40000))))


def load(bench: Bench, *out: str) -> None:
    where = Floating(
        public_address="203.0.113.12", private_address=FLOATING, allocation="eipalloc-1", interface="eni-1"
    )
    text = render_firewall(gateway_boot(port=fw.PORT, floating=where))
    for line in out:
        assert text.count(line) == 1, line
        text = text.replace(line, "")
    inside_run(bench.gateway, ["nft", "-f", "-"], text + fw.GIVEN)


def test_who_knows_the_floating_address_knocks_on_the_service_and_everybody_else_on_the_way(bench, ends):
    load(bench)
    assert ends.knocks(FLOATING) == {"service"}
    assert ends.knocks(fw.GATEWAY) == {"way"}
    load(bench, f"udp dport set {fw.PORT + 1} notrack")
    assert ends.knocks(FLOATING) == {"way"}, "the control"


@pytest.mark.parametrize("counting", [True, False])
def test_a_shut_out_clients_knock_on_the_floating_address_is_counted_once_and_goes_on(bench, ends, counting):
    load(bench, *(() if counting else (f"{KNOCKS_COUNTED}    ip saddr . udp sport @shut_out\n",)))
    kept = ShutOut(Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or ""))
    kept.watch({(CLIENT, 40000): "ml/ann"})
    assert ends.knocks(FLOATING) == {"service"}
    assert kept.count(tuple) == ({"ml/ann": 1} if counting else {})
    assert ends.knocks(FLOATING, data(OURS)) == {"way"}
    assert kept.count(tuple) == {"ml/ann": 2 if counting else 1}


def test_while_the_service_has_two_identities_both_are_asked(bench, ends):
    load(bench)
    inside_run(bench.gateway, ["nft", "add element inet twinlock both_services { 0 }"])
    assert ends.knocks(FLOATING) == {"service", "second"}


def test_the_answer_leaves_from_the_address_that_was_asked(bench, ends):
    load(bench)
    ends.knocks(FLOATING)
    assert ends.answers_from(response(OURS, INDEX)) == (FLOATING, fw.PORT)
    assert ends.knocks(FLOATING, data(OURS)) == {"service"}
    assert ends.answers_from(data(INDEX)) == (FLOATING, fw.PORT)
    assert ends.answers_from(first_message(OURS + 1)) == (FLOATING, fw.PORT), "a rekey that the service begins"
    assert ends.answers_from(data(INDEX + 1)) == (fw.GATEWAY, fw.PORT), "somebody else's"


def test_who_knocked_on_a_way_is_answered_from_the_gateways_own_address(bench, ends):
    load(bench)
    ends.knocks(fw.GATEWAY)
    assert ends.answers_from(response(OURS, INDEX)) == (fw.GATEWAY, fw.PORT)


def test_somebody_elses_knock_in_a_clients_name_moves_none_of_its_packets(bench, ends):
    """Its end is easily written into a packet; the index that it took for its session is not known to others."""
    load(bench)
    ends.knocks(FLOATING, first_message(INDEX + 7))
    assert ends.answers_from(data(INDEX)) == (fw.GATEWAY, fw.PORT)
    assert ends.answers_from(first_message(OURS)) == (fw.GATEWAY, fw.PORT)


def test_a_client_that_the_agent_calls_hears_from_the_floating_address_alone(bench, ends):
    load(bench)
    inside_run(bench.gateway, ["nft", f"add element inet twinlock single {{ {CLIENT} . 40000 }}"])
    assert ends.answers_from(first_message(OURS)) == (FLOATING, fw.PORT)
    assert ends.knocks(FLOATING, response(INDEX, OURS)) == {"service"}
    assert ends.answers_from(data(INDEX)) == (FLOATING, fw.PORT)
    assert ends.answers_from(first_message(OURS + 3), by="way") == (fw.GATEWAY, fw.PORT), "a way's is its own"
