"""Who may ask a gateway for names, with real packets: what is stopped, and that the rule is what stops it."""

from __future__ import annotations

import pwd
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lab.fabric.kernel import inside, inside_run
from tests.boot import firewall_bench as fw
from tests.boot.firewall_bench import Bench, udp
from userdata.boot_args import Dns

NAMES = Dns(zones=("corp.internal",), resolver=fw.RESOLVER)
FORWARDER = pwd.getpwnam("dnsmasq").pw_uid
ASKED = 'iifname "wg-service*" ip saddr @served ip daddr 10.100.0.1 meta l4proto'
ALONE = f"ip daddr != {fw.RESOLVER} ct direction original drop"
FLOOD = 2000
# Counts what came as far as a socket for questions.
COUNT = """
table ip counted
delete table ip counted
table ip counted { chain in { type filter hook input priority 100; udp dport 53 counter; }; }
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def asks(bench: Bench, where: str, source: str, server: str = fw.INSIDE) -> bool:
    """Whether a datagram comes as far as a forwarder that listens everywhere."""
    with udp(where, source) as sender, udp(bench.gateway, "0.0.0.0", 53) as receiver:  # noqa: S104
        sender.sendto(b"question", (server, 53))
        try:
            return receiver.recv(99) == b"question"
        except TimeoutError:
            return False


@dataclass(frozen=True)
class Stopped:
    """Something that must not get through, and the texts (old, new) whose change lets it through."""

    name: str
    gets_through: Callable[[Bench], bool]
    out: tuple[tuple[str, str], ...]
    dns: Dns | None = NAMES


STOPPED = (
    Stopped(
        "a peer's question where the environment has no names", lambda b: asks(b, b.peer, fw.PEER),
        (("# no names for peers", 'iifname "wg-service*" th dport 53 accept'),), dns=None,
    ),
    Stopped(
        "the network's question", lambda b: asks(b, b.out, fw.STRANGER),
        ((ASKED, "ip daddr 10.100.0.1 meta l4proto"),),
    ),
    Stopped(
        "the network's question to the gateway's own address", lambda b: asks(b, b.out, fw.STRANGER, fw.GATEWAY),
        ((ASKED, "meta l4proto"),),
    ),
    Stopped(
        "a question through a way", lambda b: asks(b, b.wayfarer, fw.WAYFARER),
        ((ASKED, "ip daddr 10.100.0.1 meta l4proto"),),
    ),
    Stopped(
        "a question from an address that is not served", lambda b: asks(b, b.peer, fw.UNSERVED),
        (("ip saddr @served ip daddr 10.100.0.1 meta", "ip daddr 10.100.0.1 meta"),),
    ),
    Stopped(
        "a peer's question to the gateway's address in its network", lambda b: asks(b, b.peer, fw.PEER, fw.GATEWAY),
        (("ip saddr @served ip daddr 10.100.0.1 meta", "ip saddr @served meta"),),
    ),
    Stopped(
        "a peer to another port of the gateway", lambda b: b.opens(b.peer, fw.INSIDE, 22),
        ((f"{ASKED} {{ tcp, udp }} th dport 53 accept", f"{ASKED} {{ tcp, udp }} accept"),),
    ),
    Stopped(
        "the forwarder to another server", lambda b: b.opens(b.gateway, fw.STRANGER, 53, user=FORWARDER),
        ((ALONE, ""),),
    ),
    Stopped(
        "the forwarder by IPv6", lambda b: b.opens(b.gateway, fw.FAR6, 53, user=FORWARDER),
        (("meta nfproto ipv6 drop", ""),),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case.name)
def test_it_is_stopped_and_by_that_protection(bench: Bench, case: Stopped) -> None:
    bench.load(too_much=True, dns=case.dns)
    assert not case.gets_through(bench)
    bench.load(*case.out, too_much=True, dns=case.dns)
    assert case.gets_through(bench), "without the protection it has to get through, or the line above says nothing"


def test_every_tenants_peers_may_ask_and_the_forwarder_asks_the_resolver(bench: Bench) -> None:
    bench.load(too_much=False, dns=NAMES)
    assert asks(bench, bench.peer, fw.PEER) and asks(bench, bench.other, fw.OTHER)
    held = inside(bench.gateway, lambda: socket.create_server((fw.INSIDE, 53)))
    with held:
        assert bench.opens(bench.peer, fw.INSIDE, 53), "by TCP too, and the answers get out"
    assert bench.opens(bench.gateway, fw.RESOLVER, 53, user=FORWARDER)
    assert bench.opens(bench.gateway, fw.STRANGER, 53), "the rest of the gateway asks as it did"


def test_the_gateways_own_packets_are_not_the_forwarders(bench: Bench) -> None:
    """Those that no process sends: answers to pings, and the search for a neighbour before one."""
    bench.load(too_much=False, dns=NAMES)
    assert bench.pings(bench.peer, fw.INSIDE6, fw.PEER6)
    bench.load(('meta skuid "dnsmasq" jump', 'meta skuid != "dnsmasq" accept; jump'), too_much=False, dns=NAMES)
    assert not bench.pings(bench.peer, fw.INSIDE6, fw.PEER6)


def test_what_tenants_reach_is_what_it_was_without_names(bench: Bench) -> None:
    for dns in (None, NAMES):
        bench.load(too_much=False, dns=dns)
        assert bench.opens(bench.peer, fw.STORAGE, 443) and bench.opens(bench.peer, fw.SERVICE, 5432)
        assert not bench.opens(bench.other, fw.STORAGE, 443) and not bench.opens(bench.peer, fw.RESOLVER, 53)


@pytest.mark.parametrize("protected", [True, False])
def test_a_peer_that_asks_without_end_leaves_room_for_the_others(bench: Bench, protected: bool) -> None:
    out = ("update @asked { ip saddr limit rate over 200/second burst 400 packets } drop", "accept")
    bench.load(*(() if protected else (out,)), dns=NAMES)
    came = _flood(bench, bench.peer, fw.PEER, fw.INSIDE, bench.gateway)
    assert came >= 400 and (came < FLOOD) is protected
    assert asks(bench, bench.other, fw.OTHER)


@pytest.mark.parametrize("protected", [True, False])
def test_the_forwarder_leaves_room_for_the_gateways_own_questions(bench: Bench, protected: bool) -> None:
    """AWS answers 1,024 packets a second to an interface, and the agent lives on names of its own."""
    out = (f"ip daddr {fw.RESOLVER} limit rate over 500/second burst 500 packets drop", "")
    bench.load(*(() if protected else (out,)), dns=NAMES)
    came = _flood(bench, bench.gateway, fw.GATEWAY, fw.RESOLVER, bench.out, user=FORWARDER)
    assert came >= 500 and (came < FLOOD) is protected
    assert _flood(bench, bench.gateway, fw.GATEWAY, fw.RESOLVER, bench.out) == FLOOD, "root's pass"


def _flood(bench: Bench, where: str, source: str, server: str, counted: str, user: int = 0) -> int:
    """How many of FLOOD questions at once came as far as where they are counted."""
    inside_run(counted, ["nft", "-f", "-"], COUNT)
    code = (
        "import socket,sys; s=socket.socket(type=socket.SOCK_DGRAM); s.bind((sys.argv[1],0))\n"
        f"for _ in range({FLOOD}):\n"
        "  try: s.sendto(b'question', (sys.argv[2],53))\n"
        "  except PermissionError: pass"  # what the firewall says of its own machine's
    )
    words = ["setpriv", f"--reuid={user}", "--clear-groups", "/usr/bin/python3", "-c", code, source, server]
    inside_run(where, words)
    shown = inside_run(counted, ["nft", "list", "table", "ip", "counted"])
    inside_run(counted, ["nft", "delete", "table", "ip", "counted"])
    return int(shown.partition("packets ")[2].split()[0])
