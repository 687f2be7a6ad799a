"""The tunnels of a gateway as wg-quick's files. Each is 0600, and no key is ever an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from twinlock.agent.atomic_file import write_private
from twinlock.agent.boot import Boot
from twinlock.agent.private_key import PrivateKey, new_private_key, private_key_from_text
from twinlock.registry.ipv6 import PREFIX_BITS, addresses, host_networks, network6

SERVICE, WAY, PAIR = "wg-service", "wg-way", "wg-pair"
# Service and way have two sides. An identity's even numbers are on the first, odd ones on the second, so that one that
# replaces another is never where that one is. A side without an identity has no key, and answers nobody.
SIDES = {SERVICE: (SERVICE, "wg-service2"), WAY: (WAY, "wg-way2")}
NAMES = (*SIDES[SERVICE], *SIDES[WAY], PAIR)
Sides = tuple[PrivateKey | None, PrivateKey | None]
FOLDER = Path("/etc/wireguard")
# The firewall (userdata/render.py) knows these too.
_SIDE_MARK = 7462
PAIR_RANGE = IPv6Network("fd74:776c:6b00::/64")


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    """One interface; `address` with prefix length, or none."""

    name: str
    key: PrivateKey | None
    port: int
    mtu: int
    address: str | None = None  # or several, after commas
    after: str = ""  # a command, once it is up
    before: str = ""  # a command, before it goes down


_LOOSE = "sysctl -qw net.ipv4.conf.%i.rp_filter=2"


def pair_address(slots: tuple[str, ...], slot: str) -> str:
    """A gateway's address on the pair channel: its place among the slots, sorted by name."""
    return str(PAIR_RANGE[1 + sorted(slots).index(slot)])


def probe_address(gateway_address: str) -> str:
    """What proofs of transfer come from, as a peer's packets come from its own; userdata/render.py gives it."""
    return str(IPv4Address(gateway_address) + 1)


def tunnels(boot: Boot, service: Sides, way: Sides, pair: PrivateKey) -> tuple[Tunnel, ...]:
    between = f"{pair_address(boot.slots, boot.slot)}/{PAIR_RANGE.prefixlen}"
    return (
        *(side_tunnel(boot, SERVICE, number, key) for number, key in enumerate(service)),
        *(side_tunnel(boot, WAY, number, key) for number, key in enumerate(way)),
        Tunnel(name=PAIR, key=pair, port=boot.port + 3, mtu=boot.mtu, address=between),
    )


def side_tunnel(boot: Boot, interface: str, number: int, key: PrivateKey | None) -> Tunnel:
    """One side of the service or the way."""
    port = boot.port + (1 if interface == SERVICE else 2) + 4 * number
    plain = Tunnel(name=SIDES[interface][number], key=key, port=port, mtu=boot.mtu)
    if interface == WAY:
        return plain
    if number == 0:
        # The prefix length makes the one route that is needed: every tenant is behind wg-service.
        # What comes to the floating address is for this box, whether or not its image has set the address up.
        own = f"ip address replace {boot.floating.private_address}/32 dev lo" if boot.floating else ""
        return replace(plain, address=", ".join(_in_tunnel(boot)), after=own)
    rule = f"fwmark {_SIDE_MARK} lookup {_SIDE_MARK} priority {_SIDE_MARK}"
    # The route back to a peer on this side is the other side's, but for the mark: rp_filter 2 takes that.
    to = f"dev %i table {_SIDE_MARK}"
    up, down = f"ip rule add {rule}; ip route add {boot.tunnel_range} {to}; {_LOOSE}", f"ip rule del {rule}"
    if boot.prefix6:
        up += f"; ip -6 rule add {rule}; ip -6 route add {network6(boot.prefix6, boot.tunnel_range)} {to}"
        down += f"; ip -6 rule del {rule}"
    # An address, too: without one the kernel drops what comes from elsewhere than it would go, whatever rp_filter says.
    own = ", ".join(host_networks(boot.prefix6, boot.gateway_address))
    return replace(plain, address=own, after=up, before=down)


def _in_tunnel(boot: Boot) -> tuple[str, ...]:
    """The service's own addresses, with the lengths of the networks that all tenants are in."""
    length = IPv4Network(boot.tunnel_range).prefixlen
    lengths = (length, PREFIX_BITS + length)
    return tuple(f"{one}/{at}" for one, at in zip(addresses(boot.prefix6, boot.gateway_address), lengths, strict=False))


def wg_quick_text(tunnel: Tunnel) -> str:
    lines = [
        "[Interface]",
        "" if tunnel.key is None else f"PrivateKey = {tunnel.key.text()}",
        f"ListenPort = {tunnel.port}",
        f"MTU = {tunnel.mtu}",
        "" if tunnel.address is None else f"Address = {tunnel.address}",
        "Table = off",
        tunnel.after and f"PostUp = {tunnel.after}",
        tunnel.before and f"PreDown = {tunnel.before}",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def write_tunnel(tunnel: Tunnel, folder: Path = FOLDER) -> bool:
    """Whether the file changed."""
    path, text = folder / f"{tunnel.name}.conf", wg_quick_text(tunnel)
    if path.exists() and path.read_text() == text:
        return False
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, text)
    return True


def pair_key(state_folder: Path) -> PrivateKey:
    """This box's own key of the pair channel, made at its first boot; it never leaves the box."""
    path = state_folder / "pair.key"
    if path.exists():
        return private_key_from_text(path.read_text(), str(path))
    key = new_private_key()
    write_private(path, key.text() + "\n")
    return key
