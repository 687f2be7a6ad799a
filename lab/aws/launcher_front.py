"""Puts the launcher in front of moto: its handlers become the control plane's overrides."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from lab.aws.call import Answer, Call, Override, answer, fault, parameters
from lab.aws.control import ControlPlane
from lab.aws.launcher import Launcher
from lab.aws.launcher_backend import boto_backend
from lab.aws.launcher_machines import Machines
from lab.aws.launcher_values import Backend, Document, Handler, Refused


def backend_of(control: ControlPlane) -> Backend:
    """Asks moto as it is, past IAM and past the launcher."""
    return boto_backend(control.client)


def launcher_for(
    control: ControlPlane, machines: Machines, *, apply: Callable[[], None], address_delay: float | None = None
) -> Launcher:
    """A launcher that answers for a started control plane. The caller starts and stops it.

    `apply` realises `read_topology(backend_of(control), launcher)`; it is called from the launcher's thread before
    machines boot. `address_delay` is in seconds, addresses.DELAY unless given.
    """
    launcher = Launcher(
        backend_of(control),
        machines,
        apply=apply,
        changed=control.changed,
        region=control.region,
        account=control.account,
        address_delay=address_delay,
    )
    for service, actions in launcher.handlers.items():
        for action, handler in actions.items():
            control.override(service, action, _override(handler))
    return launcher


def _override(handler: Handler) -> Override:
    def answered(call: Call) -> Answer:
        try:
            return answer(call, handler(cast(Document, parameters(call))))
        except Refused as exc:
            return fault(call, exc.code, exc.message)

    return answered
