"""The environment's key and the containers of the gateways' identities. No value comes from here."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.kms.alias import Alias
from pulumi_aws.kms.key import Key
from pulumi_aws.secretsmanager.secret import Secret

from components.aws import permissions
from components.aws.tags import tags
from components.plan import SlotPlan, way_secret

# Days in which a deletion can be taken back; 0 lets a development environment use the name again at once.
RECOVERY_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    environment: str
    region: str
    account: pulumi.Input[str]
    slots: tuple[SlotPlan, ...]
    service_secret: str
    principals: tuple[str, ...]  # of all tenants: they use the key through storage
    protect: bool


class Secrets(ComponentResource):
    """Gateways make their keys at boot and put them here; the program never sees one."""

    key: Key
    service: Secret
    ways: dict[str, Secret]  # by slot

    def __init__(self, name: str, args: SecretsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Secrets", name, None, opts)
        self._name, self._args = name, args
        self.key = self._key()
        self.service = self._container("service", args.service_secret, "identity of the service")
        self.ways = {slot.name: self._way(slot) for slot in args.slots}
        self.register_outputs({"keyArn": self.key.arn})

    def _key(self) -> Key:
        args = self._args
        key = Key(
            f"{self._name}-key",
            description=f"Twinlock environment {args.environment}",
            enable_key_rotation=True,
            deletion_window_in_days=RECOVERY_DAYS if args.protect else 7,
            policy=permissions.document(permissions.key(args.region, args.account, args.principals)),
            tags=self._tags("key"),
            opts=ResourceOptions(parent=self, protect=args.protect),
        )
        Alias(
            f"{self._name}-alias",
            name=f"alias/{self._name}",
            target_key_id=key.id,
            opts=ResourceOptions(parent=self),
        )
        return key

    def _way(self, slot: SlotPlan) -> Secret:
        return self._container(
            f"way-{slot.name}", way_secret(self._args.environment, slot.name), f"identity of the way to {slot.name}"
        )

    def _container(self, part: str, name: str, description: str) -> Secret:
        return Secret(
            f"{self._name}-{part}",
            name=name,
            description=f"Twinlock environment {self._args.environment}, {description}",
            kms_key_id=self.key.arn,
            recovery_window_in_days=RECOVERY_DAYS if self._args.protect else 0,
            tags=self._tags(part),
            opts=ResourceOptions(parent=self, protect=self._args.protect),
        )

    def _tags(self, part: str) -> dict[str, str]:
        return tags(self._args.environment, "secrets", f"{self._name}-{part}")
