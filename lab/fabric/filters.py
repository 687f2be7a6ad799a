"""A network's packet rules as one nft ruleset: translation at the edge, address checks, ACLs, stateful filters.

The translation rewrites headers and keeps no state, so an address that moves takes effect with the next packet. The
stateful filters see private addresses on both sides of it.

What an interface may send passes its own `out` rules and the receiver's `in` rules, in that order; a subnet's ACL is
asked only of what crosses the subnet's border. The order of the forward chain: address checks and ACLs (stateless, of
every packet), then what belongs to a flow that was let through, then the rules of both ends (of new flows).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Literal

from lab.fabric import names
from lab.topology import Interface, Network, Rule, Subnet

Family = Literal["ip", "ip6"]
EVERYWHERE = ("0.0.0.0/0", "::/0")


def ruleset(network: Network, attached: tuple[Interface, ...]) -> str:
    """The whole text for `nft -f`: replaces what an earlier one made, in one transaction."""
    four = [*_edge(attached), *_inner(network, attached, "ip"), *_input(network)]
    return "\n".join(_table("ip", four) + _table("ip6", [*_inner(network, attached, "ip6"), *_INPUT6]))


def _table(family: Family, chains: list[str]) -> list[str]:
    return [f"table {family} fabric", f"delete table {family} fabric", f"table {family} fabric {{", *chains, "}", ""]


def _inner(network: Network, attached: tuple[Interface, ...], family: Family) -> list[str]:
    """Between the network's interfaces; the same for both families."""
    lines: list[str] = []
    for subnet in network.subnets:
        inside = [names.interface_device(i.id) for i in attached if i.subnet == subnet.id]
        if subnet.acl and inside:
            lines += _acl(subnet, inside, family)
    for interface in attached:
        subnet = next(s for s in network.subnets if s.id == interface.subnet)
        lines += _checks(interface, subnet, family)
        lines += _stateful(interface, family)
    return [*lines, *_forward(attached)]


def _edge(attached: tuple[Interface, ...]) -> list[str]:
    pairs = [pair for interface in attached for pair in interface.public]
    inward, outward = ["drop"], ["drop"]
    if pairs:
        publics, privates = _set(public for _, public in pairs), _set(private for private, _ in pairs)
        to_private = _set(f"{public} : {private}" for private, public in pairs)
        to_public = _set(f"{private} : {public}" for private, public in pairs)
        inward = [f"ip daddr != {publics} drop", f"ip daddr set ip daddr map {to_private}"]
        outward = [f"ip saddr != {privates} drop", f"ip saddr set ip saddr map {to_public}"]
    return [
        *_chain("edge_in", "filter hook prerouting priority -310", [f'iifname "{names.UPLINK}" {r}' for r in inward]),
        *_chain("edge_out", "filter hook postrouting priority 310", [f'oifname "{names.UPLINK}" {r}' for r in outward]),
    ]


def _acl(subnet: Subnet, inside: list[str], family: Family) -> list[str]:
    chains: list[str] = []
    for direction, other in (("in", "iifname"), ("out", "oifname")):
        rules = [line for rule in subnet.acl if rule.direction == direction for line in _matches(rule, family)]
        border = f"{other} {_set(_quoted(inside))} return"
        chains += _chain(f"acl_{direction}_{names.table(subnet.id)}", "", [border, *rules, "drop"])
    return chains


def _checks(interface: Interface, subnet: Subnet, family: Family) -> list[str]:
    device = names.interface_device(interface.id)
    own = (*interface.addresses, *interface.prefixes) if family == "ip" else interface.addresses6
    strange = {side: f"{family} {side} != {_set(own)} drop" if own else "drop" for side in ("saddr", "daddr")}
    chains: list[str] = []
    for direction, side, chain in (("out", "saddr", "from"), ("in", "daddr", "to")):
        rules = [strange[side]] if interface.address_check else []
        rules += [f"jump acl_{direction}_{names.table(subnet.id)}"] if subnet.acl else []
        chains += _chain(f"{chain}_{_identifier(device)}", "", rules)
    return chains


def _stateful(interface: Interface, family: Family) -> list[str]:
    device = _identifier(names.interface_device(interface.id))
    chains: list[str] = []
    for direction in ("in", "out"):
        rules = [line for rule in interface.rules if rule.direction == direction for line in _matches(rule, family)]
        chains += _chain(f"{direction}_{device}", "", [*rules, "drop"])
    return chains


def _forward(attached: tuple[Interface, ...]) -> list[str]:
    devices = [names.interface_device(interface.id) for interface in attached]
    rules = [
        *_dispatch("iifname", "from", devices),
        *_dispatch("oifname", "to", devices),
        "ct state established,related accept",
        *_dispatch("iifname", "out", devices),
        *_dispatch("oifname", "in", devices),
        *([f"iifname {_set(_quoted(devices))} accept", f"oifname {_set(_quoted(devices))} accept"] if devices else []),
    ]
    return _chain("forward", "filter hook forward priority 0; policy drop", rules)


def _input(network: Network) -> list[str]:
    """What a network itself answers, whatever the filters say: metadata, time and names, as on the real clouds."""
    resolvers = _set((names.RESOLVER, str(ipaddress.ip_network(network.cidrs[0])[2])))
    rules = [
        'iifname "lo" accept',
        "ct state established,related accept",
        f"ip daddr {names.METADATA} tcp dport 80 accept",
        f"ip daddr {names.TIME} udp dport 123 accept",
        f"ip daddr {resolvers} udp dport 53 accept",
        f"ip daddr {resolvers} tcp dport 53 accept",
    ]
    return _chain("input", "filter hook input priority 0; policy drop", rules)


# Neighbours alone: a network answers nothing itself by IPv6.
_INPUT6 = [
    "  chain input {",
    "    type filter hook input priority 0; policy drop;",
    '    iifname "lo" accept',
    "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "  }",
]


def _matches(rule: Rule, family: Family) -> Iterator[str]:
    """The nft rule of one rule of ours; none if it names no range of the family."""
    cidrs = _collapsed(rule.cidrs, family)
    if not cidrs:
        return
    side = "saddr" if rule.direction == "in" else "daddr"
    match = [] if cidrs[0] in EVERYWHERE else [f"{family} {side} {_set(cidrs)}"]
    match += _protocol(rule, family)
    yield " ".join([*match, "return" if rule.action == "allow" else "drop"])


def _protocol(rule: Rule, family: Family) -> list[str]:
    match rule.protocol:
        case "any":
            return []
        case "icmp":
            return ["ip protocol icmp" if family == "ip" else "meta l4proto ipv6-icmp"]
        case "tcp" | "udp":
            first, last = rule.ports or (0, 65535)
            return [f"{rule.protocol} dport {first}-{last}" if first != last else f"{rule.protocol} dport {first}"]


def _collapsed(cidrs: Iterable[str], family: Family) -> list[str]:
    """Those of the family, without overlaps, which nft refuses in a set."""
    own = [cidr for cidr in cidrs if (":" in cidr) == (family == "ip6")]
    if family == "ip":
        return [str(network) for network in ipaddress.collapse_addresses(map(ipaddress.IPv4Network, own))]
    return [str(network) for network in ipaddress.collapse_addresses(map(ipaddress.IPv6Network, own))]


def _dispatch(side: str, chain: str, devices: list[str]) -> list[str]:
    if not devices:
        return []
    jumps = [f'"{device}" : jump {chain}_{_identifier(device)}' for device in devices]
    return [f"{side} vmap {_set(jumps)}"]


def _chain(name: str, hook: str, rules: list[str]) -> list[str]:
    head = [f"type {hook};"] if hook else []
    return [f"  chain {name} {{", *(f"    {line}" for line in (*head, *rules)), "  }"]


def _set(elements: Iterable[str]) -> str:
    return "{ " + ", ".join(elements) + " }"


def _quoted(devices: Iterable[str]) -> list[str]:
    return [f'"{device}"' for device in devices]


def _identifier(device: str) -> str:
    return device.replace("-", "_")
