"""What Amazon's DynamoDB Local lacks of the real one, around it.

It keeps no tags, no encryption key and no point-in-time recovery, names its tables' ARNs in a region of its own, and
never answers TransactionConflict, which the real one does and boto3 does not retry.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lab.aws import call as calls
from lab.aws.call import Answer, Call, Parameters, Value
from lab.aws.names import ACCOUNT, REGION

# How DynamoDB Local and AWS begin the ARN of a table.
LOCAL, REAL = b"arn:aws:dynamodb:ddblocal:000000000000:", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:".encode()
_CONFLICT = "Transaction is ongoing for the item"
_TYPE = "com.amazonaws.dynamodb.v20120810#"


@dataclass
class _Beside:
    """What is kept beside a table of DynamoDB Local."""

    tags: dict[str, str] = field(default_factory=dict[str, str])
    key: str | None = None  # of the encryption at rest, None: DynamoDB's own
    recovery_since: datetime | None = None
    partition_key: str | None = None


class Tables:
    """Answers DynamoDB's calls; `conflicts` is the share of transactions refused, the same ones for the same seed."""

    def __init__(self, local: Callable[[Call], Answer], *, conflicts: float, seed: int) -> None:
        self._local, self._conflicts = local, conflicts
        self._random = random.Random(seed)  # noqa: S311 (a repeatable fault, not a secret)
        self._lock = threading.Lock()
        self._beside: dict[str, _Beside] = {}

    def partition_key(self, table: str) -> str | None:
        """The name of a table's partition key, None when there is no such table."""
        beside = self._beside.get(table)
        return beside.partition_key if beside else None

    def answer(self, call: Call) -> Answer:
        own = {
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsOfResource": self._tags,
            "DescribeContinuousBackups": self._backups,
            "UpdateContinuousBackups": self._set_backups,
        }.get(call.action)
        if own:
            return own(call, calls.json_body(call))
        if call.action == "TransactWriteItems" and self._conflict():
            return conflict(call)
        answer = self._local(replace(call, body=call.body.replace(REAL, LOCAL)))
        answer = replace(answer, body=answer.body.replace(LOCAL, REAL), headers=_without_checksum(answer.headers))
        return self._described(call, answer) if "Table" in call.action and answer.status == 200 else answer

    def _conflict(self) -> bool:
        with self._lock:
            return self._random.random() < self._conflicts

    def _described(self, call: Call, answer: Answer) -> Answer:
        """CreateTable, DescribeTable, UpdateTable, DeleteTable: what is kept beside goes in and comes back."""
        asked = calls.json_body(call)
        name = str(asked.get("TableName", "")).rpartition("/")[2]
        if call.action == "DeleteTable":
            self._beside.pop(name, None)
            return answer
        if call.action not in ("CreateTable", "DescribeTable", "UpdateTable"):
            return answer
        beside = self._beside.setdefault(name, _Beside())
        if call.action == "CreateTable":
            beside.tags = _tag_map(asked.get("Tags"))
        encryption = asked.get("SSESpecification")
        if isinstance(encryption, dict):
            enabled = bool(encryption.get("Enabled"))
            beside.key = str(encryption.get("KMSMasterKeyId") or "alias/aws/dynamodb") if enabled else None
        document = json.loads(answer.body)
        table = document.get("Table") or document["TableDescription"]
        beside.partition_key = next(one["AttributeName"] for one in table["KeySchema"] if one["KeyType"] == "HASH")
        if beside.key:
            table["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": beside.key}
        return replace(answer, body=json.dumps(document).encode())

    def _tag(self, call: Call, asked: Parameters) -> Answer:
        return self._with_table(call, asked, lambda beside: beside.tags.update(_tag_map(asked.get("Tags"))) or {})

    def _untag(self, call: Call, asked: Parameters) -> Answer:
        gone = asked.get("TagKeys")
        names = {str(name) for name in gone} if isinstance(gone, list) else set[str]()

        def untag(beside: _Beside) -> Mapping[str, object]:
            beside.tags = {name: value for name, value in beside.tags.items() if name not in names}
            return {}

        return self._with_table(call, asked, untag)

    def _tags(self, call: Call, asked: Parameters) -> Answer:
        return self._with_table(
            call,
            asked,
            lambda beside: {"Tags": [{"Key": name, "Value": value} for name, value in beside.tags.items()]},
        )

    def _backups(self, call: Call, asked: Parameters) -> Answer:
        return self._with_table(call, asked, _backups_description)

    def _set_backups(self, call: Call, asked: Parameters) -> Answer:
        wanted = asked.get("PointInTimeRecoverySpecification")
        enabled = isinstance(wanted, dict) and bool(wanted.get("PointInTimeRecoveryEnabled"))

        def enable(beside: _Beside) -> Mapping[str, object]:
            beside.recovery_since = (beside.recovery_since or datetime.now(UTC)) if enabled else None
            return _backups_description(beside)

        return self._with_table(call, asked, enable)

    def _with_table(self, call: Call, asked: Parameters, act: Callable[[_Beside], Mapping[str, object]]) -> Answer:
        name = str(asked.get("TableName") or asked.get("ResourceArn") or "").rpartition("/")[2]
        if name not in self._beside:
            code = "TableNotFoundException" if "Backups" in call.action else "ResourceNotFoundException"
            return calls.fault(call, code, f"Requested resource not found: Table: {name} not found")
        return calls.answer(call, act(self._beside[name]))


def conflict(call: Call) -> Answer:
    """A transaction that met another one on its first item."""
    items = calls.json_body(call).get("TransactItems")
    count = len(items) if isinstance(items, list) else 1
    codes = ["TransactionConflict"] + ["None"] * (count - 1)
    reasons = [{"Code": code, "Message": _CONFLICT} if code != "None" else {"Code": code} for code in codes]
    why = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(codes)}]"
    body = {"__type": _TYPE + "TransactionCanceledException", "Message": why, "CancellationReasons": reasons}
    return Answer(status=400, headers={"Content-Type": "application/x-amz-json-1.0"}, body=json.dumps(body).encode())


def _backups_description(beside: _Beside) -> Mapping[str, object]:
    since = beside.recovery_since
    recovery: dict[str, object] = {"PointInTimeRecoveryStatus": "ENABLED" if since else "DISABLED"}
    if since:
        recovery |= {"EarliestRestorableDateTime": since, "LatestRestorableDateTime": datetime.now(UTC)}
        recovery |= {"RecoveryPeriodInDays": 35}
    description = {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}
    return {"ContinuousBackupsDescription": description}


def _tag_map(tags: Value) -> dict[str, str]:
    rows = tags if isinstance(tags, list) else []
    return {str(tag["Key"]): str(tag["Value"]) for tag in rows if isinstance(tag, dict)}


def _without_checksum(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksum and length of a body that may have been rewritten."""
    return {name: value for name, value in headers.items() if name.lower() not in ("x-amz-crc32", "content-length")}
