"""A peer for one job: there before it, gone after it, whatever happens in between."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from twinlock.cli.cloud import Environment
from twinlock.cli.places import check_gateways
from twinlock.cli.preshared_file import current_data_key
from twinlock.cli.private_key import PrivateKey
from twinlock.registry.errors import Refused, Unavailable
from twinlock.registry.ground import tenant_of
from twinlock.registry.health import FRESH
from twinlock.registry.model import GatewayRecord, Peer
from twinlock.registry.preshared import PresharedKey, make_preshared_key

_POLL_SECONDS = 0.2


class Stopped(BaseException):
    """A signal asked this program to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stoppable() -> Generator[Callable[[], None]]:
    """The first SIGINT, SIGTERM or SIGHUP raises Stopped in here; cleaning up is not stopped a second time.

    Yields what makes all of them be ignored, for whoever begins to clean up by itself.
    """
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def shield() -> None:
        for number in asked:
            signal.signal(number, signal.SIG_IGN)

    def stop(number: int, frame: FrameType | None) -> None:
        shield()
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in asked}
    try:
        yield shield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fresh_name() -> str:
    return f"ci-{secrets.token_hex(5)}"


@dataclass(frozen=True)
class Temporary:
    peer: Peer
    preshared: PresharedKey | None


@contextmanager
def temporary_peer(
    environment: Environment,
    tenant: str,
    name: str,
    key: PrivateKey,
    ttl: int,
    reach: tuple[str, ...] | None,
    shield: Callable[[], None],
) -> Generator[Temporary]:
    """Enrolled for `ttl` seconds at most, and revoked at the end. Raises Refused where the tenant asks for approval, or
    does not itself reach what `reach` names."""
    registry = environment.registry
    rules = tenant_of(registry.definition(), tenant)
    if rules.approval != "auto":
        raise Refused(f"tenant {tenant} asks for approval: temporary peers need a tenant with approval: auto")
    check_gateways(registry, 1)
    actor = environment.actor()
    preshared = make_preshared_key() if rules.preshared_keys else None
    wrapped = None if preshared is None else current_data_key(environment, tenant).wrap(preshared, key.public())
    try:
        yield Temporary(registry.enrol(actor, tenant, name, key.public(), ttl, wrapped, reach), preshared)
    finally:
        shield()
        # It may never have come in, or have ended meanwhile.
        if registry.owners([key.public()]) and registry.peer(tenant, name).state == "approved":
            registry.revoke(actor, tenant, name)


def wait_for_gateways(environment: Environment, tenant: str, seconds: float) -> None:
    """Until every gateway that is alive has made the tenant's last change true."""
    registry = environment.registry
    slots = [slot.name for slot in registry.definition().slots]
    number = registry.generations().get(tenant, 0)
    until = time.monotonic() + seconds
    while not all_have(registry.gateways(slots), tenant, number, time.time()):
        if time.monotonic() > until:
            raise Unavailable(f"no gateway took the new peer within {seconds:.0f} s: `twinlock status` says why")
        time.sleep(_POLL_SECONDS)


def all_have(records: tuple[GatewayRecord, ...], tenant: str, number: int, now: float) -> bool:
    """Whether there are live gateways, and all of them have made this change of the tenant true: pure."""
    live = [record.applied for record in records if now - record.heartbeat_at <= FRESH]
    return bool(live) and all(_has(applied, tenant, number) for applied in live)


def _has(applied: Mapping[str, int], tenant: str, number: int) -> bool:
    return applied.get(tenant, 0) >= number
