"""What several of these tests need. A fixture that stands here is one for them all: imported by a test file, it would
be made anew for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkouts import checkout  # noqa: F401  (fixture)
from tests.cloud import Cloud
from tests.cloud import cloud as control_plane
from tests.command_cloud import cloud, envelope, moto_url  # noqa: F401  (fixtures)
from tests.dynamodb import dynamodb, dynamodb_process, registry_table  # noqa: F401  (fixtures)
from tests.registry_tables import new_table  # noqa: F401  (fixtures)

# The files that take longest come first, so that no worker is left with one when the others have ended.
_LONGEST = (
    "test_preshared_keys", "test_agent_walk", "test_identity_rotation", "test_userdata_machine",
    "test_registry_stateful", "test_killed_lab", "test_policy_pack", "test_program_existing", "test_cli_formats",
    "test_firewall", "test_lab_control",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in _LONGEST)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A control plane of the test file's own."""
    with control_plane(tmp_path_factory.mktemp("cloud")) as running:
        yield running
