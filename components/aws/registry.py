"""The registry's table, what it says of the environment, and the record by which the command finds it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.dynamodb._inputs import (
    TableAttributeArgs,
    TablePointInTimeRecoveryArgs,
    TableTtlArgs,
)
from pulumi_aws.dynamodb.table import Table
from pulumi_aws.dynamodb.table_item import TableItem
from pulumi_aws.ssm.parameter import Parameter

from components.aws.tags import tags
from twinlock.registry import keys

DISCOVERY_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    environment: str
    region: str
    table: str
    discovery: str
    protect: bool


class Registry(ComponentResource):
    """Peers come and go in it without the program."""

    table: Table
    discovery: Parameter

    def __init__(self, name: str, args: RegistryArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("twinlock:aws:Registry", name, None, opts)
        self._name, self._args = name, args
        self.table = self._table()
        self.discovery = self._discovery()
        self.register_outputs({"table": self.table.name, "discovery": self.discovery.name})

    def define(self, definition: pulumi.Output[str]) -> TableItem:
        """Writes what the environment is (definition_to_json) as an item that is the deployer's."""
        return TableItem(
            f"{self._name}-definition",
            table_name=self.table.name,
            hash_key=keys.PARTITION,
            range_key=keys.SORT,
            item=definition.apply(_definition_item),
            opts=ResourceOptions(parent=self),
        )

    def launches(self, slot: str, template: pulumi.Output[str], rolling: str, after: pulumi.Resource) -> TableItem:
        """Writes what the slot's group launches from now on: its gateway sees whether it is outdated."""
        return TableItem(
            f"{self._name}-launch-{slot}",
            table_name=self.table.name,
            hash_key=keys.PARTITION,
            range_key=keys.SORT,
            item=template.apply(lambda digest: _launch_item(slot, digest, rolling)),
            opts=ResourceOptions(parent=self, depends_on=[after]),
        )

    def _table(self) -> Table:
        """Encrypted by DynamoDB's own key: it holds public keys, and what is secret in it is wrapped already."""
        args = self._args
        return Table(
            f"{self._name}-registry",
            name=args.table,
            billing_mode="PAY_PER_REQUEST",
            hash_key=keys.PARTITION,
            range_key=keys.SORT,
            attributes=[TableAttributeArgs(name=name, type="S") for name in (keys.PARTITION, keys.SORT)],
            ttl=TableTtlArgs(attribute_name=keys.TTL, enabled=True),
            point_in_time_recovery=TablePointInTimeRecoveryArgs(enabled=True),
            deletion_protection_enabled=args.protect,
            tags=tags(args.environment, "registry", args.table),
            opts=ResourceOptions(parent=self, protect=args.protect),
        )

    def _discovery(self) -> Parameter:
        args = self._args
        record = {
            "version": DISCOVERY_VERSION,
            "environment": args.environment,
            "region": args.region,
            "table": args.table,
        }
        return Parameter(
            f"{self._name}-discovery",
            name=args.discovery,
            type="String",
            description=f"Where the twinlock command finds the environment {args.environment}",
            value=json.dumps(record, sort_keys=True),
            tags=tags(args.environment, "registry", args.discovery),
            opts=ResourceOptions(parent=self),
        )


def _definition_item(definition: str) -> str:
    attributes = {keys.PARTITION: keys.DEFINITION, keys.SORT: keys.DEFINITION_SORT, keys.DEFINITION_JSON: definition}
    return json.dumps({name: {"S": value} for name, value in attributes.items()}, sort_keys=True)


def _launch_item(slot: str, template: str, rolling: str) -> str:
    attributes = {keys.PARTITION: keys.LAUNCH, keys.SORT: slot, "template": template, "rolling": rolling}
    return json.dumps({name: {"S": value} for name, value in attributes.items()}, sort_keys=True)
