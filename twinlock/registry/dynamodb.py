"""The only file that speaks to DynamoDB."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]
from botocore.parsers import ResponseParserError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.registry import keys
from twinlock.registry.aws_errors import code_of, explained
from twinlock.registry.errors import Corrupt, Unavailable
from twinlock.registry.table import Check, Condition, Delete, Item, Key, LostRace, Put, Value, Write, key_of

Wire = Mapping[str, object]

BATCH = 100  # keys of one BatchGetItem
_PATIENCE = 20  # answers "in progress" or "unprocessed" before giving up


class DynamoDB(Protocol):
    """What is used of the client of DynamoDB."""

    def get_item(self, **arguments: object) -> Wire: ...
    def put_item(self, **arguments: object) -> Wire: ...
    def query(self, **arguments: object) -> Wire: ...
    def batch_get_item(self, **arguments: object) -> Wire: ...
    def transact_write_items(self, **arguments: object) -> Wire: ...


@dataclass(frozen=True)
class DynamoTable:
    """A registry's Table that is one DynamoDB table."""

    name: str
    client: DynamoDB = field(repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def get(self, key: Key) -> Item | None:
        answer = self._call(self.client.get_item, Key=_wire_key(key), ConsistentRead=True)
        found = answer.get("Item")
        return None if found is None else decode(cast(Wire, found))

    def get_many(self, wanted: Iterable[Key]) -> dict[Key, Item]:
        """The items that exist, by key."""
        found: dict[Key, Item] = {}
        for batch in _batches(dict.fromkeys(wanted)):
            for item in self._batch(batch):
                found[key_of(item)] = item
        return found

    def query(self, partition: str, first: str | None = None, last: str | None = None) -> Iterator[Item]:
        """A partition's items by sort key, between `first` and `last` (both included) where given."""
        arguments = _query_arguments(partition, first, last)
        while True:
            answer = self._call(self.client.query, ConsistentRead=True, **arguments)
            for item in cast(Sequence[Wire], answer["Items"]):
                yield decode(item)
            after = answer.get("LastEvaluatedKey")
            if after is None:
                return
            arguments["ExclusiveStartKey"] = after

    def put(self, item: Item, condition: Condition | None = None) -> Item | None:
        """None if it was written, else the item that is there and failed the condition."""
        arguments: dict[str, object] = {"Item": encode(item), **_rendered(condition)}
        if condition is not None:
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            self._call(self.client.put_item, **arguments)
        except ClientError as exc:
            found = cast(Wire, exc.response).get("Item")
            if found is None:  # it vanished between the check and the answer
                raise LostRace(f"{key_of(item)} changed while it was written") from exc
            return decode(cast(Wire, found))
        return None

    def transact(self, writes: Sequence[Write]) -> None:
        """All or nothing. LostRace if a condition failed or another transaction was under way."""
        arguments: dict[str, object] = {
            "TransactItems": [self._act(write) for write in writes],
            "ClientRequestToken": uuid.uuid4().hex,  # a repeat of the same call after a lost answer does nothing
        }
        for _ in range(_PATIENCE):
            try:
                self._untranslated(self.client.transact_write_items, arguments)
            except ClientError as exc:
                if code_of(exc) == "TransactionInProgressException":
                    self.sleep(0.1)
                    continue
                if _lost(exc):
                    raise LostRace("somebody else changed the same items") from exc
                raise explained(exc, f"table {self.name}") from exc
            return
        raise Unavailable(f"table {self.name}: a transaction is still in progress; look before trying again")

    def _batch(self, batch: Sequence[Key]) -> Iterator[Item]:
        request: object = {self.name: {"Keys": [_wire_key(k) for k in batch], "ConsistentRead": True}}
        for attempt in range(_PATIENCE):
            answer = self._untabled(self.client.batch_get_item, {"RequestItems": request})
            for item in cast(Mapping[str, Sequence[Wire]], answer["Responses"]).get(self.name, ()):
                yield decode(item)
            request = answer.get("UnprocessedKeys")
            if not request:
                return
            self.sleep(min(2.0, 0.05 * 2**attempt))
        raise Unavailable(f"table {self.name} answers only a part of what it is asked: it is throttled; try later")

    def _act(self, write: Write) -> Wire:
        match write:
            case Put(item, condition):
                return {"Put": {"TableName": self.name, "Item": encode(item), **_rendered(condition)}}
            case Delete(key, condition):
                return {"Delete": {"TableName": self.name, "Key": _wire_key(key), **_rendered(condition)}}
            case Check(key, condition):
                return {"ConditionCheck": {"TableName": self.name, "Key": _wire_key(key), **_rendered(condition)}}

    def _call(self, method: Callable[..., Wire], **arguments: object) -> Wire:
        return self._untabled(method, {"TableName": self.name, **arguments})

    def _untabled(self, method: Callable[..., Wire], arguments: Mapping[str, object]) -> Wire:
        try:
            return self._untranslated(method, arguments)
        except ClientError as exc:
            if code_of(exc) == "ConditionalCheckFailedException":
                raise
            raise explained(exc, f"table {self.name}") from exc

    def _untranslated(self, method: Callable[..., Wire], arguments: Mapping[str, object]) -> Wire:
        try:
            return method(**arguments)
        except (BotoCoreError, ResponseParserError) as exc:
            raise explained(exc, f"table {self.name}") from exc


def encode(item: Item) -> dict[str, object]:
    """Plain values to DynamoDB's wire form."""
    return {name: _encoded(value) for name, value in item.items()}


def decode(wire: Wire) -> dict[str, Value]:
    """DynamoDB's wire form to plain values; Corrupt if it is of a kind that is never written here."""
    return {name: _decoded(name, cast(Wire, value)) for name, value in wire.items()}


def _encoded(value: Value) -> object:
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case tuple():
            return {"L": [{"S": entry} for entry in value]}
        case _:
            return {"M": {name: {"N": str(entry)} for name, entry in value.items()}}


def _decoded(name: str, wire: Wire) -> Value:
    try:
        match dict(wire):
            case {"S": str(found)}:
                return found
            case {"N": str(found)}:
                return int(found)
            case {"BOOL": bool(found)}:
                return found
            case {"L": found}:
                return tuple(entry["S"] for entry in cast(Sequence[Mapping[str, str]], found))
            case {"M": found}:
                return {key: int(entry["N"]) for key, entry in cast(Mapping[str, Mapping[str, str]], found).items()}
            case _:
                pass
    except (KeyError, ValueError, TypeError, AttributeError):
        pass
    raise Corrupt(f"attribute {name} holds a kind of value that this version never writes")


def _wire_key(key: Key) -> dict[str, object]:
    return {keys.PARTITION: {"S": key[0]}, keys.SORT: {"S": key[1]}}


def _batches(wanted: Iterable[Key]) -> Iterator[list[Key]]:
    rest = iter(wanted)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _query_arguments(partition: str, first: str | None, last: str | None) -> dict[str, object]:
    expression, values = "#p = :p", {":p": {"S": partition}}
    names = {"#p": keys.PARTITION}
    if first is not None and last is not None:
        expression += " AND #s BETWEEN :f AND :l"
        values |= {":f": {"S": first}, ":l": {"S": last}}
        names["#s"] = keys.SORT
    return {
        "KeyConditionExpression": expression,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _rendered(condition: Condition | None) -> dict[str, object]:
    if condition is None:
        return {}
    parts: list[str] = []
    names: dict[str, str] = {}
    values: dict[str, object] = {}
    for index, (operator, attribute, value) in enumerate(condition.clauses):
        names[f"#n{index}"] = attribute
        if operator == "absent":
            parts.append(f"attribute_not_exists(#n{index})")
        else:
            parts.append(f"#n{index} {operator} :v{index}")
            values[f":v{index}"] = _encoded(value)
    rendered: dict[str, object] = {"ConditionExpression": " OR ".join(parts), "ExpressionAttributeNames": names}
    return rendered | ({"ExpressionAttributeValues": values} if values else {})


_RACES = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
_CALM = frozenset({"None", "ThrottlingError", "ProvisionedThroughputExceeded"}) | _RACES


def _lost(exc: ClientError) -> bool:
    """Whether reading and trying again is the answer to a cancelled transaction."""
    if code_of(exc) == "TransactionConflictException":
        return True
    reasons = cast(Sequence[Mapping[str, str]], cast(Wire, exc.response).get("CancellationReasons", ()))
    codes = {reason.get("Code", "None") for reason in reasons}
    return code_of(exc) == "TransactionCanceledException" and codes <= _CALM and codes != {"None"}
