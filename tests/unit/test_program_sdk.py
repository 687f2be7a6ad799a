"""Single resource classes are imported without the hundreds beside them."""

from __future__ import annotations

import sys
from types import ModuleType

import components.aws
from components.aws import sdk


def _fresh(monkeypatch, service: str) -> ModuleType:
    """The service's package as a new process has it, after `import_light`."""
    for name in [name for name in sys.modules if name.startswith(f"pulumi_aws.{service}")]:
        monkeypatch.delitem(sys.modules, name)
    sdk.import_light()
    return sys.modules[f"pulumi_aws.{service}"]


def test_a_single_class_does_not_bring_its_whole_service(monkeypatch):
    _fresh(monkeypatch, "kms")
    from pulumi_aws.kms.key import Key

    assert Key.__name__ == "Key"
    assert "pulumi_aws.kms.replica_key" not in sys.modules
    assert components.aws.import_light is sdk.import_light


def test_whoever_asks_the_service_itself_still_gets_everything(monkeypatch):
    service = _fresh(monkeypatch, "kms")
    assert service.ReplicaKey.__name__ == "ReplicaKey"
    assert not hasattr(service, "no_such_class")
    from pulumi_aws.kms import Alias

    assert Alias.__name__ == "Alias"


def test_a_service_that_is_loaded_stays_as_it_is(monkeypatch):
    service = _fresh(monkeypatch, "kms")
    assert service.Key
    sdk.import_light()
    assert sys.modules["pulumi_aws.kms"] is service
