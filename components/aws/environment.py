"""One environment on AWS: puts the parts together and says what came of it."""

from __future__ import annotations

from pathlib import Path

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.get_caller_identity import get_caller_identity
from pulumi_random.random_id import RandomId

from components.aws import boot, permissions
from components.aws.addresses import Addresses, AddressesArgs
from components.aws.advice import advise
from components.aws.endpoints import Endpoints, EndpointsArgs
from components.aws.existing import look_up
from components.aws.firewall import Firewall, FirewallArgs
from components.aws.floating_ip import FloatingIp, FloatingIpArgs
from components.aws.gateways import Gateway, GatewayArgs
from components.aws.interface_endpoints import InterfaceEndpoints, InterfaceEndpointsArgs
from components.aws.network import Network, NetworkArgs
from components.aws.people import People, PeopleArgs
from components.aws.quotas import check_room
from components.aws.registry import Registry, RegistryArgs
from components.aws.roles import GatewayRole, GatewayRoleArgs
from components.aws.secrets import Secrets, SecretsArgs
from components.aws.storage import Agent, Storage, StorageArgs
from components.models import Settings
from components.plan import Plan, SlotPlan, admitted, bucket_name, parts
from userdata.agent_archive import build_agent_archive

BUILD = Path(__file__).parents[2] / "build"


class Environment(ComponentResource):
    """Network, storage, registry and a gateway in each slot. Its outputs are the stack's."""

    def __init__(self, settings: Settings, plan: Plan, opts: ResourceOptions | None = None) -> None:
        # Before the first resource: what does not fit is told, and nothing is made.
        boot.check_size(settings, plan)
        self._existing = look_up(settings)
        check_room(settings)
        super().__init__("twinlock:aws:Environment", plan.name, None, opts)
        caller = get_caller_identity()
        advise(settings, caller.arn)
        self._settings, self._plan, self._account = settings, plan, caller.account_id
        self._agent = _agent()
        self._bucket_names = self._names()
        self.network = self._network()
        self.secrets = self._secrets()
        self.registry = self._registry()
        self.people = self._people()
        self.endpoints = self._endpoints()
        self.firewall = self._firewall()
        self.interface_endpoints = self._interface_endpoints()
        self.storage = self._storage()
        self.floating = self._floating()
        self.addresses = {slot.name: self._addresses(slot) for slot in plan.slots}
        self.definition = self.registry.define(self._definition())
        self._user_data = {slot.name: self._user_data_of(slot) for slot in plan.slots}
        self.gateways = {slot.name: self._gateway(slot) for slot in plan.slots}
        self._tell_launches()
        self.outputs = self._outputs()
        self.register_outputs(self.outputs)

    def _names(self) -> dict[str, pulumi.Output[str]]:
        """Short name -> global name, with the agent's bucket; known before any bucket is, for the endpoint's policy."""
        suffix = RandomId(f"{self._plan.name}-suffix", byte_length=4, opts=self._child())
        environment = self._settings.environment
        return {
            bucket: suffix.hex.apply(lambda text, bucket=bucket: bucket_name(environment, bucket, text))
            for bucket in (*self._settings.storage.buckets, "agent")
        }

    def _network(self) -> Network:
        args = NetworkArgs(
            environment=self._settings.environment,
            cidr=str(self._settings.network.cidr),
            ipv6=self._settings.network.ipv6,
            cidr6=None if self._settings.network.cidr6 is None else str(self._settings.network.cidr6),
            slots=self._plan.slots,
            existing=self._existing.network,
            adopt=self._settings.network.adopt,
        )
        return Network(self._plan.name, args, self._child())

    def _secrets(self) -> Secrets:
        settings = self._settings
        principals = {arn for tenant in settings.tenants.values() for arn in tenant.principals}
        args = SecretsArgs(
            environment=settings.environment,
            region=settings.region,
            account=self._account,
            slots=self._plan.slots,
            service_secret=self._plan.service_secret,
            principals=tuple(sorted(principals)),
            protect=settings.registry.protect,
        )
        return Secrets(self._plan.name, args, self._child())

    def _registry(self) -> Registry:
        args = RegistryArgs(
            environment=self._settings.environment,
            region=self._settings.region,
            table=self._plan.table,
            discovery=self._plan.discovery,
            protect=self._settings.registry.protect,
        )
        return Registry(self._plan.name, args, self._child())

    def _people(self) -> People:
        settings, plan = self._settings, self._plan
        place = f"{settings.region}:{self._account}"
        args = PeopleArgs(
            environment=settings.environment,
            table_arn=f"arn:aws:dynamodb:{place}:table/{plan.table}",
            discovery_arn=f"arn:aws:ssm:{place}:parameter{plan.discovery}",
            auto_tenants=tuple(name for name, tenant in sorted(settings.tenants.items()) if tenant.approval == "auto"),
            key_arn=self.secrets.key.arn if self._has_preshared_keys else None,
        )
        return People(plan.name, args, self._child())

    @property
    def _has_preshared_keys(self) -> bool:
        return any(tenant.preshared_keys for tenant in self._settings.tenants.values())

    def _endpoints(self) -> Endpoints:
        args = EndpointsArgs(
            environment=self._settings.environment,
            region=self._settings.region,
            vpc_id=self.network.vpc_id,
            route_tables=self.network.route_tables,
            bucket_arns=self._bucket_arns(),
            agent_bucket_arn=_bucket_arn(self._bucket_names["agent"]),
            other_buckets=self._settings.storage.other_buckets,
            table_arn=self.registry.table.arn,
        )
        return Endpoints(self._plan.name, args, self._child())

    def _bucket_arns(self) -> list[pulumi.Output[str]]:
        storage = self._settings.storage
        made = [self._bucket_names[bucket] for bucket in storage.buckets]
        return [_bucket_arn(name) for name in (*made, *storage.existing.values())]

    def _storage(self) -> Storage:
        storage = self._settings.storage
        args = StorageArgs(
            environment=self._settings.environment,
            buckets={bucket: self._bucket_names[bucket] for bucket in storage.buckets},
            existing=storage.existing,
            adopted=frozenset(storage.adopt),
            foreign=self._existing.policies,
            agent_bucket=self._bucket_names["agent"],
            agent=self._agent,
            key_arn=self.secrets.key.arn,
            endpoints=self._storage_endpoints(),
            admitted={bucket: admitted(self._settings, bucket) for bucket in storage.names},
            parts={bucket: parts(self._settings, self._plan.slots, bucket) for bucket in storage.names},
            break_glass=storage.break_glass,
            protect=storage.protect,
        )
        return Storage(self._plan.name, args, self._child())

    def _firewall(self) -> Firewall:
        args = FirewallArgs(
            environment=self._settings.environment,
            vpc_id=self.network.vpc_id,
            rules=self._plan.rules,
            storage_prefix_list=self.endpoints.storage.prefix_list_id,
            registry_prefix_list=self.endpoints.registry.prefix_list_id,
            interface_endpoints=self._settings.network.interface_endpoints,
        )
        return Firewall(self._plan.name, args, self._child())

    def _storage_endpoints(self) -> list[pulumi.Input[str]]:
        private = self.interface_endpoints
        return [self.endpoints.storage.id, *([private.storage.id] if private is not None else [])]

    def _interface_endpoints(self) -> InterfaceEndpoints | None:
        """None, unless the environment asks for them."""
        group = self.firewall.endpoints_group_id
        if group is None:
            return None
        args = InterfaceEndpointsArgs(
            environment=self._settings.environment,
            region=self._settings.region,
            account=self._account,
            vpc_id=self.network.vpc_id,
            subnet_ids=list(self.network.private_subnets.values()),
            group_id=group,
            storage_policy=permissions.storage_endpoint(
                self._bucket_arns(), _bucket_arn(self._bucket_names["agent"]), self._settings.storage.other_buckets
            ),
            # The storage's interface endpoint stands beside its gateway endpoint.
            after=self.endpoints.storage,
            preshared_keys=self._has_preshared_keys,
        )
        return InterfaceEndpoints(self._plan.name, args, self._child())

    def _floating(self) -> FloatingIp | None:
        """None, unless the environment has that endpoint mode."""
        if not self._settings.gateway.floating:
            return None
        return FloatingIp(self._plan.name, FloatingIpArgs(environment=self._settings.environment), self._child())

    def _addresses(self, slot: SlotPlan) -> Addresses:
        args = AddressesArgs(
            environment=self._settings.environment,
            slot=slot,
            subnet_id=self.network.public_subnets[slot.name],
            group_id=self.firewall.group_id,
            private_address6=self.network.gateways6.get(slot.name),
            # While an interface holds it, it can't be released: it goes after them.
            after=(self.floating.address,) if self.floating is not None else (),
        )
        return Addresses(self._plan.gateway_name(slot.name), args, self._child())

    def _public_addresses(self) -> pulumi.Output[dict[str, str]]:
        return pulumi.Output.all(**{name: addresses.public_address for name, addresses in self.addresses.items()})

    def _definition(self) -> pulumi.Output[str]:
        floating = "" if self.floating is None else self.floating.public_address
        return boot.definition(
            self._settings,
            self._plan,
            self._public_addresses(),
            self.secrets.key.arn,
            pulumi.Output.from_input(floating),
            self._storage_addresses(),
        )

    def _storage_addresses(self) -> pulumi.Output[list[str]]:
        """What the storage's zone leads clients to."""
        if self.interface_endpoints is None or not self._plan.storage_zone:
            return pulumi.Output.from_input(list[str]())
        return self.interface_endpoints.storage_addresses()

    def _gateway(self, slot: SlotPlan) -> Gateway:
        name = self._plan.gateway_name(slot.name)
        role = self._role(slot)
        args = GatewayArgs(
            environment=self._settings.environment,
            slot=slot,
            gateway=self._settings.gateway,
            interface_id=self.addresses[slot.name].interface_id,
            profile_arn=role.profile_arn,
            user_data=self._user_data[slot.name].apply(lambda known: known.text),
            ready=(
                role.policy,
                self.definition,
                self.storage.agent_object,
                *self.network.ways_out,
                self.endpoints.storage,
                self.endpoints.registry,
                self.addresses[slot.name].association,
                *self.firewall.rules,
                *(self.interface_endpoints.all if self.interface_endpoints is not None else ()),
            ),
        )
        return Gateway(name, args, self._child())

    def _role(self, slot: SlotPlan) -> GatewayRole:
        may = permissions.GatewayRole(
            slot=slot.name,
            region=self._settings.region,
            account=self._account,
            table_arn=self.registry.table.arn,
            service_secret_arn=self.secrets.service.arn,
            way_secret_arn=self.secrets.ways[slot.name].arn,
            key_arn=self.secrets.key.arn,
            agent_bucket_arn=self.storage.agent_bucket.arn,
            storage_prefix_list=self.endpoints.storage.prefix_list_id,
            environment=self._settings.environment,
            own_group=self._plan.gateway_name(slot.name),
            group_names=tuple(self._plan.gateway_name(each.name) for each in self._plan.slots),
            floating=self._may_move(slot),
        )
        args = GatewayRoleArgs(
            environment=self._settings.environment, may=may, boundary=self._settings.gateway.permissions_boundary
        )
        return GatewayRole(self._plan.gateway_name(slot.name), args, self._child())

    def _may_move(self, slot: SlotPlan) -> tuple[permissions.Text, ...]:
        if self.floating is None:
            return ()
        return self.floating.address.allocation_id, self.addresses[slot.name].interface_id

    def _tell_launches(self) -> None:
        """After the groups: who believes it sooner would get the old template once more."""
        for name, gateway in self.gateways.items():
            template = self._user_data[name].apply(lambda known: known.template)
            self.registry.launches(name, template, self._settings.gateway.rolling, after=gateway.group)

    def _user_data_of(self, slot: SlotPlan) -> pulumi.Output[boot.UserData]:
        return boot.user_data(
            self._settings,
            self._plan,
            slot,
            self._agent,
            public_address=self.addresses[slot.name].public_address,
            storage_prefix_list=self.endpoints.storage.prefix_list_id,
            agent_bucket=self._bucket_names["agent"],
            floating=self._floating_facts(slot),
            addresses6=self._addresses6(),
        )

    def _addresses6(self) -> pulumi.Output[dict[str, str]]:
        """Of all gateways, by slot; none where the network has no IPv6."""
        found = self.network.gateways6
        return pulumi.Output.all(**found) if found else pulumi.Output.from_input(dict[str, str]())

    def _floating_facts(self, slot: SlotPlan) -> pulumi.Output[list[str]] | None:
        """Public address, allocation, and the interface that it is to lead to."""
        if self.floating is None:
            return None
        address = self.floating.address
        return pulumi.Output.all(address.public_ip, address.allocation_id, self.addresses[slot.name].interface_id)

    def _outputs(self) -> dict[str, pulumi.Input[object]]:
        port = self._plan.port
        addresses = {name: each.public_address for name, each in self.addresses.items()}
        return {
            "endpoints": [pulumi.Output.concat(address, f":{port}") for address in addresses.values()],
            "gateways": addresses,
            "table": self.registry.table.name,
            "buckets": list(self.storage.buckets.values()),
            "agentBucket": self.storage.agent_bucket.bucket,
            "discovery": self.registry.discovery.name,
            "policies": self.people.policies,
            **self._floating_endpoint(),
            **({} if self.network.block6 is None else {"network6": self.network.block6}),
        }

    def _floating_endpoint(self) -> dict[str, pulumi.Input[object]]:
        if self.floating is None:
            return {}
        return {"floatingEndpoint": pulumi.Output.concat(self.floating.public_address, f":{self._plan.port}")}

    def _child(self) -> ResourceOptions:
        return ResourceOptions(parent=self)


def _agent() -> Agent:
    archive = build_agent_archive(BUILD / "twinlock-agent.pyz")
    return Agent(path=archive.path, sha256=archive.sha256)


def _bucket_arn(name: pulumi.Input[str]) -> pulumi.Output[str]:
    return pulumi.Output.concat("arn:aws:s3:::", name)
