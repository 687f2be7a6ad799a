"""What can go wrong, done to machines, paths and services of the lab, and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab import calls, clients
from lab.aws.names import SERVICE_ADDRESSES
from lab.calls import PathCut, PowerAct
from lab.fabric.clients import PUBLIC
from lab.remote import LabError

CLIENTS = str(PUBLIC)
REGISTRY, OTHER_APIS = SERVICE_ADDRESSES["dynamodb"], SERVICE_ADDRESSES["other"]
STORAGE = SERVICE_ADDRESSES["s3"]
ECHO = "198.51.100.0/24"  # what the lab's clients measure against
SLOW_SECONDS = 2.0
LIE_SECONDS = 5.0
_WATCH_SECONDS = 8.0


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A slot's machine, as `twinlock gateway list` tells it."""

    slot: str
    machine: str
    zone: str


@dataclass(frozen=True, kw_only=True)
class Struck:
    """The gateway that serves, and the others."""

    serving: Gateway
    others: tuple[Gateway, ...]

    @property
    def all(self) -> tuple[Gateway, ...]:
        return (self.serving, *self.others)


Act = Callable[[Struck], None]
OnOne = Callable[[Gateway], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`watch` is for how long a client looks on: longer where it takes longer to be noticed."""

    says: str
    begin: Act
    end: Act
    watch: float = _WATCH_SECONDS


def _on(gateway: Gateway, *argv: str) -> None:
    code, printed = calls.run(gateway.machine, *argv)
    if code:
        raise LabError(f"{' '.join(argv)} on gateway {gateway.slot} ended with {code}: {printed.strip()}")


def _there(gateway: Gateway) -> bool:
    """Whether the machine was not replaced meanwhile."""
    return any(machine.id == gateway.machine for machine in calls.status().machines)


def _serving(act: OnOne) -> Act:
    return lambda struck: act(struck.serving)


def _if_there(act: OnOne) -> Act:
    return lambda struck: act(struck.serving) if _there(struck.serving) else None


def _power(act: PowerAct) -> OnOne:
    return lambda gateway: calls.power(gateway.machine, act)


def _agent(signal: str) -> OnOne:
    return lambda gateway: _on(gateway, "systemctl", "kill", f"--signal={signal}", "twinlock-agent")


def _start_wireguard(gateway: Gateway) -> None:
    _on(gateway, "systemctl", "restart", "twinlock-bootstrap")
    _on(gateway, "systemctl", "restart", "twinlock-agent", "twinlock-vrrp")


def _forward(value: str) -> OnOne:
    return lambda gateway: calls.kernel(gateway.machine, "net/ipv4/ip_forward", value)


def _disk(full: bool) -> OnOne:
    return lambda gateway: calls.fill_disk(gateway.machine, full)


def _lie(seconds: float) -> OnOne:
    return lambda gateway: calls.lie(gateway.machine, seconds)


def _paths(name: str, of: Callable[[Struck], list[PathCut]]) -> tuple[Act, Act]:
    return lambda struck: calls.cut(name, of(struck)), lambda _: calls.mend(name)


def _kill_all(struck: Struck) -> None:
    for one in struck.all:
        _power("cut")(one)


def _drain(gateway: Gateway) -> None:
    clients.twinlock(calls.environment(), "gateway", "drain", gateway.slot)


def _zone(dark: bool) -> Act:
    def act(struck: Struck) -> None:
        calls.darken(struck.serving.zone, dark)
        if dark:
            _power("cut")(struck.serving)

    return act


def _slow(seconds: float) -> Act:
    return lambda _: calls.slow_down(seconds)


def _nothing(_: Struck) -> None:
    """A group replaces a machine that lost its power by itself."""


def _fault(says: str, ends: tuple[Act, Act], watch: float = _WATCH_SECONDS) -> Fault:
    return Fault(says=says, begin=ends[0], end=ends[1], watch=watch)


FAULTS: Mapping[str, Fault] = {
    "kill": _fault("its power is cut", (_serving(_power("cut")), _nothing)),
    "hang": _fault("it stands still", (_serving(_power("pause")), _if_there(_power("resume")))),
    "agent-stop": _fault("its agent stands still", (_serving(_agent("STOP")), _if_there(_agent("CONT")))),
    "wireguard-stop": _fault(
        "its service interface is gone",
        (_serving(lambda one: _on(one, "wg-quick", "down", "wg-service")), _if_there(_start_wireguard)),
    ),
    "no-forward": _fault("it forwards nothing", (_serving(_forward("0")), _if_there(_forward("1"))), 15.0),
    "partition-pair": _fault(
        "the gateways do not hear each other",
        _paths("partition-pair", lambda at: [PathCut(at.serving.machine, [one.machine for one in at.others])]),
        12.0,
    ),
    "cut-off": _fault(
        "it reaches clients, storage and the internet, but neither twin nor any API",
        _paths("cut-off", lambda at: [PathCut(at.serving.machine, [CLIENTS, ECHO, STORAGE], True)]),
        25.0,
    ),
    "cut-off-internet": _fault(
        "it reaches nothing",
        _paths("cut-off-internet", lambda at: [PathCut(at.serving.machine, ["127.0.0.0/8"], True)]),
        25.0,
    ),
    "partition-registry": _fault(
        "it does not reach the registry",
        _paths("partition-registry", lambda at: [PathCut(at.serving.machine, [REGISTRY])]),
        12.0,
    ),
    "api-down": _fault(
        "no gateway reaches any API, storage excepted",
        _paths("api-down", lambda at: [PathCut(one.machine, [REGISTRY, OTHER_APIS]) for one in at.all]),
        12.0,
    ),
    "api-slow": _fault(
        f"each call of a gateway takes {SLOW_SECONDS:.0f} s longer, storage excepted",
        (_slow(SLOW_SECONDS), _slow(0.0)),
        12.0,
    ),
    "clock-back": _fault(
        f"its time source lags {LIE_SECONDS:.0f} s", (_serving(_lie(-LIE_SECONDS)), _if_there(_lie(0.0))), 85.0
    ),
    "clock-ahead": _fault(
        f"its time source is {LIE_SECONDS:.0f} s ahead", (_serving(_lie(LIE_SECONDS)), _if_there(_lie(0.0))), 85.0
    ),
    "disk-full": _fault("its disk has no free byte", (_serving(_disk(True)), _if_there(_disk(False))), 12.0),
    "zone-down": _fault("its zone has neither power nor capacity", (_zone(True), _zone(False))),
    "switch": _fault("none: it hands over because somebody asked", (_serving(_drain), _nothing), 12.0),
    "both": _fault("all gateways lose their power", (_kill_all, _nothing), 60.0),
}
