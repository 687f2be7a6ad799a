"""The gate: what the service sends passes only while the agent says so, each time for a second.

A hung agent or a paused machine says nothing, and is shut without anyone acting. The rules are in the firewall
(userdata/files/gateway.nft.j2).
"""

from __future__ import annotations

from collections.abc import Sequence

from twinlock.agent.lease import Gate
from twinlock.agent.nft import Json, Nft, add_elements, flush_set

_SECONDS = 1


def gate_commands(gates: Sequence[Gate]) -> list[Json]:
    """Of each shard: its packets carry its number as their mark. (Where there is one they carry none, which is 0.)

    Emptied and filled in one transaction: adding an element that is there would not prolong it."""
    commands = [flush_set("open"), flush_set("doubt")]
    for kind in ("open", "doubt"):
        marks: list[Json] = [
            {"elem": {"val": shard, "timeout": _SECONDS}} for shard, gate in enumerate(gates) if gate == kind
        ]
        if marks:
            commands.append(add_elements(kind, marks))
    return commands


def set_gate(nft: Nft, gates: Sequence[Gate]) -> bool:
    """Whether a way was answered within the last second: a client may be waiting to be called."""
    return nft.transaction_and_list(gate_commands(gates), "fresh")
