"""What a stack must obey: each rule by itself, and the whole program against all of them."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.settings import parse
from lab.paths import ROOT
from lab.project import stack_file
from policies.exceptions import EXCEPTIONS, exempt
from policies.judge import RULES, STACK_RULES, judge, judge_stack
from policies.leaks import found
from policies.resource import UNKNOWN, Resource
from tests import policy_samples as samples
from tests.unit.program_build import VPC, Recording, build, changed

BY_NAME = {rule.name: rule for rule in RULES}
STACK_BY_NAME = {rule.name: rule for rule in STACK_RULES}
CATALOGUES = r"[A-Za-z]+[0-9]*\.[0-9]+|CIS [0-9.]+|CKV2?_(AWS|SECRET)_[0-9]+"


@pytest.mark.parametrize(("name", "resource"), [(n, r) for n, found in samples.GOOD.items() for r in found])
def test_a_rule_lets_pass_what_is_right(name: str, resource: Resource):
    assert list(BY_NAME[name].check(resource)) == []


@pytest.mark.parametrize(("name", "resource"), [(n, r) for n, found in samples.BAD.items() for r in found])
def test_a_rule_finds_what_is_wrong(name: str, resource: Resource):
    assert list(judge(BY_NAME[name], resource))


def test_what_only_the_deployment_will_tell_is_no_finding():
    """Each value of what is right, at any depth, may be unknown in a preview."""
    for name, resources in samples.GOOD.items():
        for resource in resources:
            for inputs in with_one_unknown(resource.inputs):
                assert list(BY_NAME[name].check(replace(resource, inputs=inputs))) == [], (name, inputs)


def with_one_unknown(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: other} for other in (UNKNOWN, *with_one_unknown(inner)))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in (UNKNOWN, *with_one_unknown(inner)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(UNKNOWN)
    | st.sampled_from(["*", "{}", "[]", '{"Statement": 3}', '{"Statement": [{"Action": 3}]}', "::/0"])
    | st.just("H4sIAAAAAAAA" * 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "ebs", "Statement"]), inner),
    max_leaves=6,
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_rule_stumbles_over_whatever_somebody_elses_stack_holds(data: st.DataObject):
    """Kinds that no rule knows, and known ones with values of any form."""
    every = [one for found in (*samples.GOOD.values(), *samples.BAD.values()) for one in found]
    like = data.draw(st.sampled_from([*every, samples.made("gcp:storage/bucket:Bucket", a=1)]))
    key = data.draw(st.sampled_from([*like.inputs, "b"]))
    strange = replace(like, inputs={**like.inputs, key: data.draw(VALUES)})
    for rule in RULES:
        list(judge(rule, strange))
    for rule in STACK_RULES:
        list(judge_stack(rule, [strange, like]))


def test_machines_in_subnets_that_the_stack_makes_itself_are_looked_at_when_the_subnets_are_known():
    group = samples.made("aws:autoscaling/group:Group", vpcZoneIdentifiers=[UNKNOWN, UNKNOWN])
    rule = STACK_BY_NAME["two-zones"]
    assert list(judge_stack(rule, [group])) == []
    assert list(judge_stack(rule, [replace(group, inputs={"vpcZoneIdentifiers": ["subnet-1"]})]))


def test_what_unpacks_into_more_than_a_machine_has_is_searched_at_its_beginning():
    bomb = base64.b64encode(gzip.compress(f"{samples.ACCESS_KEY} ".encode() + b" " * (64 << 20))).decode()
    assert "an AWS access key" in set(found(bomb))


@pytest.mark.parametrize("name", STACK_BY_NAME)
def test_a_rule_of_the_stack_lets_pass_what_is_right_and_finds_what_is_wrong(name: str):
    assert list(judge_stack(STACK_BY_NAME[name], samples.GOOD_STACKS[name])) == []
    assert list(judge_stack(STACK_BY_NAME[name], samples.BAD_STACKS[name]))


def test_a_bucket_is_known_by_what_its_part_comes_from_while_its_name_is_unknown():
    bucket = samples.made("aws:s3/bucket:Bucket", "b")
    policy = Resource(
        type="aws:s3/bucketPolicy:BucketPolicy",
        name="p",
        urn="p",
        inputs={},
        refers={"bucket": frozenset({bucket.urn})},
    )
    rule = STACK_BY_NAME["bucket-has-policy"]
    assert list(judge_stack(rule, [bucket, policy])) == [] and list(judge_stack(rule, [bucket]))


def test_what_the_cloud_fills_in_by_itself_is_no_choice_of_the_stack():
    """A preview knows neither what AWS adds to a bucket nor what another resource gives it."""
    rule = STACK_BY_NAME["bucket-has-policy"]
    filled_in = samples.made("aws:s3/bucket:Bucket", policy=UNKNOWN)
    assert list(judge_stack(rule, [filled_in]))
    assert not list(judge_stack(rule, [replace(filled_in, refers={"policy": frozenset({"urn"})})]))


def test_every_rule_has_samples_right_and_wrong():
    assert set(samples.GOOD) == set(samples.BAD) == set(BY_NAME)
    assert set(samples.GOOD_STACKS) == set(samples.BAD_STACKS) == set(STACK_BY_NAME)


def test_the_levels_of_an_environment_name_rules_that_there_are():
    """The engine takes a mistyped name for another rule, and stops what was meant to be advice."""
    for file in (ROOT / "policies").glob("*.json"):
        levels = json.loads(file.read_text())
        assert set(levels) <= {*BY_NAME, *STACK_BY_NAME}, file.name
        assert set(levels.values()) <= {"advisory", "mandatory", "disabled"}, file.name


def test_every_rule_names_the_controls_that_it_restates():
    for rule in (*RULES, *STACK_RULES):
        assert all(re.fullmatch(CATALOGUES, control) for control in rule.controls), rule.name
    own = {rule.name for rule in (*RULES, *STACK_RULES) if not rule.controls}
    assert own == {"bucket-endpoint-only", "bucket-no-lock-out"}  # what no catalogue says


@pytest.mark.parametrize("text", [samples.KEY_OF_A_TUNNEL, samples.ACCESS_KEY, samples.GITHUB, samples.RANDOM])
def test_a_finding_never_shows_the_secret(text: str):
    resource = samples.user_data(f"x: {text}")
    told = " ".join(judge(BY_NAME["no-secrets"], resource))
    assert told and text not in told


def test_text_within_text_within_text_is_searched():
    inner = base64.b64encode(gzip.compress(f"key: {samples.ACCESS_KEY}\n".encode() * 3)).decode()
    outer = base64.b64encode(f"write_files:\n- content: {inner}\n".encode()).decode()
    assert "an AWS access key" in set(found(outer))


# -- the program -----------------------------------------------------------------------------------------------------


ADOPTED = {"existing": {"old": "our-data"}, "adopt": ["old"]}


@pytest.fixture(scope="module")
def program() -> list[Resource]:
    wide = {"client_ranges": ["0.0.0.0/0"]}
    network = {"interface_endpoints": True, "vpc_id": VPC, "cidr": "10.20.0.0/20", "adopt": True}
    return resources(build(changed(network=network, tunnel=wide, storage=ADOPTED)))


def resources(recording: Recording) -> list[Resource]:
    """As the engine would describe them; the recording knows every value."""
    return [
        Resource(
            type=made.type,
            name=made.name,
            urn=f"urn:pulumi:test::twinlock::{recording.parents[made.type, made.name]}${made.type}::{made.name}",
            inputs=made.inputs,
            protected=made.name in recording.protected,
        )
        for made in recording.made
        if made.custom
    ]


def findings(stack: list[Resource], *, knowingly: bool = True) -> set[tuple[str, str]]:
    """(rule, resource's name) of everything that is wrong; without `knowingly` what is exempt counts, too."""
    return {(rule, one.name) for rule, one in broken(stack) if not knowingly or exempt(rule, one) is None}


NETWORK = "twinlock:aws:AdoptedNetwork"
FLOATING = "twinlock:aws:FloatingIp"  # of a mode that this program does not have: test_program_floating_ip.py


def broken(stack: list[Resource]) -> list[tuple[str, Resource]]:
    alone = [(rule.name, one) for rule in RULES for one in stack if next(rule.check(one), None)]
    together = [(rule.name, one) for rule in STACK_RULES for one, _ in rule.check(with_bucket_names(stack))]
    return alone + together


def with_bucket_names(stack: list[Resource]) -> list[Resource]:
    """A recorded bucket's id is its resource's name and `-id`, and that is what its parts name."""
    return [
        Resource(type=one.type, name=one.name, urn=one.urn, inputs={**one.inputs, "bucket": f"{one.name}-id"})
        if one.type == "aws:s3/bucket:Bucket"
        else one
        for one in stack
    ]


def test_the_program_has_no_finding_beside_the_exceptions(program: list[Resource]):
    assert findings(program) == set()


def test_the_production_example_has_what_it_promises_and_no_finding():
    _, keys = stack_file(ROOT / "Pulumi.prod.yaml")
    config = {"environment": "prod"} | {key.split(":")[1]: value for key, value in keys.items()}
    wanted = parse(config)
    assert len(wanted.tenants) == 3 and wanted.network.interface_endpoints
    assert wanted.storage.protect and wanted.registry.protect
    reaching = [one for one in wanted.tenants.values() if one.buckets is None or "customers" in one.buckets]
    assert reaching and all(one.approval == "manual" and one.approvers == 2 for one in reaching)
    assert findings(resources(build(config))) == set()


def test_a_development_environment_lacks_nothing_but_its_protection():
    config = changed(storage={"protect": False}, registry={"protect": False})
    assert {rule for rule, _ in findings(resources(build(config)))} == {"deletion-protection", "secret-recovery"}


def test_the_exceptions_are_few_and_each_is_needed(program: list[Resource]):
    assert len(EXCEPTIONS) <= 6
    unprotected = resources(build(changed(storage={**ADOPTED, "protect": False})))
    used = {
        (kind, rule)
        for rule, resource in (*broken(program), *broken(unprotected))
        if (one := exempt(rule, resource))
        for kind in one.components.intersection(resource.within)
    }
    needed = {(kind, rule) for one in EXCEPTIONS for kind in one.components for rule in one.rules}
    of_buckets = {"bucket-has-encryption", "bucket-has-versions", "deletion-protection"}
    assert needed - used == {(FLOATING, "no-public-address"), *((NETWORK, rule) for rule in of_buckets)}
    assert all(one.reason.endswith(".") for one in EXCEPTIONS)


def test_an_exception_holds_for_no_stack_of_others():
    assert exempt("no-public-address", samples.made("aws:ec2/eip:Eip", component="Addresses"))
    assert exempt("no-public-address", samples.made("aws:ec2/eip:Eip")) is None
    assert exempt("no-public-address", samples.made("aws:ec2/eip:Eip", component="Network")) is None


def test_the_tunnel_is_one_port_of_udp_and_nothing_else():
    for protocol, first, last, covered in (
        ("udp", 51820, 51820, True),
        ("tcp", 51820, 51820, False),
        ("udp", 1, 65535, False),
    ):
        rule = samples.ingress(protocol, first, last, cidrIpv4="0.0.0.0/0")
        ours = samples.made(rule.type, component="Firewall", **rule.inputs)
        assert bool(exempt("no-ingress-from-world", ours)) == covered
