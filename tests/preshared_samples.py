"""KMS and a registry's data keys in memory: the context counts, and nothing opens without it."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace

from botocore.exceptions import EndpointConnectionError

from twinlock.registry.data_keys import SealedDataKey


class Kms:
    """`gone`: nobody answers."""

    def __init__(self) -> None:
        self.gone = False
        self.opened = 0

    def generate_data_key_without_plaintext(self, *, KeyId, EncryptionContext, KeySpec):  # noqa: N803
        assert KeySpec == "AES_256"
        return self.encrypt(KeyId=KeyId, EncryptionContext=EncryptionContext, Plaintext=secrets.token_bytes(32))

    def encrypt(self, *, KeyId, EncryptionContext, Plaintext):  # noqa: N803
        self._check()
        held = {"key": KeyId, "context": EncryptionContext, "raw": Plaintext.hex()}
        return {"CiphertextBlob": json.dumps(held, sort_keys=True).encode()}

    def decrypt(self, *, KeyId, EncryptionContext, CiphertextBlob):  # noqa: N803
        self._check()
        held = json.loads(CiphertextBlob)
        assert (held["key"], held["context"]) == (KeyId, EncryptionContext), "KMS would refuse"
        self.opened += 1
        return {"Plaintext": bytes.fromhex(held["raw"])}

    def _check(self) -> None:
        if self.gone:
            raise EndpointConnectionError(endpoint_url="https://kms.eu-west-1.amazonaws.com")


class Sealed:
    """The registry's data keys."""

    def __init__(self) -> None:
        self.keys: dict[str, list[SealedDataKey]] = {}

    def all(self, tenant: str) -> tuple[SealedDataKey, ...]:
        return tuple(self.keys.get(tenant, ()))

    def claim(self, first: SealedDataKey) -> None:
        self.keys.setdefault(first.tenant, [first])

    def add(self, key: SealedDataKey) -> None:
        held = self.keys.setdefault(key.tenant, [])
        held[:] = [*(replace(old, retiring=True) for old in held), key]
