"""A cloud of one process, for gateways that are others: a registry's table and secrets, through a socket of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from multiprocessing.managers import BaseManager
from pathlib import Path

from tests.memory_table import MemoryTable
from tests.places import GATEWAYS, PORT
from twinlock.agent.errors import CloudUnavailable
from twinlock.registry.definition import Definition, Service, Slot, Tenant
from twinlock.registry.store import Registry
from twinlock.registry.table import Condition, Item, Key, Write

SERVICE, SERVICE_PORT = "10.50.0.5", 7
PREFIX6 = "fd12:3456:789a::/96"
_WORD = b"one machine's own"


class SharedTable(MemoryTable):
    """Asked by several at once."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self._lock = threading.Lock()

    def get(self, key: Key) -> Item | None:
        with self._lock:
            return super().get(key)

    def get_many(self, wanted: Iterable[Key]) -> dict[Key, Item]:
        with self._lock:
            return super().get_many(wanted)

    def query(self, partition: str, first: str | None = None, last: str | None = None) -> list[Item]:
        with self._lock:
            return list(super().query(partition, first, last))

    def put(self, item: Item, condition: Condition | None = None) -> Item | None:
        with self._lock:
            return super().put(item, condition)

    def transact(self, writes: Sequence[Write]) -> None:
        with self._lock:
            super().transact(writes)


class Vault:
    def __init__(self) -> None:
        self._kept = {}

    def put(self, container, version, key) -> None:
        self._kept[container, version] = key

    def get(self, container, version):
        return self._kept[container, version]

    def drop(self, container, version) -> None:
        self._kept.pop((container, version), None)


class _Server(BaseManager):
    pass


class _Client(BaseManager):
    pass


_Client.register("table")
_Client.register("vault")


def serve(socket: Path) -> Registry:
    """From now on, until the process ends."""
    table, vault = SharedTable(definition()), Vault()
    _Server.register("table", lambda: table)
    _Server.register("vault", lambda: vault)
    server = _Server(address=str(socket), authkey=_WORD).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return Registry(table)


class _Table:
    """twinlock.registry.table.Table; what is sent has to be there as a whole."""

    name = "twinlock-shared"

    def __init__(self, there) -> None:
        self._there = there
        self.get, self.query, self.put = there.get, there.query, there.put

    def get_many(self, wanted: Iterable[Key]) -> dict[Key, Item]:
        return self._there.get_many(list(wanted))

    def transact(self, writes: Sequence[Write]) -> None:
        self._there.transact(list(writes))


class OneProcess:
    """twinlock.agent.cloud.Cloud, with neither storage nor encrypted keys."""

    def __init__(self, slot: str, socket: str) -> None:
        self._slot, self._there = slot, _Client(address=socket, authkey=_WORD)
        self._there.connect()

    def table(self):
        return _Table(self._there.table())

    lease_table = table

    def secrets(self):
        return self._there.vault()

    def envelope(self, definition):
        raise AssertionError("no tenant has pre-shared keys")

    def instance_id(self) -> str:
        return f"i-{self._slot}"

    def proofs(self):
        return self

    def proof_url(self, method: str) -> str:
        raise CloudUnavailable(f"{method}: there is no storage")

    def report_unhealthy(self, instance_id: str) -> None:
        """Nobody replaces it."""

    def floating(self) -> None:
        return None

    def storage_prefixes(self) -> tuple[str, ...]:
        return ("192.0.2.0/24",)


def definition() -> Definition:
    """One tenant, which may send to one service."""
    echo = Service(name="echo", cidr=f"{SERVICE}/32", port=SERVICE_PORT, protocol="udp")
    tenant = Tenant(
        name="ml", range="10.100.1.0/24", approval="manual", approvers=1, storage=False, services=(echo,), cidrs=(),
        sources=(),
    )  # fmt: skip
    slots = (
        Slot(name=slot, zone=f"zone-{slot}", public_address=public, private_address=f"10.0.{number}.10")
        for number, (slot, public) in enumerate(GATEWAYS.items(), 1)
    )
    return Definition(
        environment="ways", region="eu-west-1", tunnel_range="10.100.0.0/16", gateway_address="10.100.0.1",
        prefix6=PREFIX6, port=PORT, mtu=1420, buckets=("bucket",), tenants=(tenant,), slots=tuple(slots),
    )  # fmt: skip
