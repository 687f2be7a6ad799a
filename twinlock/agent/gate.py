"""The gate: what the service sends passes only while the agent says so, each time for a second.

A hung agent or a paused machine says nothing, and is shut without anyone acting. The rules are in the firewall
(userdata/files/gateway.nft.j2).
"""

from __future__ import annotations

from twinlock.agent.lease import Gate
from twinlock.agent.nft import Json, Nft, add_elements, flush_set

_SECONDS = 1
# One shard: its packets carry no mark.
_ELEMENT: Json = {"elem": {"val": 0, "timeout": _SECONDS}}


def gate_commands(gate: Gate) -> list[Json]:
    """Emptied and filled in one transaction: adding an element that is there would not prolong it."""
    commands = [flush_set("open"), flush_set("doubt")]
    if gate != "shut":
        commands.append(add_elements(gate, [_ELEMENT]))
    return commands


def set_gate(nft: Nft, gate: Gate) -> bool:
    """Whether a way was answered within the last second: a client may be waiting to be called."""
    return nft.transaction_and_list(gate_commands(gate), "fresh")
