"""The only file that speaks to KMS: tenants' data keys, sealed with the environment's key.

The encryption context holds the environment and the tenant, and policies ask for both: whoever may open one tenant's
data keys opens no other's, and a sealed one that was put under another tenant does not open at all.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from twinlock.registry import keys
from twinlock.registry.aws_errors import explained
from twinlock.registry.data_keys import SealedDataKey
from twinlock.registry.errors import Corrupt
from twinlock.registry.preshared import DataKey

Answer = Mapping[str, object]


class Kms(Protocol):
    """What is used of the client of KMS."""

    def decrypt(self, **arguments: object) -> Answer: ...
    def encrypt(self, **arguments: object) -> Answer: ...
    def generate_data_key_without_plaintext(self, **arguments: object) -> Answer: ...


@dataclass(frozen=True)
class KmsEnvelope:
    """data_keys.Envelope with one environment's key. Raises Refused or Unavailable where KMS says no or nothing."""

    client: Kms = field(repr=False)
    environment: str
    key: str  # ARN

    def new(self, tenant: str, number: int, made_at: int) -> SealedDataKey:
        """A data key that nobody has seen yet."""
        answer = self._call(
            self.client.generate_data_key_without_plaintext,
            tenant,
            KeySpec="AES_256",
        )
        return self._sealed(tenant, number, made_at, answer)

    def seal(self, key: DataKey, made_at: int) -> SealedDataKey:
        """One that is known already, as after a move from another environment."""
        return self._sealed(
            key.tenant, key.number, made_at, self._call(self.client.encrypt, key.tenant, Plaintext=key.raw)
        )

    def open(self, sealed: SealedDataKey) -> DataKey:
        try:
            blob = base64.b64decode(sealed.sealed, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Corrupt(f"data key {sealed.number} of tenant {sealed.tenant} is not base64") from exc
        answer = self._call(self.client.decrypt, sealed.tenant, CiphertextBlob=blob)
        return DataKey(sealed.tenant, sealed.number, cast(bytes, answer["Plaintext"]))

    def _sealed(self, tenant: str, number: int, made_at: int, answer: Answer) -> SealedDataKey:
        blob = base64.b64encode(cast(bytes, answer["CiphertextBlob"])).decode()
        return SealedDataKey(tenant=tenant, number=number, sealed=blob, made_at=made_at)

    def _call(self, method: Callable[..., Answer], tenant: str, **arguments: object) -> Answer:
        context = {keys.CONTEXT_ENVIRONMENT: self.environment, keys.CONTEXT_TENANT: tenant}
        try:
            return method(KeyId=self.key, EncryptionContext=context, **arguments)
        except (BotoCoreError, ClientError) as exc:
            raise explained(exc, f"data key of tenant {tenant}") from exc
