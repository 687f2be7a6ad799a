"""What the command writes and prints, without a cloud."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from tests.registry_samples import definition, gateway_record, public_key
from twinlock.cli.client_names import PrivateNames
from twinlock.cli.client_output import Form, render
from twinlock.cli.gateway_roll import roll_order
from twinlock.cli.image_pin import moved, pinned
from twinlock.cli.options import duration
from twinlock.cli.private_key import make_private_key, read_private_key, write_private
from twinlock.cli.screen import span
from twinlock.cli.wireguard_file import ClientFile, Way, allowed_networks, wg_quick
from twinlock.registry.errors import Refused
from twinlock.registry.health import FRESH, health
from twinlock.registry.model import Peer
from twinlock.registry.rolling import Rolling, check_may_go

EXPECTED = f"""\
# laptop of tenant red in environment lab
[Interface]
Address = 10.64.1.1/32
MTU = 1420
# PrivateKey = (the private key of this peer)

# The service. No endpoint: the gateway that serves calls.
[Peer]
PublicKey = {public_key("service")}
AllowedIPs = 10.64.0.1/32, 3.5.64.0/21, 52.218.0.0/17

# The way to gateway a.
[Peer]
PublicKey = {public_key("way a")}
Endpoint = 198.51.100.10:51820
PersistentKeepalive = 25

# The way to gateway b.
[Peer]
PublicKey = {public_key("way b")}
Endpoint = 198.51.100.11:51820
PersistentKeepalive = 25
"""


def client_file() -> ClientFile:
    return ClientFile(
        environment="lab",
        peer=Peer(
            tenant="red", name="laptop", public_key=public_key(1), address="10.64.1.1", state="approved",
            enrolled_by="A:a", enrolled_at=1, approved_by=("B:b",), expires_at=None,
        ),
        mtu=1420,
        service_public_key=public_key("service"),
        allowed=("10.64.0.1/32", "3.5.64.0/21", "52.218.0.0/17"),
        ways=tuple(
            Way(slot=slot, public_key=public_key(f"way {slot}"), endpoint=f"198.51.100.{10 + index}:51820")
            for index, slot in enumerate("ab")
        ),
    )  # fmt: skip


def test_the_client_file_is_this_text():
    assert wg_quick(client_file(), None) == EXPECTED


def test_the_private_key_stands_in_the_file_and_nothing_else_changes():
    key = make_private_key()
    line = f"PrivateKey = {key.reveal()}"
    assert wg_quick(client_file(), key) == EXPECTED.replace("# PrivateKey = (the private key of this peer)", line)


NAMES = PrivateNames(server="10.64.0.1", zones=("corp.internal", "example.com"))


def test_systemd_resolved_is_told_of_private_names_by_a_command_and_no_app_is():
    file, key = client_file(), make_private_key()
    named = replace(file, names=NAMES)
    (line,) = set(wg_quick(named, None).splitlines()) - set(EXPECTED.splitlines())
    told = "resolvectl dns %i 10.64.0.1 && resolvectl domain %i '~corp.internal' '~example.com'"
    assert line.startswith(f"PostUp = {told} || echo ")
    assert "DNS =" not in wg_quick(named, None), "which would be the server of every name"
    for form in (Form.QR, Form.PNG):
        assert render(named, key, form) == render(file, key, form)


def test_networkmanager_and_networkd_ask_the_gateway_for_the_zones_alone():
    file, key = replace(client_file(), names=NAMES), make_private_key()
    (keyfile,) = render(file, key, Form.NETWORK_MANAGER).values()
    assert b"dns=10.64.0.1;\ndns-search=~corp.internal;~example.com;\n" in keyfile
    network = render(file, key, Form.NETWORKD)["tl-lab.network"]
    assert b"DNS=10.64.0.1\nDomains=~corp.internal ~example.com\nDNSDefaultRoute=no\n" in network
    for form in (Form.NETWORK_MANAGER, Form.NETWORKD):
        assert not any(b"dns" in text.lower() for text in render(client_file(), key, form).values())


def test_a_private_key_shows_itself_to_nobody_by_accident():
    key = make_private_key()
    for shown in (repr(key), str(key), f"{key!r:>9}"):
        assert key.reveal() not in shown
        assert repr(key._raw) not in shown


def test_a_client_routes_what_its_tenant_may_reach_and_no_more():
    tenants = {tenant.name: tenant for tenant in definition().tenants}
    gateways = [gateway_record("a"), gateway_record("b", storage_prefixes=("3.5.64.0/22", "16.12.18.0/23"))]
    storage = ("3.5.64.0/21", "16.12.18.0/23", "52.218.0.0/17")
    assert allowed_networks(definition(), tenants["auto"], gateways) == ("10.64.0.1/32",)
    assert allowed_networks(definition(), tenants["strict"], gateways) == ("10.64.0.1/32", *storage)
    more = ("10.80.12.7/32", "10.80.64.0/20")
    red = allowed_networks(definition(), tenants["red"], gateways)
    assert (red[0], set(red)) == ("10.64.0.1/32", {"10.64.0.1/32", *storage, *more})


def test_whoever_reaches_the_storage_routes_its_private_addresses_too():
    held = replace(definition(), storage_addresses=("10.80.128.9", "10.80.144.9"))
    tenants = {tenant.name: tenant for tenant in held.tenants}
    strict = allowed_networks(held, tenants["strict"], [gateway_record("a")])
    assert {"10.80.128.9/32", "10.80.144.9/32"} <= set(strict)
    assert allowed_networks(held, tenants["auto"], [gateway_record("a")]) == ("10.64.0.1/32",)


def test_a_file_without_the_storages_addresses_is_not_written():
    with pytest.raises(Refused, match="twinlock status"):
        allowed_networks(definition(), definition().tenants[0], [])


def test_a_private_file_is_0600_from_birth_and_no_key_is_overwritten(tmp_path: Path):
    path = tmp_path / "key"
    write_private(path, "one\n", replace=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Refused, match="is there already"):
        write_private(path, "two\n", replace=False)
    assert path.read_text() == "one\n"
    path.chmod(0o644)
    write_private(path, "three\n", replace=True)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("three\n", 0o600)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "AAAA\n", "not base64\n", "é"])
def test_a_file_that_holds_no_private_key_is_refused(tmp_path: Path, content: str):
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(Refused, match="private key"):
        read_private_key(path)


def test_a_private_key_comes_back_from_its_file(tmp_path: Path):
    key = make_private_key()
    write_private(tmp_path / "key", key.reveal() + "\n", replace=False)
    assert read_private_key(tmp_path / "key") == key


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)])
def test_durations_are_said_with_a_unit(text: str, seconds: int):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "10", "-1m", "1.5h", "1w", "1m\n", "9" * 10 + "s"])
def test_what_is_no_duration_is_bad_usage(text: str):
    with pytest.raises(typer.BadParameter):
        duration(text)


def seen(now: int = 1_000, **records):
    found = [
        gateway_record(slot, **{"heartbeat_at": now, "applied": {"red": 3}} | what) for slot, what in records.items()
    ]
    return health(definition(), found, {"red": 3}, now)


def test_a_gateway_is_well_that_speaks_and_has_made_everything_true():
    assert [one.problem for one in seen(a={}, b={})] == [None, None]


@pytest.mark.parametrize(
    ("b", "says"),
    [
        ({"heartbeat_at": 1_000 - FRESH - 1}, "silent for 16 s"),
        ({"applied": {"red": 1}}, "behind by 2 of tenant red"),
        ({"applied": {}}, "behind by 3 of tenant red"),
    ],
)
def test_a_gateway_that_is_not_well_keeps_its_twin_from_being_replaced(b: dict, says: str):
    found = seen(a={}, b=b)
    assert found[1].problem == says
    with pytest.raises(Refused, match=says):
        check_may_go(found, "a", Rolling())
    assert check_may_go(found, "b", Rolling()) == gateway_record("b").instance_id, (
        "a sick one may go while its twin is well"
    )


def test_a_gateway_that_never_registered_keeps_its_twin_too():
    with pytest.raises(Refused, match="never registered"):
        check_may_go(seen(a={}), "a", Rolling())


def test_who_serves_is_replaced_last():
    assert roll_order(seen(a={"serving": True}, b={}), None) == ("b", "a")
    assert roll_order(seen(a={}, b={"serving": True}), None) == ("a", "b")
    assert roll_order(seen(a={}, b={}), "b") == ("b",)
    with pytest.raises(Refused, match="no slot c; there are: a, b"):
        roll_order(seen(a={}, b={}), "c")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (119, "119 s"), (120, "2 m"), (7_200, "2 h"), (172_799, "47 h"), (172_800, "2 d")]
)
def test_a_span_is_told_in_the_largest_unit_that_fits(seconds: int, told: str):
    assert span(seconds) == told


STACK = """\
# keep me
config:
  twinlock:gateway:
    image: ami-0123456789abcdef0  # Debian 13
    instance_type: t4g.small
"""


def test_moving_the_images_pin_changes_its_line_alone():
    assert pinned(STACK, "Pulumi.dev.yaml") == "ami-0123456789abcdef0"
    assert moved(STACK, "ami-00000000") == STACK.replace("ami-0123456789abcdef0", "ami-00000000")
    assert moved(STACK, pinned(STACK, "")) == STACK


@pytest.mark.parametrize(
    "text", ["", STACK + STACK, STACK.replace("ami-", "latest-"), STACK.replace("    image", "image")]
)
def test_a_stack_file_that_does_not_pin_one_image_is_refused(text: str):
    with pytest.raises(Refused, match=r"Pulumi\.dev\.yaml should pin one image"):
        pinned(text, "Pulumi.dev.yaml")
