"""Tenants' own source addresses: where they are planned, who gets which, and what the buckets' policies say of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from components.errors import SettingsError
from components.plan import plan
from components.settings import parse
from components.sources import ADDRESSES_PER_INTERFACE, SourcePool
from tests.agent_samples import NOW, definition, state
from tests.unit.program_build import ACCOUNT, RED, build, changed, document
from twinlock.agent.desired import desired
from twinlock.registry.definition import Source, definition_from_json, definition_to_json

OWN = {"red": {"range": "10.90.16.0/20", "principals": [RED], "buckets": ["data"], "prefix": "red/"}}


def tenants(count: int, **more: object) -> dict[str, object]:
    named = {f"t{number:02}": {"range": f"10.90.{64 + number}.0/24", **more} for number in range(count)}
    return {"red": {"range": "10.90.16.0/20"}, "blue": {"range": "10.90.32.0/20"}, **named}


def problems(**objects: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(changed(**objects))
    return str(caught.value).splitlines()[1:]


def test_every_tenant_has_addresses_of_its_own_on_each_gateway():
    slots = plan(parse(changed(tenants=tenants(20)))).slots
    seen = [address for slot in slots for pool in slot.sources.values() for address in [pool.first]]
    assert len(set(seen)) == len(seen) == 2 * 22
    for slot in slots:
        blocks = [IPv4Network(text) for text in slot.source_prefixes]
        assert len(blocks) == 2 and all(block.subnet_of(IPv4Network(slot.public_subnet)) for block in blocks)
        assert not any(IPv4Address(slot.private_address) in block for block in blocks)
        assert all(any(IPv4Address(pool.first) in block for block in blocks) for pool in slot.sources.values())


def test_a_tenant_with_a_later_range_moves_no_address():
    before, after = (plan(parse(changed(tenants=tenants(count)))).slots for count in (3, 4))
    for one, two in zip(before, after, strict=True):
        assert one.sources.items() <= two.sources.items()


def test_more_source_addresses_than_the_machine_holds_are_refused_with_both_numbers():
    (told,) = problems(tenants=tenants(3, source_address="peer", source_addresses=20))
    assert "twinlock:gateway.instance_type = t4g.small" in told and "holds 3 blocks" in told and "want 4" in told
    parse(
        changed(tenants=tenants(3, source_address="peer", source_addresses=20), gateway={"instance_type": "t4g.medium"})
    )


def test_more_source_addresses_than_the_subnet_holds_are_refused():
    (told,) = problems(network={"cidr": "10.20.0.0/23"})
    assert "twinlock:network.cidr = 10.20.0.0/23" in told and "source_address" in told


def test_the_limits_cover_every_type_that_may_be_chosen():
    for name in ADDRESSES_PER_INTERFACE:
        parse(changed(gateway={"instance_type": name}))
    assert {name.partition(".")[0] for name in ADDRESSES_PER_INTERFACE} == {"t4g", "c7gn"}
    # 7 sizes of t4g, 8 of c7gn: as many as the pattern of gateway.instance_type names.
    assert len(ADDRESSES_PER_INTERFACE) == 15


def test_a_prefix_without_an_own_address_and_prefixes_inside_one_another_are_refused():
    (told,) = problems(tenants={"blue": {"range": "10.90.32.0/20", "prefix": "b/", "source_address": "gateway"}})
    assert "twinlock:tenants.blue.prefix = b/" in told
    nested = {"red": {"range": "10.90.16.0/20", "prefix": "a/b/"}, "blue": {"range": "10.90.32.0/20", "prefix": "a/"}}
    (told,) = problems(tenants=nested)
    assert "is not apart from" in told


def test_more_parts_than_a_buckets_policy_has_room_for_are_refused():
    many = {f"t{number}": {"range": f"10.90.{64 + number}.0/24", "prefix": f"p{number}/"} for number in range(9)}
    told = problems(tenants=many)
    assert len(told) == 2 and all("9 prefixes" in line for line in told)


def test_the_largest_policy_of_a_bucket_fits_into_what_s3_takes():
    own = {"source_address": "peer", "source_addresses": 15, "principals": [RED]}
    many = {
        f"a-tenant-of-length-{number}": {"range": f"10.90.{64 + number}.0/24", "prefix": f"{number}{'p' * 61}/", **own}
        for number in range(8)
    }
    shared = {
        name: {"range": cidr, "source_address": "gateway"}
        for name, cidr in (("red", "10.90.16.0/20"), ("blue", "10.90.32.0/20"))
    }
    made = build(changed(tenants={**shared, **many}, gateway={"instance_type": "c7gn.large"}))
    assert len(made.one("BucketPolicy", "data-policy").inputs["policy"].encode()) < 20 * 1024


def test_a_part_of_a_bucket_is_refused_from_everywhere_but_its_tenants_addresses_on_both_gateways():
    made = build(changed(tenants=OWN))
    found = {each["Sid"]: each for each in document(made.one("BucketPolicy", "data-policy"))["Statement"]}
    refused = found["PartOfredObjects"]
    assert (refused["Effect"], refused["Principal"]) == ("Deny", "*")
    assert refused["Resource"] == ["arn:aws:s3:::twinlock-test-data-0a1b2c3d/red/*"]
    assert refused["Condition"]["NotIpAddress"] == {"aws:VpcSourceIp": ["10.20.0.16/32", "10.20.16.16/32"]}
    assert refused["Condition"]["ArnNotLike"] == {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/deployer"]}
    assert found["PartOfredListings"]["Condition"]["StringLike"] == {"s3:prefix": "red/*"}
    assert found["PartOfredMayObjects"]["Principal"] == {"AWS": [RED]}
    assert "TenantsObjects" not in found, "the whole bucket is nobody's"


def test_the_interface_holds_the_blocks_that_the_addresses_are_of():
    made = build(changed(tenants=OWN))
    interfaces = sorted(made.of("NetworkInterface"), key=lambda each: each.name)
    assert [each.inputs["ipv4Prefixes"] for each in interfaces] == [["10.20.0.16/28"], ["10.20.16.16/28"]]


def test_the_first_peers_of_a_tenant_have_addresses_of_their_own_and_the_others_share_one():
    known = definition()
    first = known.tenants[0]
    pool = (Source(slot="a", first="10.0.1.16", count=3), Source(slot="b", first="10.0.2.16", count=3))
    known = definition(tenants=(type(first)(**{**vars(first), "sources": pool}), *known.tenants[1:]))
    assert definition_from_json(definition_to_json(known)) == known
    what = state()
    reach = desired(type(what)(**{**vars(what), "definition": known}), NOW, "a").reach
    assert reach.tenant_sources == ((first.range, "10.0.1.16"),)
    assert reach.peer_sources == (("10.100.1.1", "10.0.1.17"), ("10.100.1.2", "10.0.1.18"))


def test_a_pool_is_told_in_as_few_networks_as_it_takes():
    assert SourcePool(first="10.20.0.16", count=16).networks == ("10.20.0.16/28",)
    assert SourcePool(first="10.20.0.17", count=2).networks == ("10.20.0.17/32", "10.20.0.18/32")
