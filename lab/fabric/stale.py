"""Which tracked flows a change of the topology ends at once."""

from __future__ import annotations

from lab.fabric.names import Namespaces
from lab.topology import Interface, Rule, Topology


def stale_flows(before: Topology, after: Topology, spaces: Namespaces) -> dict[str, set[str]]:
    """Namespace of the network -> private addresses whose flows are forgotten.

    An address whose translation moved has no flows. A flow that a rule for everybody let through is not tracked by
    the cloud, so it ends with that rule; the flow of a narrower rule lives on until it is silent (AWS, "Security group
    connection tracking", untracked connections). Here all are tracked, and those are forgotten.
    """
    old = {(n.id, i.id): i for n in before.networks for i in n.interfaces}
    stale: dict[str, set[str]] = {}
    for network in after.networks:
        for interface in network.interfaces:
            was = old.get((network.id, interface.id))
            if was is not None and (addresses := _ended(was, interface)):
                stale.setdefault(spaces.of(network.id), set()).update(addresses)
    return stale


def _ended(was: Interface, now: Interface) -> set[str]:
    if any(_for_everybody(rule) for rule in set(was.rules) - set(now.rules)):
        return set(was.addresses)
    moved = set(was.public) ^ set(now.public)
    return {private for private, _ in moved}


def _for_everybody(rule: Rule) -> bool:
    return "0.0.0.0/0" in rule.cidrs
