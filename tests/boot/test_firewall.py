"""Each protection of a gateway's firewall, with real packets: what it stops, and that it is what stops it.

Every case is tried twice: with the firewall that ships, and with that protection taken out of its text.
"""

from __future__ import annotations

import pwd
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from lab.fabric.kernel import inside, inside_run
from tests.boot import firewall_bench as fw
from tests.boot.firewall_bench import Bench, data, first_message, response, udp
from twinlock.agent.box import nft_commands
from twinlock.agent.changes import Changes
from twinlock.agent.desired import Narrow, Reach
from twinlock.agent.nft import Nft, add_elements
from twinlock.agent.shut_out import KEPT, ShutOut
from twinlock.agent.shut_out import SETS as SHUT_OUT
from twinlock.agent.tally import SETS, Tally

ELSEWHERE = '"wg-*"'
TUNNELS = '{ "wg-service", "wg-service2", "wg-way", "wg-way2", "tl-probe" }'
ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104  of namespaces without a way out
# What answers a peer that there is no IPv6 towards what nobody gave, and with that keeps it in as well.
NO_WAY6 = ("ip6 saddr @served6 ip6 daddr != @given6 fib daddr type != local jump nowhere", "ip6 saddr ::1 accept")
FORWARD = "chain forward { type filter hook forward priority filter; policy drop;"
INPUT = "chain input { type filter hook input priority filter; policy drop;"
OUTPUT = "chain output { type filter hook output priority filter; policy drop;"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@dataclass(frozen=True)
class Stopped:
    """Something that must not get through, and the texts (old, new) whose change lets it through."""

    name: str
    gets_through: Callable[[Bench], bool]
    out: tuple[tuple[str, str], ...]
    too_much: bool = True  # whether the registry gave far too much
    more: str = ""  # rules that are added in both runs


def _accepting(chain: str) -> tuple[str, str]:
    return chain, chain.replace("policy drop", "policy accept")


def _reaches(bench: Bench, sender: socket.socket, to: tuple[str, int], where: str, port: int) -> bool:
    receiver = udp(where, ANY6 if ":" in to[0] else ANY4, port)
    with sender, receiver:
        sender.sendto(first_message(7), to)
        try:
            receiver.recv(999)
        except TimeoutError:
            return False
    return True


STOPPED = (
    Stopped(
        "a peer to the metadata service", lambda b: b.opens(b.peer, fw.METADATA, 80),
        (("ip daddr @never4 goto refuse", ""),),
    ),
    Stopped(
        "a peer to the metadata service by IPv6", lambda b: b.opens(b.peer, fw.METADATA6, 80, source=fw.PEER6),
        (("ip6 daddr @never6 goto refuse", ""),),
    ),
    Stopped(
        "a peer to the twin by IPv6", lambda b: b.opens(b.peer, fw.TWIN6, 443, source=fw.PEER6),
        (("ip6 daddr @never6 goto refuse", ""),),
    ),
    Stopped("a peer to the twin", lambda b: b.opens(b.peer, fw.TWIN, 443), (("ip daddr @never4 goto refuse", ""),)),
    Stopped(
        "a peer to another peer", lambda b: b.opens(b.peer, fw.OTHER, 443),
        (
            ("ip daddr @never4 goto refuse", ""),
            (f'iifname "wg-service*" oifname != {ELSEWHERE} jump', 'iifname "wg-service*" jump'),
            (f'oifname "wg-service*" iifname != {ELSEWHERE} ip daddr', 'oifname "wg-service*" ip daddr'),
        ),
    ),
    Stopped(
        "a peer to what nobody gave it", lambda b: b.opens(b.peer, fw.STRANGER, 443), (_accepting(FORWARD),),
        too_much=False,
    ),
    Stopped(
        "a tenant without storage to the storage", lambda b: b.opens(b.other, fw.STORAGE, 443),
        (("ip saddr @storage_tenants ip daddr", "ip daddr"),), too_much=False,
    ),
    Stopped(
        "a tenant to the storage's other ports", lambda b: b.opens(b.peer, fw.STORAGE, 80),
        (("_tenants ip daddr @storage tcp dport 443", "_tenants ip daddr @storage meta l4proto tcp"),), too_much=False,
    ),
    Stopped(
        "a tenant to another port of its service", lambda b: b.opens(b.peer, fw.SERVICE, 22),
        (
            ("ip saddr . ip daddr . meta l4proto . th dport @services goto from_peer", f"ip daddr {fw.SERVICE} accept"),
        ), too_much=False,
    ),
    Stopped(
        "an address that is not served", lambda b: b.opens(b.peer, fw.STRANGER, 443, source=fw.UNSERVED),
        (("ip saddr != @served goto refuse", ""), (" ip daddr @served ct state", " ct state")),
    ),
    Stopped(
        "a peer to the gateway itself", lambda b: b.opens(b.peer, fw.INSIDE, 22),
        (
            (f"iifname {TUNNELS} drop", ""), _accepting(INPUT),
            (f"oifname {TUNNELS} drop", ""), _accepting(OUTPUT),
        ),
    ),
    Stopped(
        "the inside of a way to the network", lambda b: b.opens(b.wayfarer, fw.STRANGER, 443),
        (_accepting(FORWARD), _accepting(OUTPUT)),
    ),
    Stopped(
        "the network to a peer", lambda b: _reaches(
            b, udp(b.out, fw.STRANGER), (fw.GATEWAY, 22), b.gateway, 22), (_accepting(INPUT),)
    ),
    Stopped(
        "a stranger to the pair channel",
        lambda b: _reaches(b, udp(b.out, fw.STRANGER), (fw.GATEWAY, fw.PORT + 3), b.gateway, fw.PORT + 3),
        ((f"udp dport {fw.PORT + 3} ip saddr @twins iifname", f"udp dport {fw.PORT + 3} iifname"),),
    ),
    Stopped(
        "the network to a socket behind the public port",
        lambda b: _reaches(b, udp(b.out, fw.STRANGER), (fw.GATEWAY, fw.PORT + 1), b.gateway, fw.PORT + 1),
        (("ct state untracked udp dport {", "udp dport {"),),
    ),
    Stopped(
        "the twin to the gateway through the pair channel",
        lambda b: _reaches(b, udp(b.pairmate, fw.PAIRMATE), (fw.PAIRED, 22), b.gateway, 22),
        (('iifname "wg-pair" drop', ""), _accepting(INPUT)),
    ),
    Stopped(
        "a user of the gateway other than root to an API", lambda b: b.opens(b.gateway, fw.STRANGER, 443, user=1000),
        (('tcp dport 443 meta skuid { 0, "_apt" }', "tcp dport 443"),),
    ),
    Stopped(
        "a user of the gateway other than root to the metadata service",
        lambda b: b.opens(b.gateway, fw.METADATA, 80, user=1000),
        ((f"ip daddr {fw.METADATA} tcp dport 80 meta skuid 0", f"ip daddr {fw.METADATA} tcp dport 80"),),
    ),
    Stopped(
        "root on the gateway to another port", lambda b: b.opens(b.gateway, fw.STRANGER, 5432), (_accepting(OUTPUT),)
    ),
    *(
        Stopped(
            f"a peer that reaches the internet to {name}", lambda b, to=to: b.opens(b.peer, to, 443),
            (("ip daddr @private4 goto refuse", ""),), too_much=False, more=fw.INTERNET,
        )
        for name, to in (("a private network", fw.STRANGER), ("a home's", fw.LAN), ("a provider's", fw.CGNAT))
    ),
    Stopped(
        "a peer that reaches the internet to the metadata service", lambda b: b.opens(b.peer, fw.METADATA, 80),
        (("ip daddr @never4 goto refuse", ""),), too_much=False, more=fw.INTERNET,
    ),
    Stopped(
        "a peer that reaches the internet to the twin", lambda b: b.opens(b.peer, fw.TWIN, 443),
        (("ip daddr @never4 goto refuse", ""), ("ip daddr @private4 goto refuse", "")),
        too_much=False, more=fw.INTERNET,
    ),
    Stopped(
        "a peer that reaches the internet to the storage's other ports", lambda b: b.opens(b.peer, fw.STORAGE, 80),
        (("ip daddr @storage goto refuse", ""),), too_much=False, more=fw.INTERNET,
    ),
    Stopped(
        "a tenant without the internet that routes it all the same", lambda b: b.opens(b.other, fw.OUTSIDE, 443),
        (
            ("ip saddr @internet_tenants jump to_internet", "jump to_internet"),
            ("ip saddr != @internet_tenants goto refuse", ""),
        ), too_much=False, more=fw.INTERNET,
    ),
    Stopped(
        "a peer to what nobody gave it by IPv6", lambda b: b.opens(b.peer, fw.FAR6, 443, source=fw.PEER6),
        (_accepting(FORWARD), NO_WAY6), too_much=False,
    ),
    Stopped(
        "a tenant to another port of its service by IPv6",
        lambda b: b.opens(b.peer, fw.SERVICE6, 22, source=fw.PEER6),
        (
            (
                "ip6 saddr . ip6 daddr . meta l4proto . th dport @services6 goto from_peer",
                f"ip6 daddr {fw.SERVICE6} accept",
            ),
        ), too_much=False,
    ),
    Stopped(
        "another tenant to a service by IPv6", lambda b: b.opens(b.other, fw.SERVICE6, 5432, source=fw.OTHER6),
        (
            (
                "ip6 saddr . ip6 daddr . meta l4proto . th dport @services6 goto from_peer",
                f"ip6 daddr {fw.SERVICE6} accept",
            ),
        ), too_much=False,
    ),
    Stopped(
        "an IPv6 address that is not served to a service",
        lambda b: b.opens(b.peer, fw.SERVICE6, 5432, source=fw.UNSERVED6),
        (("ip6 saddr != @served6 goto refuse", ""), (" ip6 daddr @served6 ct state", " ct state")), too_much=False,
    ),
    Stopped(
        "the network to a peer by IPv6", lambda b: b.opens(b.out, fw.OTHER6, 443, source=fw.SERVICE6),
        (_accepting(FORWARD),),
    ),
    Stopped(
        "the gateway's own programs to the network by IPv6", lambda b: b.opens(b.gateway, fw.FAR6, 443),
        (("meta nfproto ipv6 meta l4proto tcp reject with tcp reset", ""),),
    ),
    Stopped(
        "a peer to another peer by IPv6", lambda b: b.opens(b.peer, fw.OTHER6, 443, source=fw.PEER6),
        (
            ("ip6 daddr @never6 goto refuse", ""),
            (f'iifname "wg-service*" oifname != {ELSEWHERE} jump', 'iifname "wg-service*" jump'),
            (f'oifname "wg-service*" iifname != {ELSEWHERE} ip6 daddr', 'oifname "wg-service*" ip6 daddr'),
        ),
    ),
    Stopped(
        "a peer to the gateway itself by IPv6", lambda b: b.opens(b.peer, fw.INSIDE6, 22, source=fw.PEER6),
        (
            (f"iifname {TUNNELS} drop", ""), _accepting(INPUT),
            (f"oifname {TUNNELS} drop", ""), _accepting(OUTPUT),
        ),
    ),
    Stopped(
        "an IPv6 address that is not served to the gateway", lambda b: b.pings(b.peer, fw.INSIDE6, fw.UNSERVED6),
        (("ip6 saddr @served6 icmpv6", "icmpv6"),),
    ),
    Stopped(
        "a peer to the gateway's address in its network by IPv6",
        lambda b: b.pings(b.peer, fw.GATEWAY6, fw.PEER6), ((f"ip6 daddr {fw.INSIDE6} ip6 saddr", "ip6 saddr"),),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case.name)
def test_it_is_stopped_and_by_that_protection(bench: Bench, case: Stopped) -> None:
    bench.load(too_much=case.too_much, more=case.more)
    assert not case.gets_through(bench)
    bench.load(*case.out, too_much=case.too_much, more=case.more)
    assert case.gets_through(bench), "without the protection it has to get through, or the line above says nothing"


def test_what_the_registry_gave_gets_through(bench: Bench) -> None:
    bench.load(too_much=False)
    assert bench.opens(bench.peer, fw.STORAGE, 443)
    assert bench.opens(bench.peer, fw.SERVICE, 5432)
    assert bench.opens(bench.gateway, fw.STRANGER, 443)
    assert bench.opens(bench.gateway, fw.METADATA, 80)


@pytest.mark.parametrize("translated", [True, False])
def test_a_service_by_ipv6_sees_the_gateways_own_address(bench: Bench, translated: bool) -> None:
    bench.load(*(() if translated else (("    masquerade\n", ""),)), too_much=False)
    assert bench.seen_from(bench.peer, fw.PEER6, (fw.SERVICE6, 5433)) == (fw.GATEWAY6 if translated else fw.PEER6)


def test_without_its_rule_a_served_peer_gets_no_answer_by_ipv6(bench: Bench) -> None:
    bench.load((" ip6 daddr @served6 ct state established,related goto to_peer", " ip6 daddr ::1 drop"), too_much=False)
    assert not bench.opens(bench.peer, fw.SERVICE6, 5432, source=fw.PEER6)


def test_a_peer_that_reaches_the_internet_does_from_the_gateways_address(bench: Bench) -> None:
    bench.load(too_much=False, more=fw.INTERNET)
    assert bench.opens(bench.peer, fw.OUTSIDE, 443) and bench.opens(bench.peer, fw.OUTSIDE, 22)
    assert bench.opens(bench.peer, fw.STORAGE, 443) and bench.opens(bench.peer, fw.SERVICE, 5432)
    bench.load(("    masquerade", ""), too_much=False, more=fw.INTERNET)
    assert not bench.opens(bench.peer, fw.OUTSIDE, 443)
    bench.load(too_much=False)
    assert not bench.opens(bench.peer, fw.OUTSIDE, 443), "and nobody does before the registry says so"


@pytest.mark.parametrize("told", [True, False])
def test_a_peer_hears_at_once_that_there_is_no_ipv6(bench: Bench, told: bool) -> None:
    """TCP and the rest, with forwarding off as on a gateway; without the protection it hears nothing."""
    bench.load(*(() if told else (NO_WAY6,)), too_much=False)
    inside_run(bench.gateway, ["sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"])
    try:
        for kind, error in ((socket.SOCK_STREAM, "ECONNREFUSED"), (socket.SOCK_DGRAM, "EACCES")):
            assert bench.hears(bench.peer, fw.FAR6, kind, fw.PEER6) == (error if told else "nothing")
    finally:
        inside_run(bench.gateway, ["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])


def test_the_gateway_answers_a_served_peer_by_ipv6_and_nobody_where_the_tunnel_has_none(bench: Bench) -> None:
    bench.load(too_much=False)
    assert bench.pings(bench.peer, fw.INSIDE6, fw.PEER6)
    assert bench.pings(bench.other, fw.INSIDE6, fw.OTHER6)
    bench.load(too_much=False, prefix6="")
    assert not bench.pings(bench.peer, fw.INSIDE6, fw.PEER6)


@pytest.mark.parametrize("protected", [True, False])
def test_a_narrowed_peer_reaches_what_it_was_given_alone_whatever_it_routes(bench: Bench, protected: bool) -> None:
    """Through the agent's own words to nft; with the protection taken out it reaches what its tenant does."""
    jumps = (("ip saddr @narrow jump narrowed", ""), ("ip6 saddr @narrow6 jump narrowed", ""))
    bench.load(*(() if protected else jumps), too_much=False)
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    service = Narrow(
        address=fw.PEER,
        storage=False,
        internet=False,
        networks=(),
        services=((f"{fw.PEER}/32", f"{fw.SERVICE}/32", "tcp", 5432),),
        address6=fw.PEER6,
    )
    nft.transaction(nft_commands(Changes(narrow_flush=True, narrow_add=(service,))))
    assert bench.opens(bench.peer, fw.SERVICE, 5432)
    assert bench.opens(bench.peer, fw.STORAGE, 443) is not protected
    storage = replace(service, storage=True, services=())
    nft.transaction(nft_commands(Changes(narrow_remove=(service,), narrow_add=(storage,))))
    assert bench.opens(bench.peer, fw.STORAGE, 443)
    assert bench.opens(bench.peer, fw.SERVICE, 5432) is not protected
    assert bench.opens(bench.peer, fw.SERVICE6, 5432, source=fw.PEER6) is not protected
    six = replace(storage, storage=False, services6=((f"{fw.PEER6}/128", f"{fw.SERVICE6}/128", "tcp", 5432),))
    nft.transaction(nft_commands(Changes(narrow_remove=(storage,), narrow_add=(six,))))
    assert bench.opens(bench.peer, fw.SERVICE6, 5432, source=fw.PEER6)
    assert bench.opens(bench.peer, fw.STORAGE, 443) is not protected
    nft.transaction(nft_commands(Changes(narrow_remove=(six,))))
    assert bench.opens(bench.peer, fw.STORAGE, 443) and bench.opens(bench.peer, fw.SERVICE, 5432)
    assert bench.opens(bench.peer, fw.SERVICE6, 5432, source=fw.PEER6)


def test_the_agents_words_give_a_service_by_ipv6_and_take_it_back(bench: Bench) -> None:
    bench.load(too_much=False)
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    nft.transaction(nft_commands(Changes(reach=Reach())))
    assert bench.hears(bench.peer, fw.SERVICE6, socket.SOCK_STREAM, fw.PEER6) == "ECONNREFUSED"
    given = Reach(
        networks6=((fw.RANGE6, "2001:db8:5::/48"),),
        services6=((fw.RANGE6, f"{fw.SERVICE6}/128", "tcp", 443), (fw.RANGE6, "2001:db8:50::/64", "tcp", 5432)),
        given6=("2001:db8:5::/48", "2001:db8:50::/64"),
    )
    nft.transaction(nft_commands(Changes(reach=given)))
    for address, port in ((fw.SERVICE6, 443), (fw.SERVICE6, 5432), (fw.FAR6, 22)):
        assert bench.opens(bench.peer, address, port, source=fw.PEER6), (address, port)
    assert not bench.opens(bench.peer, fw.SERVICE6, 22, source=fw.PEER6)
    assert not bench.opens(bench.other, fw.FAR6, 22, source=fw.OTHER6)


def test_a_narrowed_peer_reaches_the_internet_where_it_and_its_tenant_do(bench: Bench) -> None:
    bench.load(too_much=False, more=fw.INTERNET)
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    one = Narrow(address=fw.PEER, storage=True, internet=False, networks=(), services=())
    nft.transaction(nft_commands(Changes(narrow_flush=True, narrow_add=(one,))))
    assert bench.opens(bench.peer, fw.STORAGE, 443) and not bench.opens(bench.peer, fw.OUTSIDE, 443)
    wide = replace(one, internet=True)
    nft.transaction(nft_commands(Changes(narrow_remove=(one,), narrow_add=(wide,))))
    assert bench.opens(bench.peer, fw.OUTSIDE, 443) and not bench.opens(bench.peer, fw.LAN, 443)
    nft.transaction(nft_commands(Changes(reach=Reach(storage=("52.218.0.0/17",)))))
    assert not bench.opens(bench.peer, fw.OUTSIDE, 443), "its tenant lost it"
    given = Reach(storage=("52.218.0.0/17",), internet_tenants=("10.100.1.0/24",))
    nft.transaction(nft_commands(Changes(reach=given)))
    assert bench.opens(bench.peer, fw.OUTSIDE, 443), "and the agent's words give it back"


def _counters(bench: Bench) -> dict[str, dict[str, tuple[int, int]]]:
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    found = {name: {**nft.counters(name), **nft.counters(f"{name}6")} for name in SETS}
    # The cables that stand in for tunnels say more than those: WireGuard lets nobody send from a link's own address.
    return {name: {at: seen for at, seen in some.items() if not at.startswith("fe80:")} for name, some in found.items()}


def test_packets_are_counted_for_each_peer_that_got_through_and_that_were_refused(bench: Bench) -> None:
    bench.load(too_much=False)
    assert _counters(bench) == {"sent": {}, "received": {}, "refused": {}}
    assert bench.opens(bench.peer, fw.SERVICE, 5432)
    counted = _counters(bench)
    (packets, size), (back, _) = counted["sent"][fw.PEER], counted["received"][fw.PEER]
    assert packets >= 2 and size >= packets * 40 and back >= 1, "SYN and ACK, and what answers them"
    assert counted["refused"] == {}, "and nobody else has anything"
    refusals = 0
    for address, port in ((fw.METADATA, 80), (fw.STRANGER, 443), (fw.OTHER, 443), (fw.INSIDE, 22), (fw.STORAGE, 80)):
        assert not bench.opens(bench.peer, address, port)
        now = _counters(bench)["refused"][fw.PEER][0]
        assert now > refusals, f"to {address}, port {port}"
        refusals = now
    assert not bench.opens(bench.other, fw.STRANGER, 443)
    after = _counters(bench)
    assert after["refused"][fw.PEER][0] == refusals and after["refused"][fw.OTHER][0] >= 1
    assert after["sent"].keys() == {fw.PEER}
    assert bench.opens(bench.peer, fw.SERVICE6, 5432, source=fw.PEER6)
    assert not bench.opens(bench.peer, fw.SERVICE6, 22, source=fw.PEER6)
    six = _counters(bench)
    assert six["sent"][fw.PEER6][0] >= 2 and six["received"][fw.PEER6][0] >= 1 and six["refused"][fw.PEER6][0] >= 1
    tally = Tally()
    tally.read(Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "").counters, {fw.PEER: "ann"})
    assert tally.total.sent_packets == six["sent"][fw.PEER][0] + six["sent"][fw.PEER6][0], "both are the same peer's"


@pytest.mark.parametrize("counting", [True, False])
def test_a_packet_from_a_revoked_peers_address_is_counted(bench: Bench, counting: bool) -> None:
    drop = ("ip saddr != @served goto refuse", "ip saddr != @served drop")
    bench.load(*(() if counting else (drop,)), too_much=False)
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    assert bench.opens(bench.peer, fw.STORAGE, 443)
    nft.transaction(nft_commands(Changes(cut=(fw.PEER,))))
    assert not bench.opens(bench.peer, fw.STORAGE, 443)
    assert (fw.PEER in _counters(bench)["refused"]) is counting


@pytest.mark.parametrize("counting", [True, False])
def test_what_comes_from_where_a_shut_out_peer_was_is_counted_and_goes_on(
    bench: Bench, sockets: Sockets, counting: bool
) -> None:
    """Both families: a first message from there still finds the way, as one of whoever came after would."""
    place, port = sockets.client.getsockname()[:2]
    family = 6 * (":" in place)
    match = f"{'ip6' if family else 'ip'} saddr . udp sport @{SHUT_OUT[bool(family)]}"
    bench.load(*(() if counting else ((match, ""),)))
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    kept = ShutOut(nft)
    kept.watch({(place, port): "ml/ann", (place, port + 1): "ml/bob"})
    assert kept.count(tuple) == {}
    assert [sockets.at(first_message(5)), sockets.at(data(5))] == ["way"] * 2
    assert kept.count(tuple) == ({"ml/ann": 2} if counting else {})
    kept.watch({(place, port): "ml/eve"})
    sockets.at(data(5))
    assert kept.count(tuple) == ({"ml/eve": 1} if counting else {}), "watched anew, it is the last one's"
    assert kept.count(lambda: [(place, port)]) == {}
    sockets.at(data(5))
    assert kept.count(tuple) == {}, "somebody else is there now"


def test_as_many_as_the_agent_watches_fit_twice_into_the_firewalls_sets(bench: Bench) -> None:
    bench.load()
    nft = Nft(lambda words, stdin: inside_run(bench.gateway, list(words), stdin) or "")
    kept = ShutOut(nft)
    for first in (0, 1):
        kept.watch({(fw.STRANGER, port): "t" * 63 + "/" + "n" * 63 for port in range(first, KEPT + first)})
    assert len(nft.labelled("shut_out")) == KEPT
    nft.transaction(
        [add_elements("shut_out", [{"elem": {"val": {"concat": [fw.TWIN, port]}}} for port in range(KEPT)])]
    )


def test_where_there_is_no_room_to_count_packets_pass_as_they_did(bench: Bench) -> None:
    full = [
        (f"set {name} {{ type ipv4_addr; flags dynamic,timeout; timeout 1d; size 131072;",
         f"set {name} {{ type ipv4_addr; flags dynamic,timeout; timeout 1d; size 1; elements = {{ 192.0.2.1 }};")
        for name in SETS
    ]  # fmt: skip
    bench.load(*full, too_much=False)
    assert bench.opens(bench.peer, fw.STORAGE, 443)
    assert not bench.opens(bench.peer, fw.STORAGE, 80)


def test_security_updates_get_out_on_443_and_nowhere_else(bench: Bench) -> None:
    """apt fetches as a user of its own; with that user taken out of the rule, it reaches nothing."""
    apt = pwd.getpwnam("_apt").pw_uid
    bench.load()
    assert bench.opens(bench.gateway, fw.STRANGER, 443, user=apt)
    assert not bench.opens(bench.gateway, fw.STRANGER, 80, user=apt)
    assert not bench.opens(bench.gateway, fw.METADATA, 80, user=apt)
    bench.load(('skuid { 0, "_apt" }', "skuid 0"))
    assert not bench.opens(bench.gateway, fw.STRANGER, 443, user=apt)


@pytest.mark.parametrize("strict", [True, False])
def test_a_packet_from_the_network_with_a_peers_address_is_dropped_by_the_source_check(
    bench: Bench, strict: bool
) -> None:
    bench.load()
    both = [f"net.ipv4.conf.{device}.rp_filter={int(strict)}" for device in ("all", "ens5")]
    inside_run(bench.gateway, ["sysctl", "-qw", *both])
    try:
        assert bench.counted((udp(bench.out, fw.STRANGER), (fw.GATEWAY, 9999))), "the control: an honest one arrives"
        assert bench.counted((udp(bench.out, fw.PEER), (fw.GATEWAY, 9999))) is not strict
    finally:
        inside_run(bench.gateway, ["sysctl", "-qw", *(word.replace("=0", "=1") for word in both)])


# -- one public port, two sockets -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sockets:
    service: socket.socket
    way: socket.socket
    client: socket.socket
    gateway: tuple[str, int]

    def at(self, message: bytes) -> str:
        """Which socket a client's message to the public port comes to, and from which port an answer leaves."""
        self.client.sendto(message, self.gateway)
        for name, held in (("service", self.service), ("way", self.way)):
            try:
                return name if held.recv(999) == message else "changed"
            except TimeoutError:
                continue
        return "nowhere"


@pytest.fixture(params=["IPv4", "IPv6"])
def sockets(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Sockets]:
    anywhere, client, gateway = {
        "IPv4": (ANY4, fw.STRANGER, fw.GATEWAY), "IPv6": (ANY6, fw.FAR6, fw.GATEWAY6),
    }[request.param]  # fmt: skip
    made = Sockets(
        udp(bench.gateway, anywhere, fw.PORT + 1), udp(bench.gateway, anywhere, fw.PORT + 2),
        udp(bench.out, client, 40000), (gateway, fw.PORT),
    )  # fmt: skip
    yield made
    for held in (made.service, made.way, made.client):
        held.close()


def test_a_first_message_belongs_to_the_way_and_answers_to_the_service_find_it(bench: Bench, sockets: Sockets) -> None:
    bench.load()
    assert sockets.at(first_message(5)) == "way"
    assert [sockets.at(message) for message in (data(77), response(5, 77), data(77, kind=3))] == ["way"] * 3
    sockets.service.sendto(first_message(77), sockets.client.getsockname()[:2])
    _, came_from = sockets.client.recvfrom(999)
    assert came_from[:2] == sockets.gateway, "the service's own port is not seen outside"
    assert [sockets.at(message) for message in (data(77), response(5, 77), data(77, kind=3))] == ["service"] * 3
    assert sockets.at(data(78)) == "way"


def test_the_index_that_a_second_message_names_as_its_own_is_remembered_too(bench: Bench, sockets: Sockets) -> None:
    bench.load()
    sockets.service.sendto(response(91, 5), sockets.client.getsockname()[:2])
    assert sockets.client.recv(999)
    assert (sockets.at(data(91)), sockets.at(data(5))) == ("service", "way")


@pytest.mark.parametrize(
    "out",
    [
        (" add @receiver { meta mark : udp sport }", ""),
        ("@th,64,8 2-4 udp dport set meta mark map", "@th,64,8 9 udp dport set meta mark map"),
    ],
    ids=["remember", "tell apart"],
)
def test_without_the_split_the_service_gets_nothing(bench: Bench, sockets: Sockets, out: tuple[str, str]) -> None:
    bench.load(out)
    sockets.service.sendto(first_message(77), sockets.client.getsockname()[:2])
    assert sockets.client.recv(999)
    assert sockets.at(data(77)) == "way"


@pytest.mark.parametrize("protected", [True, False])
def test_a_peers_own_packets_to_the_same_port_elsewhere_are_not_taken(bench: Bench, protected: bool) -> None:
    split = (('iifname "wg-*" accept', ""), ("fib daddr type != local accept", ""))
    bench.load(*(() if protected else split), too_much=False)
    with udp(bench.out, fw.SERVICE, fw.PORT) as service, udp(bench.peer, fw.PEER) as peer:
        peer.sendto(data(1), (fw.SERVICE, fw.PORT))
        if protected:
            assert service.recv(99) == data(1)
        else:
            with pytest.raises(TimeoutError):
                service.recv(99)


# -- sizes ------------------------------------------------------------------------------------------------------------


def _segment(bench: Bench, client: tuple[str, str], server: tuple[str, str], port: int) -> int:
    """The size of segments that a server may send, as the client's SYN told it."""
    family = socket.AF_INET6 if ":" in server[1] else socket.AF_INET

    def listener() -> socket.socket:
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((server[1], port))
        made.listen()
        made.settimeout(2)
        return made

    def connect() -> socket.socket:
        return socket.create_connection((server[1], port), 2)

    with inside(server[0], listener) as listening, inside(client[0], connect), listening.accept()[0] as accepted:
        return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


@pytest.mark.parametrize(("family", "headers"), [("IPv4", 40), ("IPv6", 60)])
def test_segments_are_clamped_to_the_tunnels_mtu(bench: Bench, family: str, headers: int) -> None:
    """Let through here whatever the rules of tenants say."""
    to = {"IPv4": fw.SERVICE, "IPv6": fw.FAR6}[family]
    open6 = (
        "insert rule inet twinlock forward meta nfproto ipv6 accept\n"
        "insert rule inet twinlock forward ip daddr 10.50.0.5 tcp dport 7000 accept\n"
    )
    clamp = "meta l4proto tcp tcp flags syn tcp option maxseg size set rt mtu"
    bench.load(more=open6)
    timestamps = 12  # of each segment, which TCP_MAXSEG has taken off
    clamped = _segment(bench, (bench.peer, fw.PEER), (bench.out, to), 7000)
    bench.load((clamp, ""), more=open6)
    free = _segment(bench, (bench.peer, fw.PEER), (bench.out, to), 7000)
    assert clamped in (fw.TUNNEL_MTU - headers, fw.TUNNEL_MTU - headers - timestamps)
    assert free > clamped, "without the clamp the peer's own idea of its MTU stands"


@pytest.mark.parametrize("protected", [True, False])
def test_a_bulk_transfer_through_a_smaller_path_does_not_hang(bench: Bench, protected: bool) -> None:
    """The path beyond is 1280 too and says so: the message that a packet was too big finds its way to the peer."""
    related = ("@served ct state established,related goto to_peer", "@served ct state established goto to_peer")
    bench.load(*(() if protected else (related,)), too_much=False)
    moved = _upload_through_narrow_path(bench)
    assert (moved == 4 << 20) is protected, moved


def _upload_through_narrow_path(bench: Bench) -> int:
    """Bytes that arrived of 4 MiB, through a router whose next cable takes 1280 bytes and which clamps nothing."""
    far = bench.space("far")
    try:
        bench.cable(bench.out, "narrow", far, "net", 1280)
        bench.ip(bench.out, "addr add 10.70.0.1/24 dev narrow")
        bench.ip(
            far, "addr add 10.70.0.2/24 dev net", "route add default via 10.70.0.1", "addr add 52.218.0.9/32 dev lo"
        )
        bench.ip(bench.out, "route add 52.218.0.9/32 via 10.70.0.2")
        inside_run(bench.out, ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        bench.ip(bench.gateway, "link set wg-service mtu 1500")
        bench.ip(bench.peer, "route flush cache")  # what an earlier run learned of this path
        return _upload(bench, far, ("52.218.0.9", 443))
    finally:
        bench.ip(bench.gateway, f"link set wg-service mtu {fw.TUNNEL_MTU}")
        subprocess.run(["ip", "netns", "del", far], check=True)


def _upload(bench: Bench, where: str, to: tuple[str, int]) -> int:
    def listener() -> socket.socket:
        made = socket.create_server(to)
        made.settimeout(3)
        return made

    send = "import socket; s=socket.create_connection(('%s',%d),2); s.settimeout(4); s.sendall(bytes(4<<20)); s.close()"
    with inside(where, listener) as listening:
        sender = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{bench.peer}", "python3", "-c", send % to], stderr=subprocess.DEVNULL
        )
        try:
            accepted, _ = listening.accept()
            accepted.settimeout(3)
            with accepted:
                return _received(accepted)
        finally:
            sender.kill()
            sender.wait()


def _received(connection: socket.socket) -> int:
    total = 0
    try:
        while piece := connection.recv(1 << 16):
            total += len(piece)
    except TimeoutError:
        return total
    return total
