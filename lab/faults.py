"""What can go wrong with a gateway, done to a machine of the lab, and undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab import calls
from lab.calls import Act
from lab.remote import LabError


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A slot's machine, as `twinlock gateway list` tells it."""

    slot: str
    machine: str


def _on(gateway: Gateway, *argv: str) -> None:
    code, printed = calls.run(gateway.machine, *argv)
    if code:
        raise LabError(f"{' '.join(argv)} on gateway {gateway.slot} ended with {code}: {printed.strip()}")


def _power(act: Act) -> Callable[[Gateway], None]:
    return lambda gateway: calls.power(gateway.machine, act)


def _agent(signal: str) -> Callable[[Gateway], None]:
    return lambda gateway: _on(gateway, "systemctl", "kill", f"--signal={signal}", "twinlock-agent")


def _stop_wireguard(gateway: Gateway) -> None:
    """The service's interface is gone, as when its process crashed."""
    _on(gateway, "wg-quick", "down", "wg-service")


def _start_wireguard(gateway: Gateway) -> None:
    _on(gateway, "systemctl", "restart", "twinlock-bootstrap")
    _on(gateway, "systemctl", "restart", "twinlock-agent", "twinlock-vrrp")


def _nothing(gateway: Gateway) -> None:
    """A group replaces a machine that lost its power by itself."""


# What: (how it begins, how it ends).
FAULTS: Mapping[str, tuple[Callable[[Gateway], None], Callable[[Gateway], None]]] = {
    "kill": (_power("cut"), _nothing),
    "hang": (_power("pause"), _power("resume")),
    "agent-stop": (_agent("STOP"), _agent("CONT")),
    "wireguard-stop": (_stop_wireguard, _start_wireguard),
}
