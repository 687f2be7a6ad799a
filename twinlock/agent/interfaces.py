"""The three tunnels of a gateway as wg-quick's files. Each is 0600, and no key is ever an argument."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from twinlock.agent.atomic_file import write_private
from twinlock.agent.boot import Boot
from twinlock.agent.private_key import PrivateKey, new_private_key, private_key_from_text

SERVICE, WAY, PAIR = "wg-service", "wg-way", "wg-pair"
FOLDER = Path("/etc/wireguard")
# The firewall (userdata/render.py) knows this range too.
PAIR_RANGE = IPv6Network("fd74:776c:6b00::/64")


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    """One interface; `address` with prefix length, or none."""

    name: str
    key: PrivateKey
    port: int
    mtu: int
    address: str | None


def pair_address(slots: tuple[str, ...], slot: str) -> str:
    """A gateway's address on the pair channel: its place among the slots, sorted by name."""
    return str(PAIR_RANGE[1 + sorted(slots).index(slot)])


def tunnels(boot: Boot, service: PrivateKey, way: PrivateKey, pair: PrivateKey) -> tuple[Tunnel, ...]:
    bits = IPv4Network(boot.tunnel_range).prefixlen
    # The prefix length makes the one route that is needed: every tenant is behind wg-service.
    inside = f"{boot.gateway_address}/{bits}"
    between = f"{pair_address(boot.slots, boot.slot)}/{PAIR_RANGE.prefixlen}"
    return (
        Tunnel(name=SERVICE, key=service, port=boot.port + 1, mtu=boot.mtu, address=inside),
        Tunnel(name=WAY, key=way, port=boot.port + 2, mtu=boot.mtu, address=None),
        Tunnel(name=PAIR, key=pair, port=boot.port + 3, mtu=boot.mtu, address=between),
    )


def wg_quick_text(tunnel: Tunnel) -> str:
    address = [] if tunnel.address is None else [f"Address = {tunnel.address}"]
    return "\n".join(
        [
            "[Interface]",
            f"PrivateKey = {tunnel.key.text()}",
            f"ListenPort = {tunnel.port}",
            f"MTU = {tunnel.mtu}",
            *address,
            "Table = off",
            "",
        ]
    )


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
