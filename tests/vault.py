"""An environment's own key in memory, in place of the cloud's key service: twinlock.registry.data_keys.Envelope."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

from twinlock.registry.data_keys import SealedDataKey
from twinlock.registry.preshared import DataKey


class Vault:
    """Opens nothing that another one has sealed; its data keys are the same each time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def new(self, tenant: str, number: int, made_at: int) -> SealedDataKey:
        return self.seal(DataKey(tenant, number, sha256(f"{self.name} {number}".encode()).digest()), made_at)

    def seal(self, key: DataKey, made_at: int) -> SealedDataKey:
        sealed = f"{self.name} {b64encode(key.raw).decode()}"
        return SealedDataKey(tenant=key.tenant, number=key.number, sealed=sealed, made_at=made_at)

    def open(self, sealed: SealedDataKey) -> DataKey:
        name, raw = sealed.sealed.split()
        assert name == self.name
        return DataKey(sealed.tenant, sealed.number, b64decode(raw))
