"""The program as the engine runs it."""

from __future__ import annotations

import gc
import json
import runpy
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime import mocks

from components import settings
from components.errors import SettingsError
from tests.unit.program_build import CONFIG, Recording, changed

PROGRAM = str(Path(__file__).parents[2] / "__main__.py")


@pytest.fixture(autouse=True)
def _collecting():
    """The program stops the collector of its own process, which here is that of all tests."""
    yield
    gc.enable()


def configure(config: dict[str, object]) -> Recording:
    """Gives the engine's configuration as it reaches a program: objects as JSON text."""
    recording = Recording()
    mocks.set_mocks(recording, project="twinlock", stack=str(config["environment"]), preview=False)
    objects = {f"twinlock:{name}": json.dumps(config[name]) for name in settings.OBJECTS if name in config}
    pulumi.runtime.set_all_config({"aws:region": str(config["region"]), **objects})
    return recording


def test_the_configuration_reaches_the_settings():
    configure(CONFIG)
    assert settings.read() == settings.parse(CONFIG)


def test_a_text_where_an_object_belongs_is_told():
    configure(CONFIG)
    pulumi.runtime.set_config("twinlock:network", "10.20.0.0/16")
    with pytest.raises(SettingsError, match=r"twinlock:network = 10\.20\.0\.0/16"):
        settings.read()


def test_a_wrong_configuration_ends_in_one_message_before_any_resource():
    recording = configure(changed(tunnel={"mtu": 900}))
    # The engine prints a RunError's message alone, without a traceback.
    with pytest.raises(pulumi.RunError, match=r"twinlock:tunnel\.mtu = 900"):
        runpy.run_path(PROGRAM)
    assert not [made for made in recording.made if made.custom]


def test_the_program_spends_no_time_on_looking_for_cycles():
    configure(changed(tunnel={"mtu": 900}))
    assert gc.isenabled()
    with pytest.raises(pulumi.RunError):
        runpy.run_path(PROGRAM)
    assert not gc.isenabled()
