"""What the user data told this gateway: /etc/twinlock/boot.json, the same fields as userdata.boot_args.GatewayBoot."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import TypeVar, cast

from twinlock.agent.errors import BadBoot
from twinlock.registry.ipv6 import check_prefix6
from twinlock.registry.shards import COUNTS, Shards

BOOT_FILE = Path("/etc/twinlock/boot.json")
T = TypeVar("T", str, int, bool)


@dataclass(frozen=True, kw_only=True)
class Twin:
    slot: str
    private_address: str
    private_address6: str = ""


@dataclass(frozen=True, kw_only=True)
class Floating:
    """The address that follows whoever serves; what each field means: userdata.boot_args.Floating."""

    public_address: str
    private_address: str
    allocation: str
    interface: str


@dataclass(frozen=True, kw_only=True)
class Dns:
    """What peers may ask for by name; what each field means: userdata.boot_args.Dns."""

    zones: tuple[str, ...]
    resolver: str


@dataclass(frozen=True, kw_only=True)
class Boot:
    """See userdata.boot_args.GatewayBoot for what each field means."""

    environment: str
    cloud: str
    region: str
    slot: str
    zone: str
    private_address: str
    public_address: str
    twins: tuple[Twin, ...]
    tunnel_range: str
    gateway_address: str
    prefix6: str
    port: int
    mtu: int
    registry_table: str
    service_secret: str
    way_secret: str
    storage_prefix_list: str
    agent_bucket: str
    agent_key: str
    agent_sha256: str
    stock_image: bool
    template: str
    floating: Floating | None = None
    dns: Dns | None = None
    private_address6: str = ""
    shards: int = 1

    @property
    def slots(self) -> tuple[str, ...]:
        """All slots' names, this one included, sorted."""
        return tuple(sorted((self.slot, *(twin.slot for twin in self.twins))))


def shards_of(boot: Boot) -> Shards:
    return Shards(boot.tunnel_range, boot.shards)


def load_boot(path: Path = BOOT_FILE) -> Boot:
    """Raises BadBoot: not there, not JSON, or not exactly these fields with these kinds of values."""
    try:
        document: object = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise BadBoot(f"{path} can't be read ({exc}): was the gateway booted from its user data?") from exc
    return boot_from(document, str(path))


def boot_from(document: object, where: str) -> Boot:
    found = _object(document, where)
    if found.keys() != {field.name for field in fields(Boot)}:
        odd = sorted(found.keys() ^ {field.name for field in fields(Boot)})
        raise BadBoot(f"{where}: missing or unknown {', '.join(odd)}: user data and agent are of different versions")

    def text(name: str) -> str:
        return _of(str, found, name, where)

    boot = Boot(
        environment=text("environment"),
        cloud=text("cloud"),
        region=text("region"),
        slot=text("slot"),
        zone=text("zone"),
        private_address=text("private_address"),
        public_address=text("public_address"),
        twins=_twins(found["twins"], where),
        tunnel_range=text("tunnel_range"),
        gateway_address=text("gateway_address"),
        prefix6=text("prefix6"),
        port=_of(int, found, "port", where),
        mtu=_of(int, found, "mtu", where),
        registry_table=text("registry_table"),
        service_secret=text("service_secret"),
        way_secret=text("way_secret"),
        storage_prefix_list=text("storage_prefix_list"),
        agent_bucket=text("agent_bucket"),
        agent_key=text("agent_key"),
        agent_sha256=text("agent_sha256"),
        stock_image=_of(bool, found, "stock_image", where),
        template=text("template"),
        floating=_floating(found["floating"], f"{where}: floating"),
        dns=_dns(found["dns"], f"{where}: dns"),
        private_address6=text("private_address6"),
        shards=_of(int, found, "shards", where),
    )
    _check_addresses(boot, where)
    if boot.shards not in COUNTS:
        raise BadBoot(f"{where}: shards is {boot.shards}, not one of {COUNTS}")
    return boot


def _twins(value: object, where: str) -> tuple[Twin, ...]:
    if not isinstance(value, list):
        raise BadBoot(f"{where}: twins is not a list")
    found = [_object(entry, f"{where}: twins") for entry in cast(list[object], value)]
    names = [field.name for field in fields(Twin)]
    return tuple(Twin(**{name: _of(str, entry, name, where) for name in names}) for entry in found)


def _floating(value: object, where: str) -> Floating | None:
    if value is None:
        return None
    found = _object(value, where)
    return Floating(**{field.name: _of(str, found, field.name, where) for field in fields(Floating)})


def _dns(value: object, where: str) -> Dns | None:
    if value is None:
        return None
    found = _object(value, where)
    zones = found.get("zones")
    if not isinstance(zones, list) or not all(isinstance(zone, str) for zone in cast(list[object], zones)):
        raise BadBoot(f"{where}: zones is not a list of names")
    return Dns(zones=tuple(cast(list[str], zones)), resolver=_of(str, found, "resolver", where))


def _check_addresses(boot: Boot, where: str) -> None:
    try:
        floating = (boot.floating.public_address, boot.floating.private_address) if boot.floating else ()
        twins = (twin.private_address for twin in boot.twins)
        resolver = (boot.dns.resolver,) if boot.dns else ()
        for address in (boot.private_address, boot.public_address, *twins, *floating, *resolver):
            IPv4Address(address)
        for address in filter(None, (boot.private_address6, *(twin.private_address6 for twin in boot.twins))):
            IPv6Address(address)
        check_prefix6(boot.prefix6)
        inside = IPv4Address(boot.gateway_address) in IPv4Network(boot.tunnel_range)
    except ValueError as exc:
        raise BadBoot(f"{where}: {exc}") from exc
    if not inside:
        raise BadBoot(f"{where}: gateway_address {boot.gateway_address} is not inside {boot.tunnel_range}")


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadBoot(f"{where} is not a JSON object")
    return cast(dict[str, object], value)


def _of(kind: type[T], found: dict[str, object], name: str, where: str) -> T:
    value = found.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadBoot(f"{where}: {name} is not a {kind.__name__}")
    return value
