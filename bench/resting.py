"""One gateway's whole agent with COUNT peers and nothing to do, beside the parts that sized.py measures: prints the
share of a processor that it and the commands that it runs use. `python -m bench.resting COUNT`, as sized.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.sized import BOOT, HeldRegistry, interfaces
from twinlock.agent.boot import boot_from
from twinlock.agent.box import Box
from twinlock.agent.command import run
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.identities import Identities
from twinlock.agent.interfaces import PAIR
from twinlock.agent.nft import Nft
from twinlock.agent.outside import Outside
from twinlock.agent.preshared import PresharedKeys
from twinlock.agent.private_key import PrivateKey
from twinlock.agent.report_time import ReportTime
from twinlock.agent.run import Gateway
from twinlock.agent.sides import SidedWg
from twinlock.agent.state_file import StateFile
from twinlock.registry.data_keys import Envelope, SealedDataKey
from twinlock.registry.definition import Definition
from twinlock.registry.model import GatewayRecord, Identity, LeaseClaim, Rotation, ShardLease, SwitchWish
from twinlock.registry.rolling import Roll, Rolling
from userdata.render import boot_json, render_firewall

SECONDS = 35.0  # the box is compared once meanwhile
_START_SECONDS, _SETTLED_SECONDS = 90.0, 5.0


class RestingRegistry(HeldRegistry):
    """Nobody asks anything of this gateway, and it has no twin."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.served = threading.Event()

    def put_gateway(self, record: GatewayRecord) -> None:
        """A record is written only once the box is what the registry asks for."""
        if record.serving:
            self.served.set()

    def keep_ways(self, slot: str, piece: str, ends: tuple[str, ...]) -> None: ...
    def keep_traffic(self, slot: str, piece: str, lines: tuple[str, ...]) -> None: ...
    def end_rotation(self, rotation: Rotation) -> None: ...
    def mark_moved(self, rotation: Rotation, public_keys: Sequence[str]) -> None: ...
    def claim(self, first: SealedDataKey) -> None: ...

    def ways(self, slot: str) -> dict[str, tuple[str, ...]]:
        return {}

    def switch_wish(self) -> SwitchWish | None:
        return None

    def gateways(self, slots: tuple[str, ...]) -> tuple[GatewayRecord, ...]:
        return ()

    def rolling(self, slots: tuple[str, ...]) -> Rolling:
        return Rolling()

    def take_roll(self, roll: Roll, over: Roll | None) -> bool:
        return False

    def write_leases(self, claims: Sequence[LeaseClaim], shards: int) -> Mapping[int, ShardLease]:
        return {claim.lease.shard: claim.lease for claim in claims}

    def rotations(self) -> dict[str, Rotation]:
        return {}

    def moved(self, rotation: Rotation) -> frozenset[str]:
        return frozenset()

    def identity(self, name: str) -> Identity | None:
        return None

    def claim_identity(self, identity: Identity) -> Identity:
        return identity

    def all(self, tenant: str) -> tuple[SealedDataKey, ...]:
        return ()


class NoSecrets:
    """No identity rotates, so none is asked for."""

    def put(self, container: str, version: str, key: PrivateKey) -> None:
        raise CloudUnavailable("no secrets here")

    def get(self, container: str, version: str) -> PrivateKey:
        raise CloudUnavailable("no secrets here")

    def drop(self, container: str, version: str) -> None:
        raise CloudUnavailable("no secrets here")


def _no_envelope(definition: Definition) -> Envelope:
    raise CloudUnavailable(f"no keys of {definition.environment} here")


def _listen() -> None:
    time.sleep(1)


def gateway(registry: RestingRegistry, folder: Path) -> Gateway:
    wg, nft = SidedWg(), Nft()
    boot = boot_from(json.loads(boot_json(BOOT)), "bench")
    outside = Outside(
        registry=registry, leases=registry, storage_prefixes=lambda: ("3.5.64.0/21",), box=Box(wg, nft, Conntrack()),
        identities=Identities(boot, registry, NoSecrets(), wg, nft, folder / "wireguard"),
        preshared=PresharedKeys(registry, _no_envelope, time.time), state_file=StateFile(folder),
        say=lambda message: None, listen=_listen, silences=lambda: iter(()), send_raw=lambda packets: None,
        report_unhealthy=lambda machine: None, reported=ReportTime(folder),
        replace_own=lambda machine: None,
    )  # fmt: skip
    record = GatewayRecord(
        slot="a", instance_id="i-0", zone=BOOT.zone, private_address=BOOT.private_address,
        public_address=BOOT.public_address, service_public_key="", way_public_key="", pair_public_key="",
        agent_version="0", agent_sha256="0", booted_at=0, heartbeat_at=0, applied={}, storage_prefixes=(),
        serving=False,
    )  # fmt: skip
    return Gateway(boot, record, outside)


def measure(count: int) -> float:
    """Percent of one processor."""
    interfaces()
    subprocess.run(["wireguard-go", PAIR], check=True, capture_output=True)
    run(("nft", "-f", "-"), render_firewall(BOOT))
    with tempfile.TemporaryDirectory() as name:
        registry = RestingRegistry(count)
        agent = gateway(registry, Path(name))
        life = threading.Thread(target=agent.run, daemon=True)
        life.start()
        if not registry.served.wait(_START_SECONDS):
            raise RuntimeError(f"no peer is served after {_START_SECONDS:.0f} s")
        time.sleep(_SETTLED_SECONDS)
        began, used = time.monotonic(), _processor()
        time.sleep(SECONDS)
        share = (_processor() - used) / (time.monotonic() - began) * 100
        if not life.is_alive():
            raise RuntimeError("the agent ended")
        agent.stop()
        life.join()
    return share


def _processor() -> float:
    """Seconds used by this process and by those that it waited for: not by the tunnels, which are the kernel's."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    print(measure(int(sys.argv[1])))
