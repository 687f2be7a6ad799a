"""What makes the tier fast: each test may have a cloud account of its own, made and thrown away in milliseconds."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest

from lab.aws.seeds import images_document
from tests.gateway_stage import Stage

# moto builds thirteen hundred images of its own at an account's first call, and twice more as the account goes. It
# reads where to find others as it is imported, so this stands before any test that imports it.
_IMAGES = Path(tempfile.mkdtemp(prefix="twinlock-unit-")) / "images.json"
_IMAGES.write_text(images_document())
os.environ["MOTO_AMIS_PATH"] = str(_IMAGES)


@pytest.fixture(autouse=True, scope="module")
def _what_stands_is_not_looked_at_again() -> None:
    """The collector leaves alone what was imported so far: looking at all modules and models costs a second a time."""
    gc.freeze()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def pytest_unconfigure() -> None:
    _IMAGES.unlink()
    _IMAGES.parent.rmdir()
