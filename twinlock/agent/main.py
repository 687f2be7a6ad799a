"""`twinlock-agent bootstrap`, `twinlock-agent run` and `twinlock-agent probe`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from twinlock import __version__
from twinlock.agent import chrony
from twinlock.agent.boot import Boot, load_boot
from twinlock.agent.bootstrap import Surroundings, bootstrap
from twinlock.agent.box import Box
from twinlock.agent.channel import Channel
from twinlock.agent.checkup import free_bytes
from twinlock.agent.cloud import Cloud, cloud_of
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.console import failed_line, ready_line, say
from twinlock.agent.errors import AgentError
from twinlock.agent.identities import Identities
from twinlock.agent.interfaces import pair_address
from twinlock.agent.nft import Nft
from twinlock.agent.outside import HealthSources, Outside
from twinlock.agent.preshared import PresharedKeys
from twinlock.agent.probe import give_forever
from twinlock.agent.raw_packets import send_raw
from twinlock.agent.record import load_record
from twinlock.agent.run import Gateway
from twinlock.agent.sides import SidedWg
from twinlock.agent.state import STATE_FOLDER
from twinlock.agent.transfer import Transfer
from twinlock.agent.vrrp import silences
from twinlock.agent.wg import Wg
from twinlock.registry.errors import RegistryError
from twinlock.registry.store import Registry

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """0 done, 1 failed, 2 bad usage or boot arguments."""
    parser = argparse.ArgumentParser(prog="twinlock-agent", description="A Twinlock gateway's own program.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=("bootstrap", "run", "probe"))
    command: str = parser.parse_args(arguments).command
    # The journal has the time.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    if command == "probe":
        give_forever()
    try:
        boot = load_boot()
        cloud = cloud_of(boot)
    except AgentError as exc:
        _log.error("%s", exc)
        return 2
    return _bootstrap(boot, cloud) if command == "bootstrap" else _run(boot, cloud)


def _stop_at_sigterm(gateway: Gateway) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        gateway.stop()

    signal.signal(signal.SIGTERM, stop)


def _bootstrap(boot: Boot, cloud: Cloud) -> int:
    around = Surroundings(
        registry=Registry(cloud.table()),
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
    say(ready_line(boot.slot, record.service_public_key, record.way_public_key))
    return 0


def _run(boot: Boot, cloud: Cloud) -> int:
    channel = Channel(boot.port + 4, {pair_address(boot.slots, twin.slot): twin.slot for twin in boot.twins})
    registry, wg, nft = Registry(cloud.table()), SidedWg(), Nft()
    outside = Outside(
        registry=registry,
        leases=Registry(cloud.lease_table()),
        storage_prefixes=cloud.storage_prefixes,
        box=Box(wg, nft, Conntrack()),
        identities=Identities(boot, registry, cloud.secrets(), wg, nft),
        preshared=PresharedKeys(registry.data_keys, cloud.envelope, time.time),
        state_file=STATE_FOLDER / "state.json",
        say=channel.say,
        listen=channel.listen,
        send_raw=send_raw,
        silences=lambda: silences(boot.slot),
        health=HealthSources(
            transfer=Transfer(cloud.proofs()).prove, offset=chrony.look, free_bytes=free_bytes(STATE_FOLDER)
        ),
    )
    try:
        gateway = Gateway(boot, load_record(STATE_FOLDER), outside)
        _stop_at_sigterm(gateway)
        gateway.run()
    except (AgentError, RegistryError) as exc:
        _log.error("%s", exc)
        return 1
    return 0
