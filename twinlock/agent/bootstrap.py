"""From a fresh machine to a registered gateway. Each step may be repeated; registering is the last one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from twinlock import __version__
from twinlock.agent.boot import Boot
from twinlock.agent.cloud import SecretStore
from twinlock.agent.errors import AgentError, BadIdentity, CloudUnavailable
from twinlock.agent.identity import IdentityStore, Taken, take_sides
from twinlock.agent.interfaces import FOLDER, NAMES, Sides, Tunnel, pair_key, tunnels, write_tunnel
from twinlock.agent.nft import Nft, flush_chain
from twinlock.agent.private_key import PrivateKey
from twinlock.agent.record import load_record, save_record
from twinlock.agent.state import STATE_FOLDER
from twinlock.agent.wg import Wg
from twinlock.registry.errors import RegistryError, Unavailable
from twinlock.registry.model import GatewayRecord

_log = logging.getLogger(__name__)
_ATTEMPTS = 9  # with back-off: about three minutes, then the unit fails and systemd starts it again


class GatewayStore(IdentityStore, Protocol):
    """The registry, as far as bootstrap goes."""

    def put_gateway(self, record: GatewayRecord) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Everything outside that bootstrap touches."""

    registry: GatewayStore
    secrets: SecretStore
    instance_id: Callable[[], str]
    wg: Wg
    nft: Nft
    state_folder: Path = STATE_FOLDER
    wireguard_folder: Path = FOLDER
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def bootstrap(boot: Boot, around: Surroundings) -> GatewayRecord:
    """The record that was registered. Raises AgentError or RegistryError after the last attempt."""
    for attempt in range(_ATTEMPTS):
        try:
            return _once(boot, around)
        except (AgentError, RegistryError) as exc:
            if isinstance(exc, (Unavailable, CloudUnavailable)) and _was_complete(around):
                return _from_disk(around, exc)
            if isinstance(exc, BadIdentity) or attempt == _ATTEMPTS - 1:
                raise
            _log.warning("bootstrap, attempt %d: %s", attempt + 1, exc)
            around.sleep(min(60.0, 2.0**attempt))
    raise AssertionError("unreachable")


def _once(boot: Boot, around: Surroundings) -> GatewayRecord:
    now = int(around.now())
    instance, service, way = _ask_the_cloud(boot, around, now)
    pair = pair_key(around.state_folder)
    _raise_tunnels(boot, around, service.keys, way.keys, pair)
    record = GatewayRecord(
        slot=boot.slot,
        instance_id=instance,
        zone=boot.zone,
        private_address=boot.private_address,
        public_address=boot.public_address,
        service_public_key=service.newest.public(),
        way_public_key=way.newest.public(),
        pair_public_key=pair.public(),
        agent_version=__version__,
        agent_sha256=boot.agent_sha256,
        booted_at=now,
        heartbeat_at=now,
        applied={},
        storage_prefixes=(),
        serving=False,
        ways=0,
        template=boot.template,
    )
    save_record(record, around.state_folder)
    # From here on nothing is fetched: what a stock image needed is installed.
    around.nft.transaction([flush_chain("mirror")])
    around.registry.put_gateway(record)
    return record


def _ask_the_cloud(boot: Boot, around: Surroundings, now: int) -> tuple[str, Taken, Taken]:
    """The instance's id, the service's identities and the way's, side by side: a boot waits for each answer."""
    names = ("service", boot.service_secret), (f"way#{boot.slot}", boot.way_secret)
    with ThreadPoolExecutor() as pool:
        instance = pool.submit(around.instance_id)
        rotations = around.registry.rotations()
        service, way = (
            pool.submit(take_sides, name, container, rotations, around.registry, around.secrets, now)
            for name, container in names
        )
    return instance.result(), service.result(), way.result()


def _raise_tunnels(boot: Boot, around: Surroundings, service: Sides, way: Sides, pair: PrivateKey) -> None:
    def raise_one(tunnel: Tunnel) -> None:
        if write_tunnel(tunnel, around.wireguard_folder):
            around.wg.down(tunnel.name)
        around.wg.up(tunnel.name)

    with ThreadPoolExecutor() as pool:  # side by side: wg-quick starts a dozen processes for each
        list(pool.map(raise_one, tunnels(boot, service, way, pair)))


def _was_complete(around: Surroundings) -> bool:
    files = [around.wireguard_folder / f"{name}.conf" for name in NAMES]
    return all(file.exists() for file in (*files, around.state_folder / "gateway.json"))


def _from_disk(around: Surroundings, exc: Exception) -> GatewayRecord:
    """A gateway that once was one starts without the cloud, from what it kept."""
    _log.warning("starting from what is on disk: %s", exc)
    for name in NAMES:
        around.wg.up(name)
    around.nft.transaction([flush_chain("mirror")])
    return load_record(around.state_folder)
