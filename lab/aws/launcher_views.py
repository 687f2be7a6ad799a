"""Instances as their metadata service shows them, found by network and address; and the credentials of their roles."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from lab.aws.control import ControlPlane
from lab.aws.instances import Instance
from lab.aws.launcher import Launcher
from lab.aws.launcher_values import Backend, Document, Refused, record, records, text
from lab.aws.metadata import RoleCredentials
from lab.aws.metadata_tree import InstanceView, InterfaceView

# "New credentials are available at least five minutes before the old ones expire" ("Retrieve security credentials").
RENEW_BEFORE = timedelta(minutes=15)
# What AWS gives an instance.
LIFETIME = timedelta(hours=6)

Mint = Callable[[str, str, int], RoleCredentials]  # ARN of the role, session name, seconds


class Views:
    """Remembers what it found until something changes: an instance reads some sixty values at boot."""

    def __init__(self, backend: Backend, launcher: Launcher, *, region: str, account: str) -> None:
        self._backend, self._launcher, self._region, self._account = backend, launcher, region, account
        self._found: dict[tuple[str, str], InstanceView] | None = None
        self._changes = 0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Something changed (ControlPlane.on_change)."""
        with self._lock:
            self._found, self._changes = None, self._changes + 1

    def lookup(self, network: str) -> Callable[[str], InstanceView | None]:
        """Who has a private address in a network; for MetadataService."""
        return lambda address: self._all().get((network, address))

    def _all(self) -> Mapping[tuple[str, str], InstanceView]:
        with self._lock:
            if self._found is not None:
                return self._found
            before = self._changes
        found = self._read()
        with self._lock:
            if self._changes == before:
                self._found = found
        return found

    def _read(self) -> dict[tuple[str, str], InstanceView]:
        running = self._launcher.running()
        interfaces = self._launcher.interfaces.all()
        public = self._launcher.addresses.effective()
        subnets = {text(item, "SubnetId"): item for item in records(self._ask("DescribeSubnets"), "Subnets")}
        networks = {text(item, "VpcId"): item for item in records(self._ask("DescribeVpcs"), "Vpcs")}
        found: dict[tuple[str, str], InstanceView] = {}
        for instance in running:
            shown = tuple(
                _interface_view(
                    interfaces[item.interface],
                    item.device,
                    subnets,
                    networks,
                    {t.private_address: ip for ip, t in public.items() if t.interface == item.interface},
                )
                for item in sorted(instance.attachments, key=lambda item: item.device)
                if item.interface in interfaces  # it may have ended since
            )
            if not shown:
                continue
            view = self._view(instance, shown, text(subnets[instance.subnet], "AvailabilityZoneId"))
            found |= {(one.network, address): view for one in shown for address in one.addresses}
        return found

    def _ask(self, action: str) -> Document:
        return self._backend("ec2", action, {})

    def _view(self, instance: Instance, interfaces: tuple[InterfaceView, ...], zone_id: str) -> InstanceView:
        return InstanceView(
            id=instance.id,
            reservation=instance.reservation,
            image=instance.image,
            type=instance.type,
            architecture=instance.architecture,
            zone=instance.zone,
            zone_id=zone_id,
            region=self._region,
            account=self._account,
            launched=instance.launched,
            user_data=base64.b64decode(instance.user_data) if instance.user_data else None,
            options=instance.metadata,
            profile=instance.profile,
            tags=instance.tags,
            interfaces=interfaces,
        )


def _interface_view(
    interface: Document,
    device: int,
    subnets: Mapping[str, Document],
    networks: Mapping[str, Document],
    public: Mapping[str, str],
) -> InterfaceView:
    subnet, network = text(interface, "SubnetId"), text(interface, "VpcId")
    blocks = [text(item, "CidrBlock") for item in records(networks[network], "CidrBlockAssociationSet")]
    return InterfaceView(
        id=text(interface, "NetworkInterfaceId"),
        mac=text(interface, "MacAddress"),
        device=device,
        addresses=tuple(text(item, "PrivateIpAddress") for item in records(interface, "PrivateIpAddresses")),
        prefixes=tuple(text(item, "Ipv4Prefix") for item in records(interface, "Ipv4Prefixes")),
        public=tuple(sorted(public.items())),
        groups=tuple((text(item, "GroupId"), text(item, "GroupName")) for item in records(interface, "Groups")),
        subnet=subnet,
        subnet_cidr=text(subnets[subnet], "CidrBlock"),
        network=network,
        network_cidrs=tuple(dict.fromkeys([text(networks[network], "CidrBlock"), *blocks])),
    )


class InstanceRoles:
    """The role that an instance's profile holds, and its credentials, made anew before they expire."""

    def __init__(self, backend: Backend, mint: Mint) -> None:
        self._backend, self._mint = backend, mint
        self._given: dict[tuple[str, str], RoleCredentials] = {}
        self._lock = threading.Lock()

    def role_of(self, view: InstanceView) -> str | None:
        found = self._role(view)
        return text(found, "RoleName") if found else None

    def credentials_of(self, view: InstanceView, role: str) -> RoleCredentials:
        """Raises Refused when the role has gone meanwhile."""
        with self._lock:
            given = self._given.get((view.id, role))
            if given is None or given.expires - datetime.now(UTC) < RENEW_BEFORE:
                found = self._role(view)
                if found is None or text(found, "RoleName") != role:
                    raise Refused("NoSuchEntity", f"{view.id} has no role {role}")
                given = self._given[view.id, role] = self._mint(
                    text(found, "Arn"), view.id, int(LIFETIME.total_seconds())
                )
            return given

    def _role(self, view: InstanceView) -> Document | None:
        name = view.profile.rsplit("/", 1)[-1]
        try:
            profile = record(
                self._backend("iam", "GetInstanceProfile", {"InstanceProfileName": name}), "InstanceProfile"
            )
        except Refused as exc:
            if exc.code != "NoSuchEntity":
                raise
            return None
        roles = records(profile, "Roles")
        return roles[0] if roles else None


def minted_by(control: ControlPlane) -> Mint:
    """Credentials from the control plane's own STS."""

    def mint(role: str, session: str, seconds: int) -> RoleCredentials:
        made = control.session_for_role(role, session, seconds)
        if made.token is None or made.expires is None:
            raise Refused("InternalFailure", f"the credentials of {role} came without a session")
        return RoleCredentials(
            role=role.rsplit("/", 1)[-1],
            access_key=made.access_key,
            secret=made.secret,
            token=made.token,
            updated=datetime.now(UTC),
            expires=made.expires.astimezone(UTC),
        )

    return mint
