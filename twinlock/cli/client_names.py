"""Private names in a client's file: of the gateway, which refuses every other name, only their zones are asked. Pure.

- wg-quick gives what `DNS =` names to resolvconf as the server of all names (`-x`), and every public one would be
  refused. Told by a command, systemd-resolved asks for the names under a zone there (a routing domain, "~") and for no
  others; it forgets that with the interface. Without it the tunnel comes up all the same: storage needs no such names.
- NetworkManager and systemd-networkd tell systemd-resolved themselves. Where NetworkManager writes /etc/resolv.conf
  instead, the gateway comes first there, and whoever is refused asks the next.
- WireGuard's apps ask the tunnel's server for all names, whatever domains stand beside it (iOS: matchDomains is "");
  those for Apple's systems and Android take no file with commands in it, and the one for Windows passes over them:
  theirs are without private names (--no-dns, and every QR code).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PrivateNames:
    server: str  # IPv4, inside the tunnel
    zones: tuple[str, ...]

    @property
    def routed(self) -> tuple[str, ...]:
        """As routing domains: names under them, and no search in them."""
        return tuple(f"~{zone}" for zone in self.zones)


def wg_quick_lines(names: PrivateNames | None) -> list[str]:
    """wg-quick runs each as root, with a shell: zones are letters, digits, dots and dashes (registry/definition.py)."""
    if names is None:
        return []
    domains = " ".join(f"'{domain}'" for domain in names.routed)
    told = f"resolvectl dns %i {names.server} && resolvectl domain %i {domains}"
    return [f"PostUp = {told} || echo 'twinlock: private names need systemd-resolved, and do not resolve here' >&2"]


def named_zones(text: str) -> tuple[str, ...]:
    """Of a wg-quick file."""
    told = [line for line in text.splitlines() if line.startswith("PostUp = resolvectl ")]
    return tuple(zone for line in told for zone in re.findall(r"'~([a-z0-9.-]+)'", line))


def keyfile_lines(names: PrivateNames | None) -> list[str]:
    if names is None:
        return []
    return [f"dns={names.server};", f"dns-search={';'.join(names.routed)};"]


def networkd_lines(names: PrivateNames | None) -> list[str]:
    if names is None:
        return []
    return [f"DNS={names.server}", f"Domains={' '.join(names.routed)}", "DNSDefaultRoute=no"]
