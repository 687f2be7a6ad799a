"""Until every client has all its ways again: what the machines themselves say, looked at while a fault goes on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from lab import calls
from lab.remote import LabError

ALIVE_SECONDS = 180  # WireGuard takes no packet of a session that is older
_FIRST_SECONDS, _EVERY_SECONDS = 1.0, 0.5  # nothing is looked at in the second that is measured
_HEARD = re.compile(r"^gateway (\w+): (heard|silent|its agent is silent)$", re.MULTILINE)
# What a machine that stands still does not answer at all.
_LOOK = """
timeout 3 wg show wg-service peers > /dev/null && timeout 3 wg show wg-way latest-handshakes && echo &&
journalctl --no-pager --output=cat --unit=twinlock-agent --grep='^gateway .*: (heard|.*silent)' || true
"""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One gateway: which clients have a way to it, and which twins it hears."""

    ways: frozenset[str]  # public keys
    hears: frozenset[str]  # slots


def parse_look(printed: str, now: float) -> Look:
    ways, _, journal = printed.partition("\n\n")
    shaken = (line.split("\t") for line in ways.splitlines() if "\t" in line)
    last = dict(_HEARD.findall(journal))
    return Look(
        ways=frozenset(key for key, when in shaken if now - int(when) < ALIVE_SECONDS),
        hears=frozenset(slot for slot, said in last.items() if said == "heard"),
    )


def is_redundant(looks: Mapping[str, Look], slots: frozenset[str], live: frozenset[str]) -> bool:
    """Every slot's gateway is there, hears the others, and holds a way of every client that was live."""
    return all(
        slot in looks and live <= looks[slot].ways and slots - {slot} <= looks[slot].hears for slot in slots
    )  # fmt: skip


def look() -> dict[str, Look]:
    """Each slot whose machine is on and has said that it is ready."""
    found: dict[str, Look] = {}
    for machine in calls.status().machines:
        if machine.slot is None or machine.ready_seconds is None:
            continue
        try:
            _, printed = calls.run(machine.id, "sh", "-c", _LOOK)
        except LabError:  # its power went meanwhile
            continue
        found[machine.slot] = parse_look(printed, time.time())
    return found


class Watch:
    """Looks on from the moment of a fault; `before` is what was live then."""

    def __init__(self, before: Mapping[str, Look]) -> None:
        self._slots = frozenset(before)
        self._live = frozenset[str]().union(*(one.ways for one in before.values()))
        self._stop = threading.Event()
        self._began = time.time()
        self._lost = False
        self._since: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def seconds(self, patience: float) -> float | None:
        """From the fault until all was there again, to stay; 0 if nothing was lost, None if it is not there yet."""
        with self._changed:
            self._changed.wait_for(lambda: self._since is not None, patience)
            since = self._since
        self._stop.set()
        self._thread.join()
        return since if since is None else round(since, 1)

    def _follow(self) -> None:
        self._stop.wait(_FIRST_SECONDS)
        while not self._stop.is_set():
            whole = is_redundant(look(), self._slots, self._live)
            with self._changed:
                if not whole:
                    self._lost, self._since = True, None
                elif self._since is None:
                    self._since = time.time() - self._began if self._lost else 0.0
                self._changed.notify_all()
            self._stop.wait(_EVERY_SECONDS)
