"""Why a client's tunnel passes nothing, from what was seen on the client: pure.

The order is the way of a packet: the first cause that is found explains what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from twinlock.cli.dns_question import NOBODY, REFUSED

# WireGuard, "Timers": a session is not used for longer than 180 s; a way has a keepalive, so that one is always there.
SESSION_SECONDS = 180
# AWS refuses signatures that are 15 minutes off, "Signature Version 4": much less is a sign already.
SKEW_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class WaySeen:
    endpoint: str
    handshake_age: float | None  # seconds, None: there was none


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the client shows. None: could not be looked at."""

    interface: str
    is_up: bool
    ways: tuple[WaySeen, ...] = ()
    service_age: float | None = None  # of the service's last handshake
    allowed: tuple[str, ...] = ()  # CIDRs of the service
    names_server: str = ""  # that this machine asks for the private zones' names, if it was told of any
    names_said: Mapping[str, str] = field(default_factory=dict[str, str])  # zone -> what came of a question for it
    skew: float | None = None  # seconds that this machine's clock is ahead
    host: str = ""
    addresses: tuple[str, ...] = ()  # of the host, IPv4
    connects: bool = False  # TCP 443
    answers: bool = False  # TLS, whose certificates are packets as long as they come
    has_ipv6: bool | None = None  # whether the interface has an IPv6 address


@dataclass(frozen=True, kw_only=True)
class Finding:
    cause: str  # interface, clock, ipv6, port, way, handshake, dns, prefix, firewall, mtu
    text: str  # what, and its mend


def diagnose(seen: Seen) -> tuple[Finding, ...]:
    """Empty if all is well. A way that is down beside one that is up is told, and explains nothing else."""
    if not seen.is_up:
        return (Finding(cause="interface", text=f"there is no interface {seen.interface}: bring it up with wg-quick"),)
    return (*_clock(seen), *_ipv6(seen), *_ways(seen), *_first(_handshake(seen), _names(seen), _path(seen)))


def _clock(seen: Seen) -> Iterator[Finding]:
    if seen.skew is not None and abs(seen.skew) > SKEW_SECONDS:
        side = "ahead" if seen.skew > 0 else "behind"
        text = (
            f"this machine's clock is {abs(seen.skew):.0f} s {side}: set it; handshakes and storage requests are dated"
        )
        yield Finding(cause="clock", text=text)


def _ipv6(seen: Seen) -> Iterator[Finding]:
    routed = [cidr for cidr in seen.allowed if ":" in cidr]
    if routed and seen.has_ipv6 is False:
        text = f"the file routes {', '.join(routed)}, and {seen.interface} has no IPv6 address: switch IPv6 on"
        yield Finding(cause="ipv6", text=f"{text} (net.ipv6.conf.all.disable_ipv6), and bring the tunnel up anew")


def _ways(seen: Seen) -> Iterator[Finding]:
    silent = [way.endpoint for way in seen.ways if not _fresh(way.handshake_age)]
    if not silent:
        return
    if len(silent) == len(seen.ways):
        text = (
            f"no gateway answers on UDP ({', '.join(silent)}): a network between drops the port, or the key is unknown"
        )
        yield Finding(cause="port", text=f"{text}; try another network, and look at `twinlock peer show`")
    else:
        text = f"no answer from {', '.join(silent)}: a takeover would lose this client; look at `twinlock status`"
        yield Finding(cause="way", text=text)


def _handshake(seen: Seen) -> Iterator[Finding]:
    if not _fresh(seen.service_age) and any(_fresh(way.handshake_age) for way in seen.ways):
        text = "the ways are up and nobody called: the peer is not approved, has expired or was revoked, or no gateway"
        yield Finding(cause="handshake", text=f"{text} serves; look at `twinlock peer show` and `twinlock status`")


def _names(seen: Seen) -> Iterator[Finding]:
    """Asked of the gateways themselves, whatever this machine's resolver has kept."""
    if not _fresh(seen.service_age):
        return
    silent, refused = ([zone for zone, said in seen.names_said.items() if said == code] for code in (NOBODY, REFUSED))
    if silent:
        text = f"the gateways do not answer at {seen.names_server} for names of {', '.join(silent)}"
        mend = "twinlock:tunnel.dns is gone or not rolled out (`twinlock status`), or a firewall here drops port 53"
        yield Finding(cause="dns", text=f"{text}: {mend}")
    if refused:
        text = f"the gateways refuse names of {', '.join(refused)}, which are no zones of the environment any more"
        yield Finding(cause="dns", text=f"{text}: write the file anew with `twinlock peer config`")


def _path(seen: Seen) -> Iterator[Finding]:
    if not _fresh(seen.service_age) or not seen.host:
        return
    if not seen.addresses:
        yield Finding(cause="dns", text=f"{seen.host} has no address: mend this machine's resolver (/etc/resolv.conf)")
        return
    outside = [address for address in seen.addresses if not _inside(address, seen.allowed)]
    if outside:
        text = f"{seen.host} is {', '.join(outside)}, which the file does not route (AllowedIPs)"
        yield Finding(cause="prefix", text=f"{text}: write it anew with `twinlock peer config`")
    elif not seen.connects:
        text = (
            f"{seen.host} does not answer on port 443: the tenant may not reach it, or this machine's firewall drops it"
        )
        yield Finding(cause="firewall", text=text)
    elif not seen.answers:
        text = "short packets pass and long ones do not: lower MTU in the file (1280 always passes)"
        yield Finding(cause="mtu", text=text)


def _first(*groups: Iterator[Finding]) -> tuple[Finding, ...]:
    return next((found for group in groups if (found := tuple(group))), ())


def _fresh(age: float | None) -> bool:
    return age is not None and age <= SESSION_SECONDS


def _inside(address: str, allowed: Sequence[str]) -> bool:
    return any(IPv4Address(address) in IPv4Network(cidr) for cidr in allowed if ":" not in cidr)
