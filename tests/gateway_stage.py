"""A running gateway on a machine, a registry and a clock in memory. No process, no socket."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.agent_samples import ANN, BOB, NOW, Machine, definition, peer
from tests.preshared_samples import Kms, Sealed
from tests.userdata_samples import gateway_boot
from twinlock.agent.boot import Boot, boot_from, shards_of
from twinlock.agent.box import Box
from twinlock.agent.channel import Message
from twinlock.agent.conntrack import Conntrack
from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.identities import Identities
from twinlock.agent.nft import Nft
from twinlock.agent.outside import Outside
from twinlock.agent.preshared import PresharedKeys
from twinlock.agent.report_time import ReportTime
from twinlock.agent.run import Gateway
from twinlock.agent.sides import SidedWg
from twinlock.agent.state_file import StateFile
from twinlock.registry.errors import Unavailable
from twinlock.registry.kms import KmsEnvelope
from twinlock.registry.leasing import claimed
from twinlock.registry.model import GatewayRecord, Identity, Rotation, ShardLease, SwitchWish
from twinlock.registry.rolling import Launch, Roll, Rolling
from userdata.render import boot_json

BOOT = boot_from(json.loads(boot_json(gateway_boot())), "boot.json")
SHARDED = replace(BOOT, shards=16)


def record(slot="a", **changes) -> GatewayRecord:
    fields = {
        "slot": slot,
        "instance_id": f"i-{slot}",
        "zone": f"eu-west-1{slot}",
        "private_address": "10.0.1.10",
        "public_address": "203.0.113.10",
        "service_public_key": ANN,
        "way_public_key": ANN,
        "pair_public_key": BOB,
        "agent_version": "0.1.0",
        "agent_sha256": "00",
        "booted_at": NOW,
        "heartbeat_at": NOW,
        "applied": {},
        "storage_prefixes": (),
        "serving": False,
    }
    return GatewayRecord(**{**fields, **changes})


class Table:
    """A registry in memory, which can be gone."""

    def __init__(self, *peers) -> None:
        self.what = definition()
        self.peers = {one.name: one for one in peers}
        self.numbers = {"ml": 1}
        self.names: dict[int, set[str]] = {}
        self.leases: dict[int, ShardLease] = {}
        self.wish: SwitchWish | None = None
        self.gone, self.reads = False, []
        self.records: list[GatewayRecord] = []
        self.identities: dict[str, Identity] = {}
        self.rotated: dict[str, Rotation] = {}
        self.marks: set[str] = set()
        self.kept: dict[str, tuple[str, ...]] = {}
        self.counted: dict[str, tuple[str, ...]] = {}
        self.twins: tuple[GatewayRecord, ...] = ()
        self.launches: dict[str, Launch] = {}
        self.roll: Roll | None = None

    def _ask(self, what: str) -> None:
        self.reads.append(what)
        if self.gone:
            raise Unavailable("table twinlock-lab: AWS can't be reached")

    def change(self, *names: str) -> None:
        self.numbers["ml"] += 1
        self.names[self.numbers["ml"]] = set(names)

    def definition(self):
        self._ask("definition")
        return self.what

    def generations(self):
        self._ask("generations")
        return dict(self.numbers)

    def changed_names(self, tenant, since, upto):
        self._ask("changes")
        numbers = range(since + 1, upto + 1)
        if upto < since or not all(number in self.names for number in numbers):
            return None
        return frozenset(name for number in numbers for name in self.names[number])

    def served_peers(self, tenant, names=None):
        self._ask("full" if names is None else f"some {sorted(names)}")
        return tuple(
            one for one in self.peers.values() if one.tenant == tenant and (names is None or one.name in names)
        )

    def identity(self, name):
        self._ask("identity")
        return self.identities.get(name)

    def claim_identity(self, identity):
        self._ask("claim")
        return self.identities.setdefault(identity.name, identity)

    def rotations(self):
        self._ask("rotations")
        return dict(self.rotated)

    def moved(self, rotation):
        return frozenset(self.marks)

    def mark_moved(self, rotation, public_keys):
        self._ask("mark")
        self.marks.update(public_keys)

    def end_rotation(self, rotation):
        self._ask("end")
        self.rotated[rotation.name] = replace(rotation, until=int(NOW))

    def put_gateway(self, what):
        self._ask("put")
        self.records.append(what)

    def switch_wish(self):
        self._ask("switch")
        return self.wish

    def ways(self, slot):
        self._ask("ways")
        return dict(self.kept)

    def keep_ways(self, slot, piece, ends):
        self._ask("keep ways")
        self.kept[piece] = ends

    def keep_traffic(self, slot, piece, lines):
        self._ask("keep traffic")
        self.counted[piece] = lines

    def gateways(self, slots):
        self._ask("gateways")
        return self.twins

    def rolling(self, slots):
        self._ask("rolling")
        return Rolling(launches=self.launches, roll=self.roll)

    def take_roll(self, roll, over):
        self._ask("take roll")
        if self.roll != over:
            return False
        self.roll = roll
        return True

    def write_leases(self, claims, shards):
        self._ask("lease")
        self.leases = claimed(self.leases, claims)
        return dict(self.leases)

    def owned_by(self, slot: str, shards: Iterable[int] = (0,)) -> None:
        self.leases |= {one: ShardLease(shard=one, owner=slot, until_ms=int(NOW * 1000)) for one in shards}


class Time:
    def __init__(self) -> None:
        self.at = 1000.0

    def clock(self) -> float:
        return self.at

    def now(self) -> float:
        return NOW + self.at - 1000.0


class Vault:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], object] = {}
        self.gone = 0

    def put(self, container, version, key):
        if self.gone:
            self.gone -= 1
            raise CloudUnavailable(f"secret {container}: put: no answer")
        self.kept[container, version] = key

    def get(self, container, version):
        if self.gone:
            raise CloudUnavailable(f"secret {container}: get: no answer")
        return self.kept[container, version]

    def drop(self, container, version):
        del self.kept[container, version]


class Stage:
    def __init__(self, folder: Path, boot: Boot = BOOT) -> None:
        self.folder, self.boot = folder, boot
        self.table, self.machine, self.time = Table(peer()), Machine(), Time()
        self.prefixes: tuple[str, ...] = ("3.5.64.0/21",)
        self.said: list[Message] = []
        self.packets: list[tuple[str, bytes]] = []
        self.reported: list[str] = []
        self.replaced: list[str] = []

    def gateway(self) -> Gateway:
        def listed():
            if self.table.gone:
                raise CloudUnavailable("prefix list pl-1: no answer")
            return self.prefixes

        wg, nft = SidedWg(self.machine), Nft(self.machine)
        outside = Outside(
            registry=self.table,
            leases=self.table,
            say=self.said.append,
            listen=lambda: None,
            silences=lambda: iter(()),
            send_raw=self.packets.extend,
            storage_prefixes=listed,
            box=Box(wg, nft, Conntrack(self.machine), shards_of(self.boot)),
            identities=Identities(self.boot, self.table, Vault(), wg, nft, self.folder / "wireguard", self.time.now),
            preshared=PresharedKeys(
                Sealed(), lambda what: KmsEnvelope(Kms(), what.environment, what.key), self.time.now
            ),
            state_file=StateFile(self.folder),
            report_unhealthy=self.reported.append,
            reported=ReportTime(self.folder),
            replace_own=self.replaced.append,
            now=self.time.now,
            clock=self.time.clock,
        )
        return Gateway(self.boot, record(), outside)

    def opens_a_way(self) -> None:
        way = self.machine.peers["wg-way"][ANN]
        way.update(endpoint="198.51.100.2:29112", handshake=str(int(self.time.now())))


def turn(stage: Stage, gateway: Gateway, seconds: float = 1.0) -> None:
    stage.time.at += seconds
    gateway.follower.follow_once()
    gateway.ask_once()
    gateway.server.turn()
