"""Where clients are that this gateway serves, and of which shard each is: what the firewall tells first messages by.

Only where there are shards (userdata/files/shards.nft.j2). Of one thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from twinlock.agent.nft import End, Json, Nft, add_elements, delete_elements, flush_map
from twinlock.agent.shut_out import end_from

_MAPS = ("called4", "called6")


class Ends:
    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self._held: dict[End, int] | None = None  # as the firewall has it; None: it may have anything

    def add(self, ends: Mapping[str, int]) -> None:
        """Beside what it has: "192.0.2.1:1234" -> shard."""
        self._make({**(self._held or {}), **_parsed(ends)})

    def replace(self, ends: Mapping[str, int]) -> None:
        """These and no others."""
        self._make(_parsed(ends))

    def _make(self, wanted: Mapping[End, int]) -> None:
        held = self._held
        commands = [flush_map(name) for name in _MAPS] if held is None else []
        known = held or {}
        gone = [end for end, shard in known.items() if wanted.get(end) != shard]
        come = [(end, shard) for end, shard in wanted.items() if known.get(end) != shard]
        for name in _MAPS:
            is_six = name == "called6"
            if old := [_concat(end) for end in gone if (":" in end[0]) == is_six]:
                commands.append(delete_elements(name, old))
            if new := [[_concat(end), shard] for end, shard in come if (":" in end[0]) == is_six]:
                commands.append(add_elements(name, new))
        self._held = None  # until it went through
        self._nft.transaction(commands)
        self._held = dict(wanted)


def _parsed(ends: Mapping[str, int]) -> dict[End, int]:
    return {end_from(end): shard for end, shard in ends.items()}


def _concat(end: End) -> Json:
    return {"concat": [end[0], end[1]]}
