"""What a gateway needs of its cloud, whatever the cloud, and who speaks to it."""

from __future__ import annotations

from typing import Protocol

from twinlock.agent.boot import Boot
from twinlock.agent.errors import BadBoot
from twinlock.agent.floating import FloatingAddress
from twinlock.agent.private_key import PrivateKey
from twinlock.agent.transfer import ProofStore
from twinlock.registry.data_keys import Envelope
from twinlock.registry.definition import Definition
from twinlock.registry.table import Table


class SecretStore(Protocol):
    """Private keys, each a version of its own in a container that the program made. Raises CloudUnavailable."""

    def put(self, container: str, version: str, key: PrivateKey) -> None:
        """`version` is the name that the version is found by (a UUID); doing it again does nothing."""
        ...

    def get(self, container: str, version: str) -> PrivateKey:
        """Raises BadIdentity if what is there is no private key."""
        ...

    def drop(self, container: str, version: str) -> None:
        """The version is not needed any more."""
        ...


class Cloud(Protocol):
    """With the machine's own credentials; each client is made when it is asked for, because a boot waits for it."""

    def table(self) -> Table:
        """The registry's."""
        ...

    def lease_table(self) -> Table:
        """The same, for leases: an answer that is late is no answer."""
        ...

    def secrets(self) -> SecretStore:
        """Where the identities' private keys are."""
        ...

    def envelope(self, definition: Definition) -> Envelope:
        """What opens tenants' data keys."""
        ...

    def instance_id(self) -> str:
        """As the cloud's own metadata service tells it. Raises CloudUnavailable."""
        ...

    def proofs(self) -> ProofStore:
        """Where this slot's gateway proves that transfers go through."""
        ...

    def report_unhealthy(self, instance_id: str) -> None:
        """Has a twin's machine replaced. Raises CloudUnavailable."""
        ...

    def replace_own(self, instance_id: str) -> None:
        """Has this machine replaced by a new one. Raises CloudUnavailable."""
        ...

    def floating(self) -> FloatingAddress | None:
        """The address that follows whoever serves; None where the environment has none."""
        ...

    def storage_prefixes(self) -> tuple[str, ...]:
        """CIDRs that the storage is reached at, sorted. Raises CloudUnavailable."""
        ...


def cloud_of(boot: Boot, session: object | None) -> Cloud:
    """`session`: what the fetching of this agent left, in the cloud's own words. Raises BadBoot."""
    if boot.cloud == "aws":
        from twinlock.agent.aws import Aws  # a gateway loads the SDK of its own cloud alone

        return Aws(boot, session)
    raise BadBoot(f"this agent serves aws, and its boot arguments say {boot.cloud}: update it")
