"""One identity, however many gateways want it and wherever they die."""

from __future__ import annotations

import threading
import uuid

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from twinlock.agent.aws_secrets import AwsSecrets, label_of
from twinlock.agent.errors import BadIdentity, CloudUnavailable
from twinlock.agent.identity import Claim, take_identity
from twinlock.agent.private_key import new_private_key, private_key_from_text
from twinlock.registry.model import Identity

CONTAINER = "twinlock/lab/service"


class Store:
    """The registry's two calls; the conditional write is atomic, as DynamoDB's is."""

    def __init__(self) -> None:
        self.held: dict[str, Identity] = {}
        self._lock = threading.Lock()

    def identity(self, name: str) -> Identity | None:
        return self.held.get(name)

    def claim_identity(self, identity: Identity) -> Identity:
        with self._lock:
            return self.held.setdefault(identity.name, identity)


class Vault:
    """A secret store that deletes what has no label, at once: as unkind as AWS may be."""

    def __init__(self, barrier: threading.Barrier | None = None) -> None:
        self.versions: dict[str, object] = {}
        self._barrier = barrier

    def put(self, container, version, key):
        self.versions[version] = key
        if self._barrier is not None:
            self._barrier.wait(10)

    def get(self, container, version):
        if version not in self.versions:
            raise CloudUnavailable(f"no version {version}")
        return self.versions[version]

    def drop(self, container, version):
        del self.versions[version]


@pytest.mark.parametrize("run", range(20))
def test_two_gateways_that_start_at_once_get_one_key(run):
    # Both have stored their own version before either claims: the narrowest race there is.
    store, vault, keys = Store(), Vault(threading.Barrier(2)), []
    threads = [
        threading.Thread(target=lambda: keys.append(take_identity("service", CONTAINER, store, vault, 1)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert keys[0].public() == store.held["service"].public_key
    assert list(vault.versions) == [store.held["service"].secret_version], "the loser dropped its own"


@pytest.mark.parametrize("steps", range(6))
def test_a_gateway_that_dies_after_any_step_leaves_nothing_stuck(steps):
    store, vault = Store(), Vault()
    dying = Claim("service", CONTAINER, store, vault, 1)
    for step in dying.steps()[:steps]:
        step()
    key = take_identity("service", CONTAINER, store, vault, 2)
    assert key.public() == store.held["service"].public_key
    assert take_identity("service", CONTAINER, store, vault, 3) == key


@pytest.mark.parametrize("steps", [2, 3])
def test_a_loser_that_dies_before_it_tidies_up_harms_nobody(steps):
    store, vault = Store(), Vault()
    loser = Claim("service", CONTAINER, store, vault, 1)
    for step in loser.steps()[:2]:
        step()
    winner = take_identity("service", CONTAINER, store, vault, 1)
    for step in loser.steps()[2 : 2 + steps]:
        step()
    assert take_identity("service", CONTAINER, store, vault, 2) == winner


def test_a_secret_that_is_not_the_claimed_key_is_not_used():
    store, vault = Store(), Vault()
    take_identity("service", CONTAINER, store, vault, 1)
    vault.versions[store.held["service"].secret_version] = new_private_key()
    with pytest.raises(BadIdentity, match="not the key that the registry names"):
        take_identity("service", CONTAINER, store, vault, 2)


def test_a_private_key_shows_in_no_text():
    key = new_private_key()
    assert key.text() not in f"{key!r} {key} {[key]}"
    assert str(key.raw) not in f"{key!r} {key}"


def test_a_bad_key_is_refused_without_being_repeated():
    with pytest.raises(BadIdentity) as caught:
        private_key_from_text("c2VjcmV0", "secret x")
    assert "c2VjcmV0" not in str(caught.value)


@pytest.fixture
def secret_store(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name=CONTAINER)
        yield client


def test_a_version_is_kept_by_a_label_of_its_own(secret_store):
    secrets, versions = AwsSecrets(secret_store), [str(uuid.uuid4()), str(uuid.uuid4())]
    keys = [new_private_key(), new_private_key()]
    for version, key in zip(versions, keys, strict=True):
        secrets.put(CONTAINER, version, key)
    assert [secrets.get(CONTAINER, version) for version in versions] == keys
    found = {v["VersionId"]: v["VersionStages"] for v in _versions(secret_store)}
    # The store itself calls the very first version current; no gateway ever asks for that.
    assert label_of(versions[0]) in found[versions[0]]
    assert found[versions[1]] == [label_of(versions[1])]


def test_putting_the_same_version_again_changes_nothing(secret_store):
    secrets, key, version = AwsSecrets(secret_store), new_private_key(), str(uuid.uuid4())
    secrets.put(CONTAINER, version, key)
    secrets.put(CONTAINER, version, key)
    assert [v["VersionId"] for v in _versions(secret_store)].count(version) == 1


def test_a_dropped_version_has_no_label_left(secret_store):
    secrets, version = AwsSecrets(secret_store), str(uuid.uuid4())
    secrets.put(CONTAINER, version, new_private_key())
    secrets.drop(CONTAINER, version)
    assert label_of(version) not in [label for v in _versions(secret_store) for label in v.get("VersionStages", [])]


def test_labels_of_dead_attempts_never_fill_the_secret_up(secret_store):
    class Full:
        """AWS's own limit of 20 labels, which the stand-in does not know."""

        def __getattr__(self, name):
            return getattr(secret_store, name)

        def put_secret_value(self, **arguments):
            if sum(len(v.get("VersionStages", [])) for v in _versions(secret_store)) >= 20:
                raise ClientError({"Error": {"Code": "LimitExceededException", "Message": "20"}}, "PutSecretValue")
            return secret_store.put_secret_value(**arguments)

    secrets, last = AwsSecrets(Full()), ""
    for _ in range(30):
        last = str(uuid.uuid4())
        secrets.put(CONTAINER, last, new_private_key())
    secrets.get(CONTAINER, last)


def _versions(client):
    return client.list_secret_version_ids(SecretId=CONTAINER, IncludeDeprecated=True)["Versions"]
