"""A gateway's own program on the cloud of tests/ways/cloud.py: `python -m tests.ways.gateway SLOT SOCKET`.

All of it is the product's but the cloud: bootstrap, then run until it is stopped.
"""

from __future__ import annotations

import logging
import signal
import sys

from tests.ways.cloud import OneProcess
from twinlock.agent.assembly import assemble
from twinlock.agent.boot import load_boot
from twinlock.agent.bootstrap import Surroundings, bootstrap
from twinlock.agent.nft import Nft
from twinlock.agent.wg import Wg
from twinlock.registry.fleet import Fleet


def main(slot: str, socket: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(created).3f %(message)s")
    boot, cloud = load_boot(), OneProcess(slot, socket)
    around = Surroundings(
        registry=Fleet(cloud.table()), secrets=cloud.secrets(), instance_id=cloud.instance_id, wg=Wg(), nft=Nft()
    )
    record = bootstrap(boot, around)
    logging.info("bootstrapped %s", record.slot)
    gateway = assemble(boot, cloud, lambda: None)
    signal.signal(signal.SIGTERM, lambda *_: gateway.stop())
    gateway.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
