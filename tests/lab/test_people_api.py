"""What the published policies refuse at the level of the API: the command is not asked, its user's keys are."""

from __future__ import annotations

import json
from collections.abc import Callable

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab import calls, clients
from lab.remote import LabError


class Person:
    """Somebody with a role's credentials and the API, and no wish to use `twinlock`."""

    def __init__(self, role: str) -> None:
        self._env = calls.credentials(role, local=True)
        self.id = self.client("sts").get_caller_identity()["UserId"]
        record = self.client("ssm").get_parameter(Name="/twinlock/lab/discovery")["Parameter"]["Value"]
        self.table = json.loads(record)["table"]
        self.db = self.client("dynamodb")

    def client(self, service: str):
        return boto3.client(
            service, region_name=self._env["AWS_REGION"], endpoint_url=self._env["AWS_ENDPOINT_URL"],
            verify=self._env["AWS_CA_BUNDLE"], aws_access_key_id=self._env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._env["AWS_SECRET_ACCESS_KEY"], aws_session_token=self._env["AWS_SESSION_TOKEN"],
            config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def put(self, partition: str) -> None:
        self.db.put_item(TableName=self.table, Item={"pk": {"S": partition}, "sk": {"S": "forged"}})

    def delete(self, partition: str) -> None:
        self.db.delete_item(TableName=self.table, Key={"pk": {"S": partition}, "sk": {"S": "forged"}})

    def update(self, partition: str) -> None:
        self.db.update_item(
            TableName=self.table, Key={"pk": {"S": partition}, "sk": {"S": "forged"}},
            UpdateExpression="SET x = :x", ExpressionAttributeValues={":x": {"N": "1"}},
        )  # fmt: skip

    def transact(self, *partitions: str) -> None:
        writes = [
            {"Put": {"TableName": self.table, "Item": {"pk": {"S": p}, "sk": {"S": "forged"}}}} for p in partitions
        ]
        self.db.transact_write_items(TransactItems=writes)

    def batch(self, *partitions: str) -> None:
        puts = [{"PutRequest": {"Item": {"pk": {"S": p}, "sk": {"S": "forged"}}}} for p in partitions]
        self.db.batch_write_item(RequestItems={self.table: puts})

    def scan(self) -> None:
        self.db.scan(TableName=self.table)

    def partiql(self, partition: str) -> None:
        self.db.execute_statement(
            Statement=f"INSERT INTO \"{self.table}\" VALUE {{'pk': '{partition}', 'sk': 'forged'}}"
        )


def refused(act: Callable[..., None], *partitions: str) -> bool:
    try:
        act(*partitions)
    except ClientError as exc:
        assert exc.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied"), exc
        return True
    return False


COMMON = ("environment", "identity", "gateway#a", "shard#0", "audit#AROASOMEBODY:else", "approval#AROASOMEBODY:else")


def test_an_enroller_writes_its_own_word_and_its_tenants_pending_peers_alone(lab) -> None:
    red = Person("lab-enroller-red")
    own = f"enrolment#{red.id}"
    red.put(own)  # it may: so what follows is refused for its key and not for its caller
    for partition in (
        *COMMON, "peer#red", "revoked#red", "meta", "change#red", "pending#blue", "peer#blue", "lease#blue",
        "peer#jobs",
        "enrolment#AROASOMEBODY:else", f"approval#{red.id}",
    ):  # fmt: skip
        assert all(refused(act, partition) for act in (red.put, red.update, red.delete, red.partiql)), partition
        assert all(refused(act, own, partition) for act in (red.transact, red.batch)), partition
    assert refused(red.scan)
    assert refused(red.delete, own), "what somebody said stays said"


def test_an_approver_writes_its_own_word_and_no_enrolment(lab) -> None:
    approver = Person("lab-approver")
    own = f"approval#{approver.id}"
    approver.put(own)
    for partition in (*COMMON, "key", f"enrolment#{approver.id}", "enrolment#AROASOMEBODY:else"):
        assert all(refused(act, partition) for act in (approver.put, approver.delete)), partition
        assert all(refused(act, own, partition) for act in (approver.transact, approver.batch)), partition
    assert refused(approver.scan)
    for partition in (own, "meta", "change#red", f"audit#{approver.id}", "revoked#red"):
        assert refused(approver.delete, partition), f"{partition} is not to be taken back"


def test_an_enroller_of_a_tenant_that_approves_by_itself_lets_in_there_and_nowhere_else(lab) -> None:
    jobs = Person("lab-enroller-jobs")
    own = f"enrolment#{jobs.id}"
    jobs.put(own)
    for partition in (*COMMON, "peer#red", "revoked#red", "change#red", "pending#red", f"approval#{jobs.id}"):
        assert refused(jobs.put, partition), partition
        assert refused(jobs.transact, own, partition), partition
    assert refused(jobs.scan)


def test_a_reader_writes_nothing(lab) -> None:
    reader = Person("lab-reader")
    assert reader.db.get_item(TableName=reader.table, Key={"pk": {"S": "meta"}, "sk": {"S": "red"}})
    for partition in (*COMMON, "meta", "peer#red", f"audit#{reader.id}", f"approval#{reader.id}"):
        assert refused(reader.put, partition), partition
    assert refused(reader.scan)


def test_a_strict_tenants_peer_needs_two_other_people(lab) -> None:
    enroller = calls.credentials("lab-enroller-strict", local=True)
    approver = calls.credentials("lab-approver", local=True)
    key = str(clients.twinlock(enroller, "peer", "keygen", "--out", str(clients.PEERS / "twice.key"))["public_key"])
    clients.twinlock(enroller, "peer", "enrol", "twice", "--tenant", "strict", "--public-key", key)
    assert clients.twinlock(approver, "peer", "approve", "twice", "--tenant", "strict")["state"] == "pending"
    with pytest.raises(LabError, match="another approver"):
        clients.twinlock(approver, "peer", "approve", "twice", "--tenant", "strict")
    # The deployer is a third person, who may do anything.
    assert lab.twinlock("peer", "approve", "twice", "--tenant", "strict")["state"] == "approved"
