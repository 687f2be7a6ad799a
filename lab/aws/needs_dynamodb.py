"""DynamoDB: tables to ARNs, and the partition keys that a request touches (dynamodb:LeadingKeys).

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.aws.call import Call, Parameters, Value, json_body
from lab.aws.names import ACCOUNT
from lab.aws.needs import Need, Resources, UnknownNeedError

_ITEM = frozenset({"GetItem", "PutItem", "UpdateItem", "DeleteItem"})
_ON_NOTHING = frozenset({"ListTables", "DescribeLimits", "DescribeEndpoints"})
# Transactions are authorised as what is in them:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
_IN_TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
_TERM = re.compile(r"(#?[\w.-]+)\s*=\s*(:\w+)")


def needs(call: Call, resources: Resources) -> tuple[Need, ...]:
    asked = json_body(call)
    action = call.action
    if action in _ON_NOTHING:
        return (Need(action=f"dynamodb:{action}"),)
    if action in ("TransactWriteItems", "TransactGetItems"):
        return tuple(_in_transaction(call, asked, resources))
    if action in ("BatchGetItem", "BatchWriteItem"):
        return tuple(_in_batch(call, asked, resources))
    if action.startswith(("ExecuteStatement", "ExecuteTransaction", "BatchExecuteStatement")):
        raise UnknownNeedError("PartiQL is not part of the lab")
    table = _name(asked)
    context: dict[str, tuple[str, ...]] = {}
    if action in _ITEM:
        context["dynamodb:leadingkeys"] = (_leading(asked, table, resources),)
    if action == "Query":
        context["dynamodb:leadingkeys"] = (_queried(asked, table, resources),)
    if action in ("Query", "Scan") and "Select" in asked:
        context["dynamodb:select"] = (str(asked["Select"]),)
    arn = _arn(call.region, table)
    if action in ("Query", "Scan") and "IndexName" in asked:
        arn += f"/index/{asked['IndexName']}"
    return (Need(action=f"dynamodb:{action}", resources=(arn,), context=context),)


def _in_transaction(call: Call, asked: Parameters, resources: Resources) -> Iterator[Need]:
    for item in _rows(asked.get("TransactItems")):
        for kind, part in item.items():
            if not isinstance(part, dict) or kind not in _IN_TRANSACTIONS:
                raise UnknownNeedError(f"a transaction holds {kind!r}")
            table = _name(part)
            context = {
                "dynamodb:leadingkeys": (_leading(part, table, resources),),
                "dynamodb:enclosingoperation": (call.action,),
            }
            action = f"dynamodb:{_IN_TRANSACTIONS[kind]}"
            yield Need(action=action, resources=(_arn(call.region, table),), context=context)


def _in_batch(call: Call, asked: Parameters, resources: Resources) -> Iterator[Need]:
    tables = asked.get("RequestItems")
    for named, wanted in tables.items() if isinstance(tables, dict) else ():
        table = named.rpartition("/")[2]
        rows = _rows(wanted.get("Keys")) if isinstance(wanted, dict) else [_only(row) for row in _rows(wanted)]
        reads = isinstance(wanted, dict)
        keys = tuple(_leading({"Key": row} if reads else row, table, resources) for row in rows)
        context = {"dynamodb:leadingkeys": keys}
        yield Need(action=f"dynamodb:{call.action}", resources=(_arn(call.region, table),), context=context)


def _only(row: Parameters) -> Parameters:
    """The PutRequest or DeleteRequest in a row of BatchWriteItem."""
    inner = next(iter(row.values()), None)
    return inner if isinstance(inner, dict) else {}


def _leading(part: Parameters, table: str, resources: Resources) -> str:
    item = part.get("Key") or part.get("Item")
    name = resources.partition_key(table)
    if name is None or not isinstance(item, dict):
        return ""  # no such table, or no key: DynamoDB itself refuses it
    return _text(item.get(name))


def _queried(asked: Parameters, table: str, resources: Resources) -> str:
    """The partition key's value in a Query: `pk = :value`, or the old KeyConditions."""
    name = resources.partition_key(table) or ""
    if "IndexName" in asked:
        raise UnknownNeedError("the leading key of an index is not known to the lab")
    names, values = asked.get("ExpressionAttributeNames"), asked.get("ExpressionAttributeValues")
    for left, right in _TERM.findall(str(asked.get("KeyConditionExpression", ""))):
        real = names.get(left) if isinstance(names, dict) and left.startswith("#") else left
        if real == name and isinstance(values, dict):
            return _text(values.get(right))
    old = asked.get("KeyConditions")
    condition = old.get(name) if isinstance(old, dict) else None
    return _text(_rows_or_values(condition.get("AttributeValueList"))[0]) if isinstance(condition, dict) else ""


def _rows_or_values(value: Value) -> list[Value]:
    return value if isinstance(value, list) and value else [None]


def _text(typed: Value) -> str:
    """{"S": "x"} -> "x"."""
    return str(next(iter(typed.values()), "")) if isinstance(typed, dict) else ""


def _rows(value: Value) -> list[Parameters]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _name(asked: Parameters) -> str:
    return str(asked.get("TableName") or asked.get("ResourceArn") or "").rpartition("/")[2]


def _arn(region: str, table: str) -> str:
    return f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/{table}"
