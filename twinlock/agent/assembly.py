"""A running gateway put together from its parts."""

from __future__ import annotations

import time
from collections.abc import Callable

from twinlock.agent import chrony
from twinlock.agent.boot import Boot, shards_of
from twinlock.agent.box import Box
from twinlock.agent.channel import Channel
from twinlock.agent.checkup import free_bytes
from twinlock.agent.cloud import Cloud
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.identities import Identities
from twinlock.agent.interfaces import pair_address
from twinlock.agent.nft import Nft
from twinlock.agent.outside import HealthSources, Outside
from twinlock.agent.preshared import PresharedKeys
from twinlock.agent.raw_packets import send_raw
from twinlock.agent.record import load_record
from twinlock.agent.report_time import ReportTime
from twinlock.agent.run import Gateway
from twinlock.agent.sides import SidedWg
from twinlock.agent.state import STATE_FOLDER
from twinlock.agent.state_file import StateFile
from twinlock.agent.transfer import Transfer
from twinlock.agent.vrrp import silences
from twinlock.registry.followed import Registry


def assemble(boot: Boot, cloud: Cloud, bootstrapped: Callable[[], None]) -> Gateway:
    """`bootstrapped` waits for that: the clients of the cloud, slow to make, are made before. Raises AgentError."""
    registry, leases, secrets = Registry(cloud.table()), Registry(cloud.lease_table()), cloud.secrets()
    bootstrapped()
    channel = Channel(boot.port + 4, {pair_address(boot.slots, twin.slot): twin.slot for twin in boot.twins})
    wg, nft = SidedWg(), Nft()
    outside = Outside(
        registry=registry,
        leases=leases,
        storage_prefixes=cloud.storage_prefixes,
        box=Box(wg, nft, Conntrack(), shards_of(boot)),
        identities=Identities(boot, registry, secrets, wg, nft),
        preshared=PresharedKeys(registry.data_keys, cloud.envelope, time.time),
        state_file=StateFile(STATE_FOLDER),
        say=channel.say,
        listen=channel.listen,
        send_raw=send_raw,
        silences=lambda: silences(boot.slot),
        report_unhealthy=cloud.report_unhealthy,
        reported=ReportTime(STATE_FOLDER),
        replace_own=cloud.replace_own,
        floating=cloud.floating(),
        health=HealthSources(
            transfer=Transfer(cloud.proofs()).prove, offset=chrony.look, free_bytes=free_bytes(STATE_FOLDER)
        ),
    )
    return Gateway(boot, load_record(STATE_FOLDER), outside)
