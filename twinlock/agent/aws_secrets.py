"""Secrets Manager: a version is found by its id, never by AWSCURRENT."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.private_key import PrivateKey, private_key_from_text
from twinlock.registry.aws_errors import code_of

LABEL = "twinlock-"  # how our staging labels begin
_LABELS = 10  # of the 20 that a secret may have, so many stay when it is full


Answer = Mapping[str, object]


class SecretsManager(Protocol):
    """What is used of the client of Secrets Manager."""

    def put_secret_value(self, **arguments: object) -> Answer: ...
    def get_secret_value(self, **arguments: object) -> Answer: ...
    def update_secret_version_stage(self, **arguments: object) -> Answer: ...
    def list_secret_version_ids(self, **arguments: object) -> Answer: ...


class AwsSecrets:
    """twinlock.agent.cloud.SecretStore on AWS."""

    def __init__(self, client: SecretsManager) -> None:
        self._client = client

    def put(self, container: str, version: str, key: PrivateKey) -> None:
        """A version of its own under a label of its own: an unlabelled one may be deleted by AWS at any time."""
        try:
            self._put(container, version, key)
        except ClientError as exc:
            if code_of(exc) != "LimitExceededException":
                raise _unavailable(container, "put", exc) from exc
            self._drop_oldest(container)
            try:
                self._put(container, version, key)
            except (BotoCoreError, ClientError) as again:
                raise _unavailable(container, "put", again) from again
        except BotoCoreError as exc:
            raise _unavailable(container, "put", exc) from exc

    def _put(self, container: str, version: str, key: PrivateKey) -> None:
        self._client.put_secret_value(
            SecretId=container,
            ClientRequestToken=version,
            SecretString=key.text(),
            VersionStages=[label_of(version)],
        )

    def get(self, container: str, version: str) -> PrivateKey:
        try:
            answer = self._client.get_secret_value(SecretId=container, VersionId=version)
        except (BotoCoreError, ClientError) as exc:
            raise _unavailable(container, f"get version {version}", exc) from exc
        return private_key_from_text(cast(str, answer["SecretString"]), f"secret {container} version {version}")

    def drop(self, container: str, version: str) -> None:
        """Takes the version's label, so that AWS deletes it."""
        try:
            self._client.update_secret_version_stage(
                SecretId=container, VersionStage=label_of(version), RemoveFromVersionId=version
            )
        except (BotoCoreError, ClientError) as exc:
            raise _unavailable(container, "drop a label", exc) from exc

    def _drop_oldest(self, container: str) -> None:
        """Attempts that died between two steps left labels: twenty of them would block the next for ever."""
        labelled = sorted(self._labelled(container), key=lambda entry: entry[1])
        for version, _ in labelled[: max(0, len(labelled) - _LABELS)]:
            self.drop(container, version)

    def _labelled(self, container: str) -> list[tuple[str, datetime]]:
        try:
            answer = self._client.list_secret_version_ids(SecretId=container)
        except (BotoCoreError, ClientError) as exc:
            raise _unavailable(container, "list versions", exc) from exc
        versions = cast(list[Mapping[str, object]], answer["Versions"])
        return [
            (version, cast(datetime, entry["CreatedDate"]))
            for entry in versions
            if label_of(version := cast(str, entry["VersionId"])) in cast(list[str], entry.get("VersionStages", []))
        ]


def label_of(version: str) -> str:
    return LABEL + version


def _unavailable(container: str, what: str, exc: BotoCoreError | ClientError) -> CloudUnavailable:
    return CloudUnavailable(f"secret {container}: {what}: {' '.join(str(exc).split())}")
