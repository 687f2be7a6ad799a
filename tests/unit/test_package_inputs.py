"""A consumer's inputs, as any language sends them, under the models' names."""

from __future__ import annotations

import asyncio

import pulumi
import pytest

from components.errors import SettingsError
from components.models import Settings
from components.package import Environment
from components.package_inputs import camel, raw
from components.settings import parse
from tests.unit.program_build import CONFIG, build, changed


def _as_sent(value: object) -> object:
    """What the engine delivers of a stack file's objects: the schema's names, and every number as a float."""
    if isinstance(value, dict):
        return {camel(name): _as_sent(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_sent(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_what_a_consumer_writes_is_the_same_environment_as_a_stack_file_says():
    wanted = changed(
        network={"interface_endpoints": True},
        storage={"other_buckets": "allow", "existing": {"old-one": "our-data"}},
        gateway={"disk_gib": 20},
        tunnel={"ipv6": True, "range6": "fd12:3456:789a::/96"},
    )
    assert parse({**raw(Settings, _as_sent(wanted)), "region": "eu-west-1"}) == parse(wanted)


def test_names_that_are_the_consumers_own_stay_as_they_are():
    told = raw(Settings, {"tenants": {"vpcId": {"maxKeyAge": "90d", "services": [{"port": 1.0}]}}})
    assert told == {"tenants": {"vpcId": {"max_key_age": "90d", "services": [{"port": 1.0}]}}}


def test_a_key_that_nobody_knows_is_named_and_not_dropped():
    with pytest.raises(SettingsError, match=r"clientRange = .*: is not a known key"):
        parse(raw(Settings, _as_sent(changed(tunnel={"clientRange": []}))))


def test_what_only_a_deployment_tells_is_refused_with_its_place_and_without_its_value():
    async def asked() -> None:
        raw(Settings, {"tenants": {"red": {"principals": ["a", pulumi.Output.secret("hidden")]}}})

    with pytest.raises(SettingsError, match=r"tenants\.red\.principals\[1\] = \(an output\)") as told:
        asyncio.new_event_loop().run_until_complete(asked())
    assert "hidden" not in str(told.value)


def test_the_component_tells_all_that_the_program_does():
    assert {camel(name) for name in Environment.__annotations__} == set(build(CONFIG).outputs)
