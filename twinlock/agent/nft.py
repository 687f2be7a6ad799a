"""The only file that runs `nft`: JSON transactions, all or nothing. Values go in as JSON, never as nft's own text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from twinlock.agent.command import Run, run
from twinlock.agent.errors import CommandFailed

TABLE = "twinlock"
Counted = tuple[int, int]  # packets, bytes
End = tuple[str, int]  # address, port
Labelled = tuple[str, Counted]  # an element's comment, and what was counted of it
Json = str | int | Mapping[str, "Json"] | Sequence["Json"]


def add_elements(name: str, elements: Sequence[Json]) -> Json:
    return {"add": {"element": {"family": "inet", "table": TABLE, "name": name, "elem": elements}}}


def delete_elements(name: str, elements: Sequence[Json]) -> Json:
    return {"delete": {"element": {"family": "inet", "table": TABLE, "name": name, "elem": elements}}}


def by_family(verb: Callable[[str, Sequence[Json]], Json], name: str, addresses: Sequence[str]) -> list[Json]:
    """For two sets, of IPv4 and of IPv6: `name` and `name`6."""
    kinds = {name: [one for one in addresses if ":" not in one], f"{name}6": [one for one in addresses if ":" in one]}
    return [verb(kind, found) for kind, found in kinds.items() if found]


def flush_set(name: str) -> Json:
    return {"flush": {"set": {"family": "inet", "table": TABLE, "name": name}}}


def flush_map(name: str) -> Json:
    return {"flush": {"map": {"family": "inet", "table": TABLE, "name": name}}}


def flush_chain(name: str) -> Json:
    return {"flush": {"chain": {"family": "inet", "table": TABLE, "name": name}}}


def prefix(cidr: str) -> Json:
    """A network as nft's JSON has it; `cidr` comes from ipaddress, so its form is certain."""
    address, _, length = cidr.partition("/")
    return {"prefix": {"addr": address, "len": int(length)}}


class Nft:
    def __init__(self, runner: Run = run) -> None:
        self._run = runner

    def transaction(self, commands: Sequence[Json]) -> None:
        """All of the commands, or none of them."""
        if commands:
            self._run(("nft", "-j", "-f", "-"), json.dumps({"nftables": commands}))

    def transaction_and_list(self, commands: Sequence[Json], name: str) -> bool:
        """All of the commands, or none of them; and whether the set held anything before. A process for each: one that
        does both reads every element of every set first, which takes longer than a beat where peers are thousands."""
        held = bool(self._elements(name))
        self.transaction(commands)
        return held

    def addresses(self, name: str) -> frozenset[str]:
        """The elements of a set of plain addresses."""
        return frozenset(cast(list[str], self._elements(name)))

    def counters(self, name: str) -> dict[str, Counted]:
        """What was counted of each element of a set of addresses with counters."""
        found: dict[str, Counted] = {}
        for entry in cast(list[Mapping[str, Mapping[str, object]]], self._elements(name)):
            counter = cast(Mapping[str, int], entry["elem"]["counter"])
            found[cast(str, entry["elem"]["val"])] = counter["packets"], counter["bytes"]
        return found

    def labelled(self, name: str) -> dict[End, Labelled]:
        """The same of a set of ends, each with a comment."""
        found: dict[End, Labelled] = {}
        for entry in cast(list[Mapping[str, Mapping[str, object]]], self._elements(name)):
            element = entry["elem"]
            address, port = cast(Mapping[str, tuple[str, int]], element["val"])["concat"]
            counter = cast(Mapping[str, int], element["counter"])
            found[address, port] = cast(str, element["comment"]), (counter["packets"], counter["bytes"])
        return found

    def _elements(self, name: str) -> list[object]:
        answer = self._run(("nft", "-j", "list", "set", "inet", TABLE, name), "")
        for entry in cast(Mapping[str, list[Mapping[str, object]]], json.loads(answer))["nftables"]:
            if "set" in entry:
                return cast(list[object], cast(Mapping[str, object], entry["set"]).get("elem", []))
        raise CommandFailed(f"nft list set {name}: no set in the answer: another nft version?")
