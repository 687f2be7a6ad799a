"""The lab's AWS: starts the processes behind, the front before them, and the first principals."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.client import BaseClient  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]

from lab.aws import backends, names, principals, tls
from lab.aws.backends import Backend, BackendName, backend_of
from lab.aws.call import Answer, Call, Override
from lab.aws.dispatch import Dispatcher, Refuse
from lab.aws.dynamodb import Tables
from lab.aws.forward import whole
from lab.aws.front import Listener
from lab.aws.journal import Journal
from lab.aws.resources import Client, LiveResources

DEPLOYER = "lab-deployer"
TENANT_ROLES = ("lab-tenant-red", "lab-tenant-blue", "lab-tenant-jobs", "lab-tenant-strict")
_ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_S3 = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An access key; of a session when it has a token."""

    access_key: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: datetime | None = None  # UTC, of sessions


class Sts(Protocol):
    """What is asked of boto3's client here."""

    def assume_role(self, **asked: str | int) -> Mapping[str, Mapping[str, object]]: ...


class Iam(Protocol):
    """What is asked of boto3's client here."""

    def create_user(self, **asked: str) -> object: ...
    def put_user_policy(self, **asked: str) -> object: ...
    def create_role(self, **asked: str) -> object: ...
    def put_role_policy(self, **asked: str) -> object: ...
    def create_access_key(self, **asked: str) -> Mapping[str, Mapping[str, str]]: ...


class ControlPlane:
    """One region of one account. `state_dir` keeps the authority, the logs and the journal; the cloud is in memory.

    Without `tables` it has no DynamoDB, and needs no Java: enough for a preview.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        region: str = names.REGION,
        account: str = names.ACCOUNT,
        conflicts: float = 0.02,
        seed: int = 1,
        tables: bool = True,
    ) -> None:
        if (region, account) != (names.REGION, names.ACCOUNT):
            raise ValueError(f"the lab is region {names.REGION} of account {names.ACCOUNT}, not {region}, {account}")
        self.region, self.account = region, account
        self._state, self._conflicts, self._seed, self._with_tables = state_dir, conflicts, seed, tables
        self.ca_file = state_dir / "ca.pem"
        self.bundle_file = self.ca_file
        self._listeners: list[Listener] = []
        self._backends: dict[BackendName, Backend] = {}

    def start(self) -> None:
        """Returns when every service answers. Raises BackendError."""
        self._state.mkdir(parents=True, exist_ok=True)
        self._certificates = tls.Certificates(tls.authority(self._state), self._state)
        self._backends = backends.start(self._state, tables=self._with_tables)
        self._journal = Journal(self._state)
        self._directory = principals.Directory(lambda: principals.fetch(self._backends["rest"].port))
        tables = Tables(self._dynamodb_local, conflicts=self._conflicts, seed=self._seed)
        resources = LiveResources(self._directory, self._reader, tables.partition_key)
        self._dispatcher = Dispatcher(self._backends, self._directory, self._journal, tables, resources)
        self._front = self._listener(_loopback(), None)
        self._readers: dict[str, BaseClient] = {}
        self._inner = Listener(_loopback(), None, None, self._dispatcher.trusted)
        self._listeners.append(self._inner)
        self.admin = self._first_principals()

    def stop(self) -> None:
        """Ends every connection, thread and process that `start` made."""
        for listener in self._listeners:
            listener.stop()
        for backend in self._backends.values():
            backend.stop()
        self._journal.close()

    @property
    def endpoint(self) -> str:
        """For AWS_ENDPOINT_URL, on this machine."""
        return f"https://127.0.0.1:{self._front.port}"

    def listen(self, sock: socket.socket, endpoint: str | None) -> None:
        """Serves an already listening socket too; what comes through it came through this VPC endpoint."""
        self._listener(sock, endpoint)

    def override(self, service: str, action: str, handler: Override) -> None:
        """From now on HANDLER answers this operation, after the caller's rights have been checked."""
        self._dispatcher.overrides[(service, action)] = handler

    def on_change(self, callback: Callable[[], None]) -> None:
        """CALLBACK is called, from any thread, after each successful call that changed EC2 or Auto Scaling."""
        self._dispatcher.listeners.append(callback)

    def slow_down(self, seconds: float) -> None:
        """Each call from a machine takes so much longer from now on, S3's excepted."""
        self._dispatcher.slow = seconds

    def refuse(self, which: Refuse | None) -> None:
        """Signed and allowed calls for which `which` is true fail from now on, before anything is done."""
        self._dispatcher.refuse = which

    def changed(self) -> None:
        """For overrides that change something by themselves, later."""
        self._dispatcher.changed()

    def client(self, service: str, *, overrides: bool = False) -> BaseClient:
        """A boto3 client of the lab's own, past IAM; straight to the process behind unless `overrides`."""
        straight = not overrides and service != "dynamodb"
        port = self._backends[backend_of(service)].port if straight else self._inner.port
        made = boto3.client(  # pyright: ignore
            service,
            region_name=self.region,
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="lab",
            aws_secret_access_key="lab",  # noqa: S106
            config=Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        client = cast(BaseClient, made)
        if not overrides:  # the front sees the others' changes itself
            client.meta.events.register("after-call", self._dispatcher.forget)  # pyright: ignore
        return client

    def session_for_role(self, role_arn: str, session_name: str, seconds: int = 3600) -> Credentials:
        """Temporary credentials of a role, as EC2 hands them to an instance. `session_name` is the instance's id."""
        sts = cast(Sts, self.client("sts"))
        made = sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, DurationSeconds=seconds)
        given = made["Credentials"]
        return Credentials(
            access_key=str(given["AccessKeyId"]),
            secret=str(given["SecretAccessKey"]),
            token=str(given["SessionToken"]),
            expires=cast(datetime, given["Expiration"]),
        )

    def _reader(self, service: str) -> Client:
        """Kept, because a client takes 50 ms to make."""
        if service not in self._readers:
            self._readers[service] = self.client(service, overrides=True)
        return cast(Client, self._readers[service])

    def _dynamodb_local(self, call: Call) -> Answer:
        return whole(self._backends["dynamodb"].port, call)

    def _listener(self, sock: socket.socket, endpoint: str | None) -> Listener:
        listener = Listener(sock, lambda: self._certificates.context, endpoint, self._dispatcher.signed)
        self._listeners.append(listener)
        return listener

    def _first_principals(self) -> Credentials:
        """The deployer, who may do anything, and a role for each of the lab's tenants, which a bucket must admit."""
        iam = cast(Iam, self.client("iam"))
        iam.create_user(UserName=DEPLOYER)
        iam.put_user_policy(UserName=DEPLOYER, PolicyName="anything", PolicyDocument=json.dumps(_ANYTHING))
        for role in TENANT_ROLES:
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(_trust(self.account)))
            iam.put_role_policy(RoleName=role, PolicyName="objects", PolicyDocument=json.dumps(_S3))
        key = iam.create_access_key(UserName=DEPLOYER)["AccessKey"]
        return Credentials(access_key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def _trust(account: str) -> dict[str, object]:
    principal = {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _loopback() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    return sock
