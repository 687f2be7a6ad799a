"""What leaves the program for the machines: the definition in the registry, and each gateway's user data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi

from components.aws.storage import Agent
from components.errors import Problem, SettingsError
from components.models import Settings
from components.models import Tenant as TenantSettings
from components.plan import RESOLVER, Plan, SlotPlan, bucket_name, way_secret
from twinlock.registry.definition import Definition, Service, Slot, Source, Tenant, definition_to_json
from userdata.boot_args import Dns, Floating, GatewayBoot, Twin
from userdata.render import UserDataTooLarge, render_base64


@dataclass(frozen=True)
class UserData:
    """A slot's cloud-init document, base64, and the digest of the template that it is the main part of."""

    text: str
    template: str


def definition(
    settings: Settings,
    plan: Plan,
    public_addresses: pulumi.Output[dict[str, str]],
    key_arn: pulumi.Output[str],
    floating: pulumi.Output[str],
    storage_addresses: pulumi.Output[list[str]],
) -> pulumi.Output[str]:
    """The environment as its gateways and the command see it, as JSON. `public_addresses` by slot."""
    known = pulumi.Output.all(public_addresses, key_arn, floating, storage_addresses)
    return known.apply(lambda found: definition_to_json(_definition(settings, plan, *found)))


def user_data(
    settings: Settings,
    plan: Plan,
    slot: SlotPlan,
    agent: Agent,
    *,
    public_address: pulumi.Output[str],
    storage_prefix_list: pulumi.Output[str],
    agent_bucket: pulumi.Output[str],
    floating: pulumi.Output[list[str]] | None,
    addresses6: pulumi.Output[dict[str, str]],
) -> pulumi.Output[UserData]:
    """`floating`: public address, allocation and the slot's interface. `addresses6`: all gateways' by slot, none where
    the network has no IPv6."""
    known = pulumi.Output.all(public_address, storage_prefix_list, agent_bucket, floating, addresses6)
    return known.apply(lambda found: _user_data(settings, gateway_boot(settings, plan, slot, agent, *found)))


def _user_data(settings: Settings, boot: GatewayBoot) -> UserData:
    """A gateway is told what it was booted from, so that it sees when its group launches something else. The interface
    and the profile are the slot's own: neither changes while a machine has them."""
    machine = settings.gateway
    parts = [render_base64(boot), machine.image, machine.instance_type, machine.disk_gib]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return UserData(text=render_base64(replace(boot, template=digest)), template=digest)


def check_size(settings: Settings, plan: Plan) -> None:
    """Renders each slot's document with values as long as the real ones can be. Raises SettingsError over the limit."""
    widest = Agent(path=Path(), sha256=hashlib.sha256(b"").hexdigest())
    for slot in plan.slots:
        floating = ["255.255.255.255", "eipalloc-0123456789abcdef0", "eni-0123456789abcdef0"]
        known = (
            "255.255.255.255",
            "pl-0123456789abcdef0",
            bucket_name(settings.environment, "agent", "01234567"),
            floating if settings.gateway.floating else None,
            {each.name: "2001:db8:1234:5678::a" for each in plan.slots} if settings.network.ipv6 else {},
        )
        try:
            _user_data(settings, gateway_boot(settings, plan, slot, widest, *known))
        except UserDataTooLarge as error:
            key, value = "twinlock:network.zones", ", ".join(settings.network.zones)
            problem = Problem(key=key, value=value, rule=str(error), mend="name fewer zones")
            raise SettingsError([problem]) from error


def gateway_boot(
    settings: Settings,
    plan: Plan,
    slot: SlotPlan,
    agent: Agent,
    public_address: str,
    storage_prefix_list: str,
    agent_bucket: str,
    floating: Sequence[str] | None,
    addresses6: Mapping[str, str],
) -> GatewayBoot:
    return GatewayBoot(
        environment=settings.environment,
        cloud="aws",
        region=settings.region,
        slot=slot.name,
        zone=slot.zone,
        private_address=slot.private_address,
        public_address=public_address,
        twins=tuple(
            Twin(
                slot=other.name,
                private_address=other.private_address,
                private_address6=addresses6.get(other.name, ""),
            )
            for other in plan.slots
            if other != slot
        ),
        tunnel_range=str(settings.tunnel.range),
        gateway_address=plan.gateway_address,
        prefix6=plan.prefix6,
        port=plan.port,
        mtu=settings.tunnel.mtu,
        registry_table=plan.table,
        service_secret=plan.service_secret,
        way_secret=way_secret(settings.environment, slot.name),
        storage_prefix_list=storage_prefix_list,
        agent_bucket=agent_bucket,
        agent_key=agent.key,
        agent_sha256=agent.sha256,
        stock_image=settings.gateway.stock_image,
        floating=None if floating is None else _floating(slot, *floating),
        dns=Dns(zones=plan.all_zones, resolver=RESOLVER) if plan.all_zones else None,
        private_address6=addresses6.get(slot.name, ""),
    )


def _floating(slot: SlotPlan, public_address: str, allocation: str, interface: str) -> Floating | None:
    if slot.floating_address is None:
        return None
    return Floating(
        public_address=public_address,
        private_address=slot.floating_address,
        allocation=allocation,
        interface=interface,
    )


def _definition(
    settings: Settings,
    plan: Plan,
    public_addresses: Mapping[str, str],
    key: str,
    floating: str,
    storage_addresses: Sequence[str],
) -> Definition:
    return Definition(
        environment=settings.environment,
        region=settings.region,
        tunnel_range=str(settings.tunnel.range),
        gateway_address=plan.gateway_address,
        port=plan.port,
        mtu=settings.tunnel.mtu,
        buckets=settings.storage.names,
        tenants=tuple(_tenant(name, tenant, plan) for name, tenant in sorted(settings.tenants.items())),
        slots=tuple(
            Slot(
                name=slot.name,
                zone=slot.zone,
                public_address=public_addresses[slot.name],
                private_address=slot.private_address,
            )
            for slot in plan.slots
        ),
        key=key,
        prefix6=plan.prefix6,
        floating_address=floating,
        zones=plan.zones,
        storage_zone=plan.storage_zone,
        storage_addresses=tuple(storage_addresses),
    )


def _tenant(name: str, tenant: TenantSettings, plan: Plan) -> Tenant:
    return Tenant(
        name=name,
        range=str(tenant.range),
        approval=tenant.approval,
        approvers=tenant.approvers,
        storage=tenant.storage,
        services=_services(tenant, 4),
        cidrs=tuple(str(cidr) for cidr in tenant.cidrs if cidr.version == 4),
        services6=_services(tenant, 6),
        cidrs6=tuple(str(cidr) for cidr in tenant.cidrs if cidr.version == 6),
        sources=tuple(
            Source(slot=slot.name, first=slot.sources[name].first, count=slot.sources[name].count)
            for slot in plan.slots
            if name in slot.sources
        ),
        internet=tenant.internet,
        preshared_keys=tenant.preshared_keys,
        max_key_age=None if tenant.max_key_age is None else int(tenant.max_key_age.removesuffix("d")) * 86_400,
    )


def _services(tenant: TenantSettings, version: int) -> tuple[Service, ...]:
    return tuple(
        Service(name=item.name, cidr=str(item.cidr), port=item.port, protocol=item.protocol)
        for item in tenant.services
        if item.cidr.version == version
    )
