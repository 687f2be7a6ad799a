"""What a configuration may say, and what is told of one that may not."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from components.errors import SettingsError
from components.settings import OBJECTS, parse
from tests.unit.program_build import CONFIG, changed
from userdata.render import NEVER, PRIVATE

ROOT = Path(__file__).parents[2]


def tenant(of: dict[str, object]) -> dict[str, object]:
    return changed(tenants={"x": of})


def mistakes(config: dict[str, object]) -> dict[str, str]:
    """Key -> the whole line of each problem."""
    with pytest.raises(SettingsError) as caught:
        parse(config)
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_a_sound_configuration_is_taken_with_its_defaults():
    settings = parse(CONFIG)
    assert settings.environment == "test"
    assert settings.network.cidr == IPv4Network("10.20.0.0/16")
    assert (settings.tunnel.port, settings.tunnel.mtu) == (51820, 1420)
    assert settings.storage.other_buckets == "refuse"
    assert settings.storage.protect and settings.registry.protect


def test_settings_do_not_change_once_read():
    with pytest.raises(ValueError, match="frozen"):
        parse(CONFIG).tunnel.port = 1  # type: ignore[misc]


def test_all_mistakes_are_told_at_once_each_with_key_value_and_mend():
    config = changed(tunnel={"mtu": 900}, gateway={"image": "debian"}, network={"zones": ["eu-west-1a"]})
    found = mistakes(config)
    assert set(found) == {"twinlock:tunnel.mtu", "twinlock:gateway.image", "twinlock:network.zones"}
    assert "900" in found["twinlock:tunnel.mtu"] and "1280 to 8921" in found["twinlock:tunnel.mtu"]
    assert "debian" in found["twinlock:gateway.image"] and "ami-" in found["twinlock:gateway.image"]
    assert "name two" in found["twinlock:network.zones"]


def test_a_mistake_in_one_object_does_not_hide_one_between_two_others():
    config = changed(gateway={"image": "x"}, tunnel={"range": "10.20.0.0/16"})
    assert {"twinlock:gateway.image", "twinlock:tunnel.range"} <= set(mistakes(config))


AUTO = {f"t{number}": {"range": f"10.90.{64 + number}.0/24", "approval": "auto"} for number in range(41)}


def test_an_empty_configuration_names_everything_that_is_missing():
    found = mistakes({"environment": "dev"})
    assert set(found) >= {
        "aws:region",
        "twinlock:network.zones",
        "twinlock:tunnel.range",
        "twinlock:gateway.image",
        "twinlock:storage.buckets",
        "twinlock:tenants",
    }


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("twinlock:network.cdir", changed(network={"cdir": "10.20.0.0/16"})),
        ("the stack's name", changed(environment="Test")),
        ("the stack's name", changed(environment="a" * 21)),
        ("aws:region", changed(region="cn-north-1")),
        ("twinlock:network.cidr", changed(network={"cidr": "10.20.0.1/16"})),
        ("twinlock:network.cidr", changed(network={"cidr": "10.20.0.0/25"})),
        ("twinlock:network.cidr", changed(network={"cidr": "8.8.0.0/16"})),
        ("twinlock:network.cidr", changed(network={"cidr": "169.254.0.0/16"})),
        ("twinlock:network.zones", changed(network={"zones": ["eu-west-1a", "eu-west-1a"]})),
        ("twinlock:network.zones[1]", changed(network={"zones": ["eu-west-1a", "eu-west-2b"]})),
        ("twinlock:tunnel.range", changed(tunnel={"range": "10.20.128.0/17"})),
        ("twinlock:tunnel.port", changed(tunnel={"port": 65533})),
        ("twinlock:tunnel.port", changed(tunnel={"port": 53})),
        ("twinlock:tunnel.mtu", changed(tunnel={"mtu": 8922})),
        ("twinlock:tunnel.client_ranges", changed(tunnel={"client_ranges": []})),
        ("twinlock:tunnel.dns.zones", changed(tunnel={"dns": {}})),
        ("twinlock:tunnel.dns.zones", changed(tunnel={"dns": {"zones": [f"z{n}.internal" for n in range(11)]}})),
        ("twinlock:tunnel.dns.zones", changed(tunnel={"dns": {"zones": ["corp.internal", "corp.internal"]}})),
        *(
            ("twinlock:tunnel.dns.zones[0]", changed(tunnel={"dns": {"zones": [zone]}}))
            for zone in (
                "com", ".", "", "Corp.internal", "corp.internal.", "*.corp.internal", "a b.internal", "x.local",
                "-a.internal", "a..internal", "a_b.internal", "x';reboot;'", f"{'a' * 64}.internal",
                ".".join(["a" * 60] * 5),
            )
        ),
        ("twinlock:tunnel.dns.servers", changed(tunnel={"dns": {"zones": ["corp.internal"], "servers": ["1.1.1.1"]}})),
        ("twinlock:gateway.instance_type", changed(gateway={"instance_type": "t3.small"})),
        ("twinlock:gateway.disk_gib", changed(gateway={"disk_gib": 1})),
        ("twinlock:storage.buckets[0]", changed(storage={"buckets": ["Data"]})),
        ("twinlock:storage.buckets[1]", changed(storage={"buckets": ["data", "agent"]})),
        ("twinlock:storage.buckets", changed(storage={"buckets": ["data", "data"]})),
        ("twinlock:storage.other_buckets", changed(storage={"other_buckets": "maybe"})),
        ("twinlock:storage.break_glass[0]", changed(storage={"break_glass": ["root"]})),
        ("twinlock:tenants", {**CONFIG, "tenants": {}}),
        ("twinlock:tenants.Red", {**CONFIG, "tenants": {"Red": {"range": "10.90.16.0/20"}}}),
        ("twinlock:tenants.x.range", changed(tenants={"x": {"range": "10.90.16.0/24"}})),
        ("twinlock:tenants.x.range", changed(tenants={"x": {"range": "10.91.0.0/24"}})),
        ("twinlock:tenants.x.range", changed(tenants={"x": {"range": "10.90.0.0/24"}})),
        ("twinlock:tenants.x.range", changed(tenants={"x": {"range": "10.90.64.0/31"}})),
        ("twinlock:tenants.x.approvers", tenant({"range": "10.90.64.0/24", "approvers": 0})),
        ("twinlock:tenants.x.cidrs[0]", tenant({"range": "10.90.64.0/24", "cidrs": ["169.254.0.0/24"]})),
        ("twinlock:tenants.x.cidrs[0]", tenant({"range": "10.90.64.0/24", "cidrs": ["0.0.0.0/0"]})),
        ("twinlock:tenants.x.buckets[0]", tenant({"range": "10.90.64.0/24", "buckets": ["other"]})),
        ("twinlock:tenants.x.principals[0]", tenant({"range": "10.90.64.0/24", "principals": ["*"]})),
        ("twinlock:tenants", {**CONFIG, "tenants": AUTO}),
        ("twinlock:network.vpc_id", changed(network={"vpc_id": "default"})),
        ("twinlock:network.adopt", changed(network={"adopt": True})),
        ("twinlock:storage.buckets", changed(storage={"buckets": []})),
        ("twinlock:storage.buckets", changed(storage={"buckets": ["data"], "existing": {"data": "our-data"}})),
        ("twinlock:storage.existing", changed(storage={"existing": {"one": "our-data", "two": "our-data"}})),
        ("twinlock:storage.adopt[0]", changed(storage={"adopt": ["data"]})),
        ("twinlock:storage.adopt", changed(storage={"existing": {"old": "our-data"}, "adopt": ["old", "old"]})),
        ("twinlock:storage.existing.agent", changed(storage={"existing": {"agent": "our-data"}})),
        ("twinlock:storage.existing.x", changed(storage={"existing": {"x": "has.dots"}})),
        ("twinlock:registry.protect", changed(registry={"protect": "perhaps"})),
        ("twinlock:network", {**CONFIG, "network": "10.20.0.0/16"}),
    ],
)  # fmt: skip
def test_what_aws_or_the_design_refuses_is_refused_under_its_own_key(key: str, config: dict[str, object]):
    assert key in mistakes(config)


def test_private_zones_are_off_unless_named_and_each_mistake_is_one_line():
    assert parse(CONFIG).tunnel.dns is None
    zones = ["corp.internal", "internal", "db.example.com", "20.10.in-addr.arpa"]
    dns = parse(changed(tunnel={"dns": {"zones": zones}})).tunnel.dns
    assert dns is not None and list(dns.zones) == zones
    for zone in ("com", "two\nlines.internal"):
        line = mistakes(changed(tunnel={"dns": {"zones": [zone]}}))["twinlock:tunnel.dns.zones[0]"]
        assert "\n" not in line and "corp.internal" in line


def test_a_wrong_value_is_shown_only_in_part_when_it_is_long():
    line = mistakes(changed(gateway={"image": "ami-" + "0" * 500}))["twinlock:gateway.image"]
    assert len(line) < 250


def test_the_development_stack_that_ships_needs_its_image_and_nothing_else():
    shipped = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    raw: dict[str, object] = {"environment": "dev", "region": shipped.pop("aws:region")}
    raw |= {key.removeprefix("twinlock:"): value for key, value in shipped.items()}
    assert set(mistakes(raw)) == {"twinlock:gateway.image"}
    raw["gateway"] = {**raw["gateway"], "image": "ami-0123456789abcdef0"}  # type: ignore[dict-item]
    assert parse(raw).environment == "dev"


def test_the_projects_file_describes_every_object_of_the_configuration():
    described = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(described) == {f"twinlock:{name}" for name in OBJECTS}
    assert all(entry["type"] == "object" and entry["description"] for entry in described.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(["network", "tunnel", "gateway", "storage", "tenants", "registry"]), value=json_values)
def test_whatever_stands_in_the_configuration_is_taken_or_told_and_nothing_else(name: str, value: object):
    config = json.loads(json.dumps({**CONFIG, name: value}))
    try:
        parse(config)
    except SettingsError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.key and problem.mend and "\n" not in problem.key


networks = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(int(IPv4Network("10.0.0.0/8").network_address), int(IPv4Network("10.0.0.0/8").broadcast_address)),
    st.integers(10, 30),
)


@given(vpc=networks, tunnel=networks, one=networks, other=networks)
def test_what_is_taken_never_overlaps(vpc: IPv4Network, tunnel: IPv4Network, one: IPv4Network, other: IPv4Network):
    config = changed(network={"cidr": str(vpc)}, tunnel={"range": str(tunnel)})
    # Of the smallest networks no addresses of a tenant's own can be had.
    small = {"source_address": "gateway"}
    config["tenants"] = {"one": {"range": str(one), **small}, "other": {"range": str(other), **small}}
    try:
        settings = parse(config)
    except SettingsError:
        wrong = vpc.overlaps(tunnel) or one.overlaps(other) or not one.subnet_of(tunnel) or not other.subnet_of(tunnel)
        sizes = not 16 <= vpc.prefixlen <= 24 or tunnel.prefixlen > 24 or one.prefixlen > 29 or other.prefixlen > 29
        gateways = IPv4Network((tunnel.network_address, 28)) if tunnel.prefixlen <= 28 else tunnel
        assert wrong or sizes or gateways.overlaps(one) or gateways.overlaps(other)
        return
    assert not settings.network.cidr.overlaps(settings.tunnel.range)
    assert not one.overlaps(other)


@given(data=st.data(), tunnel=st.sampled_from(["10.90.0.0/16", "172.16.0.0/12", "10.90.1.0/24"]))
def test_any_part_of_the_tunnel_beyond_the_gateways_own_is_taken(data: st.DataObject, tunnel: str):
    whole = IPv4Network(tunnel)
    prefix = data.draw(st.integers(whole.prefixlen + 1, 28))
    offset = data.draw(st.integers(0, 2 ** (prefix - whole.prefixlen) - 1))
    part = IPv4Network((int(whole.network_address) + offset * 2 ** (32 - prefix), prefix))
    assume(offset > 0)
    config = {**changed(tunnel={"range": tunnel}), "tenants": {"red": {"range": str(part)}}}
    assert parse(config).tenants["red"].range == part


def test_a_full_tunnel_needs_the_tunnels_ipv6_and_is_off_by_default():
    red = {"range": "10.90.16.0/20", "internet": True}
    found = mistakes(changed(tenants={"red": red}, tunnel={"ipv6": False}))
    assert set(found) == {"twinlock:tenants.red.internet"}
    assert "set twinlock:tunnel.ipv6 to true" in found["twinlock:tenants.red.internet"]
    settings = parse(changed(tenants={"red": red, "blue": {"range": "10.90.64.0/20"}}, tunnel={"ipv6": True}))
    assert (settings.tenants["red"].internet, settings.tenants["blue"].internet) == (True, False)


SPECIAL = st.sampled_from([*PRIVATE, *NEVER]).flatmap(lambda cidr: st.ip_addresses(network=cidr))


@given(st.one_of(st.ip_addresses(v=4), SPECIAL))
def test_no_network_that_an_environment_may_have_is_part_of_the_internet(address: IPv4Address):
    assume(address.is_private or address in IPv4Network("100.64.0.0/10"))
    assert any(address in IPv4Network(cidr) for cidr in (*PRIVATE, *NEVER))
