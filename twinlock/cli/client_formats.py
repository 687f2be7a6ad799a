"""A client's file for programs other than wg-quick: NetworkManager, systemd-networkd, and a picture for a phone: pure.

A picture holds the private key, as the file does: whoever sees it is the peer.
"""

from __future__ import annotations

import io
import uuid

import segno

from twinlock.cli.client_names import keyfile_lines, networkd_lines
from twinlock.cli.private_key import PrivateKey
from twinlock.cli.wireguard_file import KEEPALIVE, ClientFile, Way

# Of a file for all traffic: its routes' table, and the mark of what WireGuard itself sends, which must not take them.
_TABLE = 51820
_SPACE = uuid.UUID(
    "6f0c4a56-4a41-5d0e-9f7e-0d9f3a3c2b11"
)  # of our connections' ids, so that a new file replaces the old


def interface_of(file: ClientFile) -> str:
    """15 characters at most, which is what Linux takes."""
    return f"tl-{file.environment}"[:15]


def network_manager(file: ClientFile, key: PrivateKey) -> str:
    """A keyfile for /etc/NetworkManager/system-connections, 0600."""
    name = f"{file.environment}-{file.peer.name}"
    blocks = [
        [
            "[connection]",
            f"id={name}",
            f"uuid={uuid.uuid5(_SPACE, name)}",
            "type=wireguard",
            f"interface-name={interface_of(file)}",
            "autoconnect=false",
        ],
        [
            "[wireguard]",
            f"mtu={file.mtu}",
            f"private-key={key.reveal()}",
            "private-key-flags=0",
            # Routes in a table of their own, and a mark for what WireGuard itself sends: its gateways stay outside.
            *(["ip4-auto-default-route=1", "ip6-auto-default-route=1"] if file.full else []),
        ],
        [
            f"[wireguard-peer.{file.service_public_key}]",
            *_keyfile_preshared(file),
            f"allowed-ips={';'.join(file.allowed)};",
            *([] if file.single is None else [f"endpoint={file.single}", f"persistent-keepalive={KEEPALIVE}"]),
        ],
        *(_keyfile_way(way, file) for way in file.ways),
        *_keyfile_addresses(file),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _keyfile_addresses(file: ClientFile) -> list[list[str]]:
    four, *six = file.addresses
    ipv6 = [f"address1={six[0]}", "method=manual"] if six else ["method=disabled"]
    return [["[ipv4]", f"address1={four}", "method=manual", *keyfile_lines(file.names)], ["[ipv6]", *ipv6]]


def _keyfile_preshared(file: ClientFile) -> list[str]:
    return [f"preshared-key={file.preshared.reveal()}", "preshared-key-flags=0"] if file.preshared is not None else []


def _keyfile_way(way: Way, file: ClientFile) -> list[str]:
    return [
        f"[wireguard-peer.{way.public_key}]",
        *_keyfile_preshared(file),
        f"endpoint={way.endpoint}",
        f"persistent-keepalive={KEEPALIVE}",
    ]


def networkd(file: ClientFile, key: PrivateKey) -> dict[str, str]:
    """File name -> text, for /etc/systemd/network; the .netdev holds the key: 0640 root:systemd-network."""
    name = interface_of(file)
    netdev = [
        ["[NetDev]", f"Name={name}", "Kind=wireguard", f"MTUBytes={file.mtu}"],
        ["[WireGuard]", f"PrivateKey={key.reveal()}", *_networkd_table(file)],
        [
            "[WireGuardPeer]",
            f"PublicKey={file.service_public_key}",
            *_networkd_preshared(file),
            f"AllowedIPs={','.join(file.allowed)}",
            *([] if file.single is None else [f"Endpoint={file.single}", f"PersistentKeepalive={KEEPALIVE}"]),
        ],
        *(_networkd_way(way, file) for way in file.ways),
    ]
    network = [
        ["[Match]", f"Name={name}"],
        ["[Network]", *(f"Address={one}" for one in file.addresses), *networkd_lines(file.names)],
        *(_NETWORKD_RULES if file.full else ()),
    ]
    return {
        f"{name}.netdev": "\n\n".join("\n".join(block) for block in netdev) + "\n",
        f"{name}.network": "\n\n".join("\n".join(block) for block in network) + "\n",
    }


def _networkd_table(file: ClientFile) -> list[str]:
    return [f"RouteTable={_TABLE}", f"FirewallMark={_TABLE}"] if file.full else ["RouteTable=main"]


# What wg-quick does: routes that say more than "everywhere" come first, then all goes this way but WireGuard's own.
_NETWORKD_RULES = (
    ["[RoutingPolicyRule]", "Family=both", "Table=main", "SuppressPrefixLength=0", "Priority=32764"],
    ["[RoutingPolicyRule]", "Family=both", f"FirewallMark={_TABLE}", "InvertRule=yes", f"Table={_TABLE}",
     "Priority=32765"],
)  # fmt: skip


def _networkd_preshared(file: ClientFile) -> list[str]:
    return [f"PresharedKey={file.preshared.reveal()}"] if file.preshared is not None else []


def _networkd_way(way: Way, file: ClientFile) -> list[str]:
    return [
        "[WireGuardPeer]",
        f"PublicKey={way.public_key}",
        *_networkd_preshared(file),
        f"Endpoint={way.endpoint}",
        f"PersistentKeepalive={KEEPALIVE}",
    ]


def qr_terminal(text: str) -> str:
    """Half-blocks, for a dark or a light terminal."""
    out = io.StringIO()
    segno.make_qr(text).terminal(out, compact=True)
    return out.getvalue()


def qr_png(text: str) -> bytes:
    out = io.BytesIO()
    segno.make_qr(text).save(out, kind="png", scale=5)
    return out.getvalue()
