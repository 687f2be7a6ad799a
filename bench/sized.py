"""Parts of one gateway's agent with COUNT peers, on real tunnels, a real firewall and a disk: prints one JSON line.

`python -m bench.sized COUNT`, in namespaces of its own (sizes.py makes them). The registry alone is held in memory:
what is measured is the gateway's own work.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path

from twinlock.agent.box import Box
from twinlock.agent.command import run
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.desired import advanced, desired
from twinlock.agent.follow import Names, follow, read_in_full
from twinlock.agent.interfaces import SERVICE, SIDES, WAY
from twinlock.agent.nft import Nft
from twinlock.agent.private_key import new_private_key
from twinlock.agent.sides import SidedWg
from twinlock.agent.state_file import StateFile
from twinlock.registry.definition import Definition, Slot, Tenant
from twinlock.registry.model import Peer
from userdata.boot_args import GatewayBoot, Twin
from userdata.render import render_firewall

CHANGES, PLAIN = 20, "plain"
_RANGE, _FIRST = "10.64.0.0/10", IPv4Address("10.65.0.1")
BOOT = GatewayBoot(
    environment="bench", cloud="aws", region="eu-west-1", slot="a", zone="eu-west-1a", private_address="10.0.1.10",
    public_address="203.0.113.10", twins=(Twin(slot="b", private_address="10.0.2.10"),), tunnel_range=_RANGE,
    gateway_address="10.64.0.1", port=51820, mtu=1420, registry_table="bench", service_secret="s", way_secret="w",  # noqa: S106  (names)
    storage_prefix_list="pl-0", agent_bucket="b", agent_key="k", agent_sha256="0" * 64, stock_image=False,
    prefix6="",
)  # fmt: skip
_DEFINITION = Definition(
    environment="bench", region="eu-west-1", tunnel_range=_RANGE, gateway_address="10.64.0.1", port=51820, mtu=1420,
    buckets=(), slots=(Slot(name="a", zone="eu-west-1a", public_address="203.0.113.10", private_address="10.0.1.10"),),
    tenants=(
        Tenant(
            name="red", range="10.65.0.0/16", approval="auto", approvers=0, storage=True, services=(), cidrs=(),
            sources=(),
        ),
    ),
)  # fmt: skip


class HeldRegistry:
    """One tenant's peers."""

    def __init__(self, count: int) -> None:
        self._peers = {peer.name: peer for peer in map(_peer, range(count))}
        self._changes: list[frozenset[str]] = []

    def definition(self) -> Definition:
        return _DEFINITION

    def generations(self) -> dict[str, int]:
        return {"red": len(self._changes)}

    def changed_names(self, tenant: str, since: int, upto: int) -> frozenset[str]:
        return frozenset[str]().union(*self._changes[since:upto])

    def served_peers(self, tenant: str, names: Iterable[str] | None = None) -> tuple[Peer, ...]:
        wanted = self._peers if names is None else names
        return tuple(self._peers[name] for name in wanted if name in self._peers)

    def let_in(self, peer: Peer) -> None:
        self._peers[peer.name] = peer
        self._changes.append(frozenset({peer.name}))

    def revoke(self, name: str) -> None:
        del self._peers[name]
        self._changes.append(frozenset({name}))


def _peer(number: int) -> Peer:
    return Peer(
        tenant="red", name=f"peer-{number}", public_key=b64encode(sha256(str(number).encode()).digest()).decode(),
        address=str(_FIRST + number), state="approved", enrolled_by="A:a", enrolled_at=1, approved_by=(),
        expires_at=None,
    )  # fmt: skip


def interfaces() -> None:
    """As `wg-quick` leaves them, with keys and no peers."""
    for name in (SIDES[SERVICE][0], SIDES[SERVICE][1], SIDES[WAY][0], SIDES[WAY][1], PLAIN):
        subprocess.run(["wireguard-go", name], check=True, capture_output=True)
    for name in (SERVICE, WAY):
        run(("wg", "set", name, "private-key", "/dev/stdin"), new_private_key().text() + "\n")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _resident_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def measure(count: int) -> dict[str, object]:
    interfaces()
    run(("nft", "-f", "-"), render_firewall(BOOT))
    registry, box, names = HeldRegistry(count), Box(SidedWg(), Nft(), Conntrack()), Names()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StateFile(folder).save(read_in_full(registry, None))
        plain = folder / "plain.conf"
        plain.write_text(
            f"[Interface]\nPrivateKey = {new_private_key().text()}\n"
            + "".join(f"[Peer]\nPublicKey = {peer.public_key}\n" for peer in registry.served_peers("red"))
        )
        beside = _seconds(lambda: run(("wg", "setconf", PLAIN, str(plain))))
        began = time.perf_counter()
        file = StateFile(folder)
        state = file.load()
        if state is None:
            raise RuntimeError("no state was saved")
        want = desired(state, time.time(), "a")
        box.reconcile(want)
        cold = time.perf_counter() - began
        file.save(state)
        names.learn(state)
        changes: list[float] = []
        for number in range(count, count + CHANGES):
            for change in (lambda n=number: registry.let_in(_peer(n)), lambda n=number: registry.revoke(f"peer-{n}")):
                change()
                began = time.perf_counter()
                new = follow(registry, state, names)
                want = advanced(want, state, new, time.time(), "a")
                done = box.reconcile(want)
                file.save(new)
                changes.append(time.perf_counter() - began)
                state = new
                if len(done.admit) + len(done.cut) != 1:
                    raise RuntimeError(f"one change became {done}")
    return {"cold": cold, "setconf": beside, "changes": changes, "resident_mib": _resident_mib()}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
