"""What an environment is, as its gateways and the command see it: the arrow from the program to both.

The program writes it as one JSON document into the registry (keys.DEFINITION) and a pointer to it into the discovery
record (SSM Parameter Store, /twinlock/ENVIRONMENT/discovery). Standard library only: gateways read it too.

A newer program writes before every gateway is a newer one, so the version has two parts. What a reader may pass over
without letting through what must not pass is a field with a default, and a new MINOR: an older reader follows without
it. Anything else (a restriction, another meaning) is a new VERSION, which an older reader refuses, going on as it was.
"""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, asdict, dataclass
from dataclasses import fields as dataclass_fields
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Literal, cast

from twinlock.registry.ipv6 import check_prefix6

VERSION = 1
# 1: Definition.key, Tenant.preshared_keys, .max_key_age; 2: Definition.prefix6; 3: Tenant.internet;
# 4: Definition.floating_address; 5: Definition.zones, .storage_zone, .storage_addresses; 6: Tenant.services6, .cidrs6
MINOR = 6
# A client's file names them to programs, one of which is a shell.
_ZONE = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A destination that a tenant may reach."""

    name: str
    cidr: str
    port: int
    protocol: Literal["tcp", "udp"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A tenant's own addresses on a slot's interface, `count` from `first` on: its traffic leaves from them.

    A peer has the one at its place in the tenant's range, counted from the second; the first is for all others."""

    slot: str
    first: str  # IPv4
    count: int


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """Who shares a range of tunnel addresses and a set of destinations."""

    name: str
    range: str  # CIDR, inside the tunnel's
    approval: Literal["manual", "auto"]
    approvers: int
    storage: bool  # the storage endpoint's prefixes, TCP 443
    services: tuple[Service, ...]
    cidrs: tuple[str, ...]  # whole networks, any port
    sources: tuple[Source, ...]  # none: from the gateway's own address
    preshared_keys: bool = False  # each new key of a peer has a pre-shared key beside it
    max_key_age: int | None = None  # seconds; who has an older key is due for rotation
    internet: bool = False  # all that is no private network, too
    # By IPv6, apart from the others: a gateway from before follows without them.
    services6: tuple[Service, ...] = ()
    cidrs6: tuple[str, ...] = ()

    @property
    def all_services(self) -> tuple[Service, ...]:
        """Of both families."""
        return (*self.services, *self.services6)

    @property
    def all_cidrs(self) -> tuple[str, ...]:
        return (*self.cidrs, *self.cidrs6)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for a gateway that outlives gateways."""

    name: str  # "a", "b", …
    zone: str
    public_address: str  # IPv4, the way's endpoint
    private_address: str  # IPv4, inside the network


@dataclass(frozen=True, kw_only=True)
class Definition:
    """An environment. Addresses are text as `ipaddress` writes them; mtu in bytes."""

    environment: str
    region: str
    tunnel_range: str
    gateway_address: str  # the service's own address inside the tunnel, on every gateway
    port: int  # the one public UDP port
    mtu: int
    buckets: tuple[str, ...]
    tenants: tuple[Tenant, ...]
    slots: tuple[Slot, ...]
    key: str = ""  # ARN of the environment's key
    prefix6: str = ""  # an IPv6 /96: a peer's IPv6 address is this and its IPv4 address; empty: IPv4 alone
    floating_address: str = ""  # IPv4 that follows whoever serves, if the environment has one
    zones: tuple[str, ...] = ()  # whose names the gateways answer for, at gateway_address
    storage_zone: str = ""  # the same, for whoever reaches the storage: there it is at storage_addresses
    storage_addresses: tuple[str, ...] = ()  # IPv4, private


Part = type[Definition | Tenant | Service | Slot | Source]
_PARTS: dict[str, Part] = {
    "tenants": Tenant,
    "slots": Slot,
    "services": Service,
    "services6": Service,
    "sources": Source,
}


class DefinitionError(ValueError):
    """The text is not a definition that this version can read; says where."""


def definition_to_json(definition: Definition) -> str:
    """One line of JSON, the same text for the same definition."""
    document = {"version": VERSION, "minor": MINOR, **asdict(definition)}
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def definition_from_json(text: str) -> Definition:
    """The opposite of definition_to_json, of this program or of one a few versions away. Raises DefinitionError for
    another VERSION, and for what is not exact: only a newer MINOR may have fields that are not known here."""
    try:
        document: object = json.loads(text)
    except ValueError as exc:
        raise DefinitionError(f"the definition is not JSON: {exc}") from exc
    fields = _object(document, "definition")
    version = fields.pop("version", None)
    if version != VERSION:
        mend = (
            "update this program" if isinstance(version, int) and version > VERSION else "run `pulumi up` with this one"
        )
        raise DefinitionError(f"the definition is of version {version}, this program reads {VERSION}: {mend}")
    minor = _number(fields, "minor") if "minor" in fields else 0
    fields.pop("minor", None)
    if minor > MINOR:
        fields = _known(Definition, fields)
    definition = _definition(_exactly(Definition, fields, "definition"))
    _check_addresses(definition)
    return definition


def _definition(fields: dict[str, object]) -> Definition:
    return Definition(
        environment=_text(fields, "environment"),
        region=_text(fields, "region"),
        tunnel_range=_text(fields, "tunnel_range"),
        gateway_address=_text(fields, "gateway_address"),
        port=_number(fields, "port"),
        mtu=_number(fields, "mtu"),
        buckets=_texts(fields, "buckets"),
        tenants=tuple(_tenant(entry) for entry in _list(fields, "tenants")),
        slots=tuple(_slot(entry) for entry in _list(fields, "slots")),
        key=_text(fields, "key") if "key" in fields else "",
        prefix6=_text(fields, "prefix6") if "prefix6" in fields else "",
        floating_address=_text(fields, "floating_address") if "floating_address" in fields else "",
        zones=tuple(map(_zone, _texts(fields, "zones"))) if "zones" in fields else (),
        storage_zone=_zone(_text(fields, "storage_zone")) if fields.get("storage_zone") else "",
        storage_addresses=_texts(fields, "storage_addresses") if "storage_addresses" in fields else (),
    )


def _zone(name: str) -> str:
    if _ZONE.fullmatch(name) is None:
        raise DefinitionError(f"{name!r} is no name of a zone")
    return name


def _tenant(value: object) -> Tenant:
    fields = _exactly(Tenant, _object(value, "tenant"), "tenant")
    approval, storage = _text(fields, "approval"), fields["storage"]
    preshared_keys, internet = fields.get("preshared_keys", False), fields.get("internet", False)
    if approval != "manual" and approval != "auto":
        raise DefinitionError(f"tenant {fields['name']}: approval is manual or auto, not {approval}")
    if not isinstance(storage, bool):
        raise DefinitionError(f"tenant {fields['name']}: storage is true or false")
    if not isinstance(preshared_keys, bool):
        raise DefinitionError(f"tenant {fields['name']}: preshared_keys is true or false")
    if not isinstance(internet, bool):
        raise DefinitionError(f"tenant {fields['name']}: internet is true or false")
    return Tenant(
        name=_text(fields, "name"),
        range=_text(fields, "range"),
        approval=approval,
        approvers=_number(fields, "approvers"),
        storage=storage,
        services=tuple(_service(entry) for entry in _list(fields, "services")),
        cidrs=_texts(fields, "cidrs"),
        sources=tuple(_source(entry) for entry in _list(fields, "sources")),
        preshared_keys=preshared_keys,
        max_key_age=None if fields.get("max_key_age") is None else _number(fields, "max_key_age"),
        internet=internet,
        services6=tuple(_service(entry) for entry in _list(fields, "services6")) if "services6" in fields else (),
        cidrs6=_texts(fields, "cidrs6") if "cidrs6" in fields else (),
    )


def _source(value: object) -> Source:
    fields = _exactly(Source, _object(value, "source"), "source")
    return Source(slot=_text(fields, "slot"), first=_text(fields, "first"), count=_number(fields, "count"))


def _service(value: object) -> Service:
    fields = _exactly(Service, _object(value, "service"), "service")
    protocol = _text(fields, "protocol")
    if protocol != "tcp" and protocol != "udp":
        raise DefinitionError(f"service {fields['name']}: protocol is tcp or udp, not {protocol}")
    return Service(
        name=_text(fields, "name"), cidr=_text(fields, "cidr"), port=_number(fields, "port"), protocol=protocol
    )


def _slot(value: object) -> Slot:
    fields = _exactly(Slot, _object(value, "slot"), "slot")
    return Slot(
        name=_text(fields, "name"),
        zone=_text(fields, "zone"),
        public_address=_text(fields, "public_address"),
        private_address=_text(fields, "private_address"),
    )


def _check_addresses(definition: Definition) -> None:
    try:
        check_prefix6(definition.prefix6)
        tunnel = IPv4Network(definition.tunnel_range)
        if IPv4Address(definition.gateway_address) not in tunnel:
            raise DefinitionError(f"gateway_address {definition.gateway_address} is not inside {tunnel}")
        if definition.floating_address:
            IPv4Address(definition.floating_address)
        for address in definition.storage_addresses:
            IPv4Address(address)
        for slot in definition.slots:
            for address in (slot.public_address, slot.private_address):
                IPv4Address(address)
        for tenant in definition.tenants:
            if not IPv4Network(tenant.range).subnet_of(tunnel):
                raise DefinitionError(f"tenant {tenant.name}: range {tenant.range} is not inside {tunnel}")
            for cidr in (*tenant.cidrs, *(service.cidr for service in tenant.services)):
                IPv4Network(cidr)
            for cidr in (*tenant.cidrs6, *(service.cidr for service in tenant.services6)):
                IPv6Network(cidr)
            for source in tenant.sources:
                if source.count < 1:
                    raise DefinitionError(f"tenant {tenant.name}: {source.count} source addresses on {source.slot}")
                IPv4Address(int(IPv4Address(source.first)) + source.count - 1)
    except ValueError as exc:
        raise exc if isinstance(exc, DefinitionError) else DefinitionError(f"the definition: {exc}") from exc


def _known(kind: Part, found: dict[str, object]) -> dict[str, object]:
    """Without the fields that are not known here, down to the last part."""
    names = {field.name for field in dataclass_fields(kind)}
    return {name: _known_parts(name, value) for name, value in found.items() if name in names}


def _known_parts(name: str, value: object) -> object:
    if name not in _PARTS or not isinstance(value, list):
        return value
    entries = cast(list[object], value)
    return [_known(_PARTS[name], _object(entry, name)) for entry in entries]


def _exactly(kind: Part, found: dict[str, object], where: str) -> dict[str, object]:
    wanted = {field.name for field in dataclass_fields(kind)}
    needed = {field.name for field in dataclass_fields(kind) if field.default is MISSING}
    if not needed <= found.keys() <= wanted:
        missing, unknown = sorted(needed - found.keys()), sorted(found.keys() - wanted)
        raise DefinitionError(f"{where}: missing {missing}, unknown {unknown}")
    return found


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise DefinitionError(f"{where} should be an object")
    return dict(cast(dict[str, object], value))


def _list(fields: dict[str, object], name: str) -> list[object]:
    value = fields[name]
    if not isinstance(value, list):
        raise DefinitionError(f"{name} should be a list")
    return cast(list[object], value)


def _text(fields: dict[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise DefinitionError(f"{name} should be text")
    return value


def _texts(fields: dict[str, object], name: str) -> tuple[str, ...]:
    entries = _list(fields, name)
    if not all(isinstance(entry, str) for entry in entries):
        raise DefinitionError(f"{name} should be a list of texts")
    return tuple(cast(list[str], entries))


def _number(fields: dict[str, object], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise DefinitionError(f"{name} should be a whole number")
    return value
