"""Tables; their items are in dynamodb_item.py."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import listed, mapped, removed
from .json_path import fields, flag, given, number, rows, text
from .patience import found, until
from .resource import Change, Problem, ResourceType, words
from .values import Json

_SERVICE, _WAIT = "dynamodb", 1800  # the real provider's timeout for a table, 30 minutes


def _create(api: Api, inputs: Json) -> str:
    keys = [("hashKey", "HASH"), ("rangeKey", "RANGE")]
    schema = [{"AttributeName": inputs[name], "KeyType": kind} for name, kind in keys if inputs.get(name)]
    definitions = [
        {"AttributeName": entry["name"], "AttributeType": entry["type"]} for entry in rows(inputs, "attributes")
    ]
    api.call(
        _SERVICE,
        "create_table",
        TableName=inputs["name"],
        KeySchema=schema,
        AttributeDefinitions=definitions,
        **given(
            BillingMode=inputs.get("billingMode"),
            ProvisionedThroughput=_throughput(inputs),
            SSESpecification=_encryption(inputs),
            DeletionProtectionEnabled=inputs.get("deletionProtectionEnabled"),
            Tags=listed(inputs.get("tags")) or None,
        ),
    )
    return str(inputs["name"])


def _throughput(inputs: Json) -> Json | None:
    if inputs.get("billingMode") == "PAY_PER_REQUEST":
        return None
    return {"ReadCapacityUnits": inputs.get("readCapacity"), "WriteCapacityUnits": inputs.get("writeCapacity")}


def _encryption(inputs: Json) -> Json | None:
    """`enabled` means a key of KMS: AWS's own for the account, or the named one."""
    wanted = fields(inputs, "serverSideEncryption")
    if not flag(wanted, "enabled"):
        return None
    return given(Enabled=True, SSEType="KMS", KMSMasterKeyId=wanted.get("kmsKeyArn"))


def _finish(api: Api, identifier: str, inputs: Json) -> None:
    _until_active(api, identifier)
    if flag(inputs, "ttl", "enabled"):
        _set_ttl(api, identifier, fields(inputs, "ttl"))
    if flag(inputs, "pointInTimeRecovery", "enabled"):
        _set_recovery(api, identifier, inputs)


def _resume(api: Api, identifier: str, inputs: Json) -> None:
    """DynamoDB refuses to enable a time to live that is enabled."""
    found = fields(api.call(_SERVICE, "describe_time_to_live", TableName=identifier), "TimeToLiveDescription")
    on = text(found, "TimeToLiveStatus") in ("ENABLED", "ENABLING")
    _finish(api, identifier, {name: value for name, value in inputs.items() if name != "ttl" or not on})


def _until_active(api: Api, identifier: str) -> None:
    until(lambda: text(_one(api, identifier), "TableStatus") == "ACTIVE", _WAIT, f"{identifier} is not active")


def _set_ttl(api: Api, identifier: str, ttl: Json) -> None:
    setting = {"AttributeName": ttl.get("attributeName"), "Enabled": ttl.get("enabled", False)}
    api.call(_SERVICE, "update_time_to_live", TableName=identifier, TimeToLiveSpecification=setting)


def _set_recovery(api: Api, identifier: str, inputs: Json) -> None:
    wanted = {"PointInTimeRecoveryEnabled": flag(inputs, "pointInTimeRecovery", "enabled")}
    api.call(_SERVICE, "update_continuous_backups", TableName=identifier, PointInTimeRecoverySpecification=wanted)


def _one(api: Api, identifier: str) -> Json | None:
    answer = found(lambda: api.call(_SERVICE, "describe_table", TableName=identifier))
    return fields(answer, "Table") if answer else None


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    table = _one(api, identifier)
    if table is None:
        return None
    arn = text(table, "TableArn")
    keys = {text(key, "KeyType"): text(key, "AttributeName") for key in rows(table, "KeySchema")}
    backups = api.call(_SERVICE, "describe_continuous_backups", TableName=identifier)
    recovery = fields(backups, "ContinuousBackupsDescription", "PointInTimeRecoveryDescription")
    ttl = fields(api.call(_SERVICE, "describe_time_to_live", TableName=identifier), "TimeToLiveDescription")
    return {
        "arn": arn,
        "name": identifier,
        "hashKey": keys.get("HASH"),
        "rangeKey": keys.get("RANGE"),
        "attributes": [
            {"name": text(entry, "AttributeName"), "type": text(entry, "AttributeType")}
            for entry in rows(table, "AttributeDefinitions")
        ],
        "billingMode": text(table, "BillingModeSummary", "BillingMode") or "PROVISIONED",
        "readCapacity": number(table, "ProvisionedThroughput", "ReadCapacityUnits"),
        "writeCapacity": number(table, "ProvisionedThroughput", "WriteCapacityUnits"),
        "deletionProtectionEnabled": flag(table, "DeletionProtectionEnabled"),
        "pointInTimeRecovery": {
            "enabled": text(recovery, "PointInTimeRecoveryStatus") == "ENABLED",
            "recoveryPeriodInDays": number(recovery, "RecoveryPeriodInDays"),
        },
        "serverSideEncryption": {
            "enabled": text(table, "SSEDescription", "Status") == "ENABLED",
            "kmsKeyArn": text(table, "SSEDescription", "KMSMasterKeyArn"),
        },
        "ttl": {
            "enabled": text(ttl, "TimeToLiveStatus") in ("ENABLED", "ENABLING"),
            "attributeName": text(ttl, "AttributeName"),
        },
        "streamArn": text(table, "LatestStreamArn"),
        "streamLabel": text(table, "LatestStreamLabel"),
        "streamViewType": text(table, "StreamSpecification", "StreamViewType"),
        "tableClass": text(table, "TableClassSummary", "TableClass") or "STANDARD",
        "tags": mapped(api.call(_SERVICE, "list_tags_of_resource", ResourceArn=arn).get("Tags")),
    }


def _update(api: Api, change: Change) -> None:
    which = {"TableName": change.id}
    if change.names & {"billingMode", "readCapacity", "writeCapacity"}:
        mode = given(BillingMode=change.new.get("billingMode"), ProvisionedThroughput=_throughput(change.new))
        api.call(_SERVICE, "update_table", **which, **mode)
        _until_active(api, change.id)
    if "deletionProtectionEnabled" in change.names:
        protected = flag(change.new, "deletionProtectionEnabled")
        api.call(_SERVICE, "update_table", **which, DeletionProtectionEnabled=protected)
    if "serverSideEncryption" in change.names:
        api.call(_SERVICE, "update_table", **which, SSESpecification=_encryption(change.new) or {"Enabled": False})
        _until_active(api, change.id)
    if "ttl" in change.names:
        wanted = fields(change.new, "ttl") or {**fields(change.old, "ttl"), "enabled": False}
        _set_ttl(api, change.id, wanted)
    if "pointInTimeRecovery" in change.names:
        _set_recovery(api, change.id, change.new)
    _retag(api, change)


def _retag(api: Api, change: Change) -> None:
    arn = change.state.get("arn")
    if gone := removed(change):
        api.call(_SERVICE, "untag_resource", ResourceArn=arn, TagKeys=gone)
    if "tags" in change.names and (tags := listed(change.new.get("tags"))):
        api.call(_SERVICE, "tag_resource", ResourceArn=arn, Tags=tags)


def _delete(api: Api, identifier: str, _state: Json) -> None:
    api.call(_SERVICE, "delete_table", TableName=identifier)
    until(lambda: _one(api, identifier) is None, _WAIT, f"{identifier} is not deleted")


def _name(inputs: Json) -> Iterator[Problem]:
    """CreateTable: 3 to 255 of a set of characters (Constraints in Amazon DynamoDB, naming rules)."""
    name = inputs.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", name):
        yield Problem("name", f"3 to 255 of a-z, A-Z, 0-9 and _.-, got {name}")


def _keys(inputs: Json) -> Iterator[Problem]:
    """CreateTable: the attributes that are defined are exactly those of the keys."""
    keys = {text(inputs, name) for name in ("hashKey", "rangeKey") if text(inputs, name)}
    defined = [text(entry, "name") for entry in rows(inputs, "attributes")]
    if not inputs.get("hashKey"):
        yield Problem("hashKey", "missing: a table needs a partition key")
    if keys != set(defined) and len(defined) == len(rows(inputs, "attributes")):
        yield Problem("attributes", f"must define the key attributes and no others: {sorted(keys)}")


def _billing(inputs: Json) -> Iterator[Problem]:
    """CreateTable: provisioned tables have capacities of at least 1, tables on demand have none."""
    mode = inputs.get("billingMode", "PROVISIONED")
    for name in ("readCapacity", "writeCapacity"):
        if mode == "PAY_PER_REQUEST" and inputs.get(name):
            yield Problem(name, "does not go with PAY_PER_REQUEST")
        if mode == "PROVISIONED" and number(inputs, name) < 1 and not isinstance(mode, dict):
            yield Problem(name, "must be at least 1 with PROVISIONED")


def _ttl(inputs: Json) -> Iterator[Problem]:
    """UpdateTimeToLive: an attribute's name of 1 to 255 characters."""
    ttl = fields(inputs, "ttl")
    name = ttl.get("attributeName", "")
    if flag(ttl, "enabled") and isinstance(name, str) and not 1 <= len(name) <= 255:
        yield Problem("ttl.attributeName", "1 to 255 characters where ttl is enabled")


TABLE = ResourceType(
    token="aws:dynamodb/table:Table",  # noqa: S106
    create=_create,
    finish=_finish,
    resume=_resume,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("name hashKey rangeKey"),
    in_place=words(
        "billingMode readCapacity writeCapacity attributes deletionProtectionEnabled pointInTimeRecovery.enabled "
        "serverSideEncryption.enabled serverSideEncryption.kmsKeyArn ttl.attributeName ttl.enabled tags"
    ),
    named="name",
    rules=(_name, _keys, _billing, _ttl),
)

TYPES = (TABLE,)
