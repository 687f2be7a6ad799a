"""`twinlock-agent bootstrap`, `twinlock-agent run` and `twinlock-agent probe`."""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from twinlock import __version__
from twinlock.agent.journal import JournalHandler

# Each command imports what it needs, and no more: a boot waits for it.
if TYPE_CHECKING:
    from twinlock.agent.boot import Boot
    from twinlock.agent.cloud import Cloud
    from twinlock.agent.run import Gateway

# In a folder that systemd removes when bootstrap's unit stops.
BOOTSTRAPPED = Path("/run/twinlock-bootstrap/done")
_log = logging.getLogger(__name__)


def main(arguments: Sequence[str], session: object | None = None) -> int:
    """0 done, 1 failed, 2 bad usage or boot arguments.

    `session`: the cloud's SDK's, with credentials, if this agent was fetched just now.
    """
    parser = argparse.ArgumentParser(prog="twinlock-agent", description="A Twinlock gateway's own program.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=("bootstrap", "run", "probe"))
    command: str = parser.parse_args(arguments).command
    # The journal has the time.
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[JournalHandler()])
    logging.getLogger("botocore").setLevel(logging.WARNING)
    if command == "probe":
        return _probe()
    return {"bootstrap": _bootstrap, "run": _run}[command](session)


def _probe() -> int:
    from twinlock.agent.probe import give_forever

    give_forever()
    return 0


def _bootstrap(session: object | None) -> int:
    from twinlock.agent.bootstrap import Surroundings, bootstrap
    from twinlock.agent.console import failed_line, ready_line, say
    from twinlock.agent.errors import AgentError
    from twinlock.agent.nft import Nft
    from twinlock.agent.wg import Wg
    from twinlock.registry.errors import RegistryError
    from twinlock.registry.fleet import Fleet

    if (found := _boot(session)) is None:
        return 2
    boot, cloud = found
    around = Surroundings(
        registry=Fleet(cloud.table()),
        secrets=cloud.secrets(),
        instance_id=cloud.instance_id,
        wg=Wg(),
        nft=Nft(),
    )
    try:
        record = bootstrap(boot, around)
    except (AgentError, RegistryError) as exc:
        say(failed_line(boot.slot, str(exc)))
        return 1
    BOOTSTRAPPED.parent.mkdir(exist_ok=True)  # systemd has made it where its unit runs this
    BOOTSTRAPPED.touch()
    say(ready_line(boot.slot, record.service_public_key, record.way_public_key))
    return 0


def _run(session: object | None) -> int:
    from twinlock.agent.assembly import assemble
    from twinlock.agent.errors import AgentError
    from twinlock.registry.errors import RegistryError

    if (found := _boot(session)) is None:
        return 2
    try:
        gateway = assemble(*found, _wait_for_bootstrap)
        _stop_at_sigterm(gateway)
        gateway.run()
    except (AgentError, RegistryError) as exc:
        _log.error("%s", exc)
        return 1
    return 0


def _boot(session: object | None) -> tuple[Boot, Cloud] | None:
    """None, and said why, where the boot arguments are not for this agent."""
    from twinlock.agent.boot import load_boot
    from twinlock.agent.cloud import cloud_of
    from twinlock.agent.errors import AgentError

    try:
        boot = load_boot()
        return boot, cloud_of(boot, session)
    except AgentError as exc:
        _log.error("%s", exc)
        return None


def _stop_at_sigterm(gateway: Gateway) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        gateway.stop()

    signal.signal(signal.SIGTERM, stop)


def _wait_for_bootstrap() -> None:
    """It may take minutes without the cloud: systemd is told that this start takes as long."""
    from twinlock.agent.notify import notify

    while not BOOTSTRAPPED.exists():
        notify("EXTEND_TIMEOUT_USEC=60000000")
        time.sleep(0.02)
