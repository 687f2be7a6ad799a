"""One schedule of faults and changes in a running lab, with everything watched from its begin to its end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count
from typing import cast

from lab import calls, clients, deploy, fail
from lab import up as job
from lab.calls import Nat
from lab.clients import Client
from lab.fabric.clients import PUBLIC
from lab.faults import FAULTS, Struck
from lab.measure import Probe, Seen, echo
from lab.paths import ROOT
from lab.remote import LabError
from lab.soak.history import History, Out, Strike, outcome, safety
from lab.soak.schedule import Role
from lab.soak.starved import watched

TENANT = "red"
_LEAVES = count(1)  # names of peers are for ever
_SETTLE_SECONDS, _LAST_SECONDS = 90.0, 2.0
_LEAVING_SECONDS = 15.0  # of a lease: who has less of it is left alone
_STEADY_SECONDS = 20.0  # until a new peer is served


class Broken(AssertionError):  # noqa: N818
    """What should not have been, a line each."""


@dataclass
class Guest:
    """A client that is measured. `since` and `until`: when it should be served; None: not (yet)."""

    client: Client
    probe: Probe
    stays: list[tuple[float, float | None]] = field(default_factory=list[tuple[float, float | None]])
    seen: Seen | None = None


class Episode:
    """Begins as it is made; `end` is always called, and raises Broken."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._open = tell, ExitStack()
        self._strikes: dict[Role, Strike] = {}
        self._struck: dict[Role, Struck] = {}
        self._ended: list[Strike] = []
        self._guests: dict[str, Guest] = {}
        self._visiting: list[str] = []
        self._shut: dict[str, float] = {}
        self._asked: dict[str, str] = {}
        self._deployer = calls.environment()
        fail.settle()
        self._began = time.time()
        try:
            self._waited = self._open.enter_context(watched())
            self._open.enter_context(echo())
            for name in fail.BEHIND.values():
                self._greet(fail.client_of(name))
            self._prefix, self._bucket = f"soak/{int(self._began)}", _bucket(self._deployer)
            self._writer = self._storage("write")
            self._open.callback(self._writer.kill)
        except BaseException:
            self._close()
            raise

    def strike(self, what: str, role: Role) -> None:
        """Only where all is well but for a fault of the other kind."""
        if not self._strikes:
            self._settle()
        struck = fail.struck(fail.gateways())
        self._say(f"{what} on {struck.serving.slot}")
        self._strikes[role], self._struck[role] = Strike(what=what, at=time.time()), struck
        if what == "switch":
            self._until_done(lambda: FAULTS[what].begin(struck))
        else:
            FAULTS[what].begin(struck)

    def _until_done(self, act: Callable[[], None]) -> None:
        """A switch is refused as long as the other gateway is not well: what was mended just now takes a moment."""
        end = time.monotonic() + _STEADY_SECONDS
        while True:
            try:
                act()
            except LabError:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
            else:
                return

    def mend(self, role: Role) -> None:
        strike = self._strikes.pop(role)
        self._say(f"{strike.what} is mended")
        FAULTS[strike.what].end(self._struck.pop(role))
        self._ended.append(replace(strike, mended=time.time()))

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def join(self, nat: Nat, ttl: int | None) -> None:
        """A new peer, or one that is there for so many seconds."""
        name = f"soak{next(_LEAVES)}"
        self._say(f"{name} joins behind {nat}{f' for {ttl} s' if ttl else ''}")
        enrolled = job.enrol(name, TENANT, *(["--ttl", f"{ttl}s"] if ttl else []))
        until = self._peers()[name]["expires_at"]
        client = job.connect(name, TENANT, nat, enrolled)
        self._asked[name] = "approved"
        self._visiting.append(name)
        self._greet(client)
        if isinstance(until, int):
            self._shut[name] = until
            self._guests[name].stays[-1] = (self._guests[name].stays[-1][0], until)

    def revoke(self, which: int) -> None:
        if (name := self._visitor(which)) is None:
            return
        self._visiting.remove(name)
        began = time.time()
        clients.twinlock(self._deployer, "peer", "revoke", name, "--tenant", TENANT)
        self._shut[name] = min(self._shut.get(name, float("inf")), time.time())
        self._asked[name] = "revoked"
        self._leave(name, began)
        self._say(f"{name} is revoked")

    def rotate(self, which: int) -> None:
        """A new key: make before break, then its client takes it."""
        if (name := self._visitor(which)) is None:
            return
        self._say(f"{name} gets a new key")
        guest = self._guests[name]
        public = job.rotate(name, TENANT)
        self._leave(name, time.time())
        _down(guest.client)
        guest.client = job.connect(name, TENANT, "none", (guest.client.address, public))
        self._stay(name)

    def _visitor(self, which: int) -> str | None:
        """None if all have left: a lease ends by itself."""
        there = [name for name in self._visiting if self._shut.get(name, float("inf")) > time.time() + _LEAVING_SECONDS]
        return there[which % len(there)] if there else None

    def check(self) -> None:
        """What can be said while it goes on."""
        self._judge(safety(self._history(time.time())))

    def end(self) -> None:
        """Mends, waits until all is as before, and judges the whole; what visited leaves."""
        try:
            for role in list(self._strikes):
                self.mend(role)
            self._settle()
            for name in self._staying():
                self._answered(name)
            time.sleep(_LAST_SECONDS)
            written = self._written()
            ended = time.time()
            for guest in self._guests.values():
                guest.seen = guest.probe.seen()
            read = dict(cast(list[tuple[str, str]], _lines(self._storage("read"))))
            peers = self._peers()
            history = replace(
                self._history(ended), written=written, read=read,
                asked={
                    name: "expired" if state == "approved" and self._shut.get(name, ended) < ended else state
                    for name, state in self._asked.items()
                },
                held={name: str(peers[name]["state"]) for name in self._asked if name in peers},
                members=self._members(), on_gateways=_on_gateways(),
            )  # fmt: skip
            self._judge(outcome(history))
        finally:
            self._close()

    def _history(self, ended: float) -> History:
        # Without its tunnel, while it gets a new key, a client goes by itself, and not by a gateway.
        out: dict[str, tuple[Out, ...]] = {
            name: tuple(sorted((sent, by) for _, sent, by in guest.probe.left() if ip_address(by) not in PUBLIC))
            for name, guest in self._guests.items()
        }
        return History(
            began=self._began,
            ended=ended,
            strikes=(*self._ended, *self._strikes.values()),
            out=out,
            answers={name: guest.seen.answers for name, guest in self._guests.items() if guest.seen},
            stays={
                name: [(since, ended - _LAST_SECONDS / 2 if until is None else until) for since, until in guest.stays]
                for name, guest in self._guests.items()
            },
            shut=self._shut,
            waited=self._waited,
        )

    def _judge(self, found: tuple[str, ...]) -> None:
        if found:
            raise Broken("\n".join(found))

    def _greet(self, client: Client) -> None:
        try:
            clients.wait_for_service(client, _STEADY_SECONDS)
        except LabError as error:
            raise Broken(str(error)) from error
        guest = Guest(client=client, probe=Probe(client))
        self._guests[client.name] = guest
        self._open.callback(guest.probe.close)
        if not guest.probe.started():
            raise Broken(f"{client.name}: no packet was answered within {_STEADY_SECONDS:.0f} s")
        self._stay(client.name)

    def _stay(self, name: str) -> None:
        self._answered(name)
        self._guests[name].stays.append((time.time(), None))

    def _leave(self, name: str, at: float) -> None:
        stays = self._guests[name].stays
        since, until = stays[-1]
        stays[-1] = (since, at if until is None else min(at, until))

    def _answered(self, name: str) -> None:
        """Waits for a packet of its that gets out from now on."""
        probe, began = self._guests[name].probe, time.time()
        while time.time() - began < _STEADY_SECONDS:
            if any(sent > began for _, sent, _ in probe.left()):
                return
            time.sleep(0.1)
        raise Broken(f"{name}: no packet got out within {_STEADY_SECONDS:.0f} s")

    def _staying(self) -> list[str]:
        return [name for name, guest in self._guests.items() if guest.stays and guest.stays[-1][1] is None]

    def _settle(self) -> None:
        try:
            fail.settle(_SETTLE_SECONDS)
        except LabError as error:
            raise Broken(str(error)) from error

    def _say(self, what: str) -> None:
        self._tell(f"{time.time() - self._began:6.1f} s  {what}")

    def _storage(self, verb: str) -> subprocess.Popen[str]:
        client = self._guests["ada"].client
        words = [
            clients.PYTHON,
            "-m",
            "lab.soak.writer",
            self._bucket,
            self._prefix,
            *(["read"] if verb == "read" else []),
        ]
        return subprocess.Popen(
            ["ip", "netns", "exec", client.namespace, *words], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", **client.credentials},
        )  # fmt: skip

    def _written(self) -> dict[str, str]:
        found = dict(cast(list[tuple[str, str]], _lines(self._writer)))
        if not found:
            raise Broken("no object was written at all")
        return found

    def _peers(self) -> dict[str, Mapping[str, object]]:
        """Each name's newest state: a rotated peer has an item for each key."""
        listed = clients.twinlock(self._deployer, "peer", "list", "--tenant", TENANT)["peers"]
        return {str(one["name"]): one for one in cast(list[Mapping[str, object]], listed)}

    def _members(self) -> frozenset[str]:
        listed = cast(list[Mapping[str, object]], clients.twinlock(self._deployer, "peer", "list")["peers"])
        now = time.time()
        return frozenset(
            str(one["public_key"]) for one in listed
            if one["state"] == "approved" and cast(float, one["expires_at"] or now + 1) > now
        )  # fmt: skip

    def _close(self) -> None:
        for role in list(self._strikes):
            with suppress(LabError):
                self.mend(role)
        self._open.close()
        for name, guest in self._guests.items():
            if name in self._visiting:
                with suppress(LabError):
                    clients.twinlock(self._deployer, "peer", "revoke", name, "--tenant", TENANT)
            if name in self._asked:
                _down(guest.client)


def _down(client: Client) -> None:
    client.run("ip", "link", "del", client.interface)


def _bucket(deployer: Mapping[str, str]) -> str:
    outputs = deploy.pulumi(deployer, "stack", "output", "--json", "--stack", "lab")
    return str(json.loads(outputs)["buckets"][0])


def _lines(process: subprocess.Popen[str]) -> list[object]:
    """What it printed until it ended; a transfer that hangs with its gateway has ended by then."""
    printed, _ = process.communicate(timeout=60)
    return [json.loads(line) for line in printed.splitlines()]


def _on_gateways() -> dict[str, frozenset[str]]:
    def keys(printed: str) -> Iterator[str]:
        yield from printed.split()

    found: dict[str, frozenset[str]] = {}
    for gateway in fail.gateways():
        code, printed = calls.run(gateway.machine, "wg", "show", "wg-way", "peers")
        if code:
            raise LabError(f"wg show wg-way peers on gateway {gateway.slot} ended with {code}: {printed.strip()}")
        found[gateway.slot] = frozenset(keys(printed))
    return found
