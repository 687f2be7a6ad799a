"""Clients on the internet: a namespace each, alone or behind a NAT of its own."""

from __future__ import annotations

import ipaddress
from typing import Literal

from lab.fabric import names, wiring
from lab.fabric.names import Namespaces
from lab.fabric.wiring import Cable, Key, Setting, Wiring

NatKind = Literal["none", "port-restricted", "symmetric"]

# Public addresses of clients and their NATs, in order of their making: the range for benchmarks (RFC 2544), because
# the documentation ranges are too small and are the gateways'.
PUBLIC = ipaddress.ip_network("198.18.0.0/15")
INSIDE, ROUTER = "192.168.1.2", "192.168.1.1"
LAN = "lan"  # a NAT's device to its client


def public_address(number: int) -> str:
    """Of the client that was made as `number` (0, 1, …)."""
    return str(PUBLIC[10 + number])


def wire_client(name: str, number: int, nat: NatKind, spaces: Namespaces) -> Wiring:
    """The client's namespace, its NAT's where it has one, and the internet's route to the public address."""
    here = spaces.client(name)
    owner = f"client-{name}"
    address = public_address(number)
    edge = here if nat == "none" else spaces.nat(name)
    near, _ = names.link_addresses(owner)
    settings: dict[Key, Setting] = {
        **wiring.uplink_settings(edge, owner, spaces),
        **wiring.public_route(address, owner, spaces),
        (edge, "address", f"{address}/32"): Setting(rest="dev lo"),
        (edge, "route", "default"): Setting(
            rest=f"via {near} dev {names.UPLINK} onlink src {address}", device=names.UPLINK
        ),
    }
    made = Wiring(
        hosts=frozenset({here}),
        cables=frozenset({wiring.uplink(edge, owner, spaces)}),
        settings=settings,
        resolvers={here: names.PUBLIC_RESOLVER},
    )
    return made if nat == "none" else made.with_(_behind(here, edge, address, nat))


def _behind(here: str, edge: str, address: str, nat: NatKind) -> Wiring:
    cable = Cable(near=edge, near_device=LAN, far=here, far_device=names.machine_device(0))
    settings: dict[Key, Setting] = {
        (edge, "address", f"{ROUTER}/24"): Setting(rest=f"dev {LAN}", device=LAN),
        (here, "address", f"{INSIDE}/24"): Setting(rest=f"dev {cable.far_device}", device=cable.far_device),
        (here, "route", "default"): Setting(rest=f"via {ROUTER} dev {cable.far_device}", device=cable.far_device),
    }
    return Wiring(
        nats=frozenset({edge}), cables=frozenset({cable}), settings=settings, rulesets={edge: _ruleset(address, nat)}
    )


def _ruleset(address: str, nat: NatKind) -> str:
    # Symmetric: a random port for each destination. Port-restricted: Linux keeps the client's own port if it is free.
    random = " fully-random" if nat == "symmetric" else ""
    return f"""table ip fabric
delete table ip fabric
table ip fabric {{
  chain out {{
    type nat hook postrouting priority 100;
    oifname "{names.UPLINK}" snat to {address}{random}
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "{LAN}" accept
  }}
  chain input {{
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname "{LAN}" accept
  }}
}}
"""
