"""The forms of a client's file: each as the program reads it that it is for."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command_cloud import facts, gateways_are_up, run
from tests.registry_samples import definition, gateway_record, public_key, write_definition

NETWORKD = "/usr/lib/systemd/systemd-networkd"
# systemd's own parser, in a network and a /run of its own; it says what it does not understand, and goes on.
PARSE = f"""
mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/network /run/systemd/netif/links
cp "$1"/* /run/systemd/network/ && chmod 0640 /run/systemd/network/*
chgrp -R systemd-network /run/systemd/network
SYSTEMD_LOG_LEVEL=info timeout 3 {NETWORKD} 2>&1
true
"""
# Where packets go of a device with a way out: a program's, WireGuard's own (by its mark), a program's by IPv6.
QUICK = """
mount -t tmpfs none /run
ip link add net type veth peer name far
ip link set lo up; ip link set net up; ip link set far up
ip addr add 192.0.2.9/24 dev net; ip route add default via 192.0.2.1
trap 'wg-quick down "$1" >&2' EXIT
wg-quick up "$1" >&2
ip -o route get 151.101.1.9
ip -o route get 198.51.100.11 mark "$(wg show tlfull fwmark)"
ip -6 -o route get 2606:4700::1
"""
# NetworkManager's own reader of keyfiles, without its daemon: the connection as it understood it, and its warnings.
KEYFILE = """
import json, sys, gi
gi.require_version("NM", "1.0")
from gi.repository import GLib, NM
def warned(keyfile, connection, kind, data, user):
    if kind == NM.KeyfileHandlerType.WARN:
        warnings.append(data.get_group() + ": " + data.get_message())
    return False
warnings, file = [], GLib.KeyFile()
file.load_from_file(sys.argv[1], GLib.KeyFileFlags.NONE)
read = NM.keyfile_read(file, "/etc/NetworkManager/system-connections", NM.KeyfileHandlerFlags.NONE, warned, None)
read.verify()
tunnel = read.get_setting_by_name("wireguard")
peers = [tunnel.get_peer(number) for number in range(tunnel.get_peers_len())]
ip = [read.get_setting_ip4_config(), read.get_setting_ip6_config()]
print(json.dumps({
    "warnings": warnings, "key": tunnel.get_private_key(), "mtu": tunnel.get_mtu(),
    "peers": [
        [one.get_public_key(), one.get_endpoint(), one.get_persistent_keepalive(),
         [one.get_allowed_ip(number) for number in range(one.get_allowed_ips_len())], one.is_valid(True, True)]
        for one in peers
    ],
    "addresses": [each.get_address(number).get_address() for each in ip for number in range(each.get_num_addresses())],
    "dns": [ip[0].get_dns(number) for number in range(ip[0].get_num_dns())],
    "search": [ip[0].get_dns_search(number) for number in range(ip[0].get_num_dns_searches())],
}))
"""


@pytest.fixture(params=["", "fd12:3456:789a::/96"], ids=["IPv4", "both families"])
def key(request, cloud, dynamodb, registry_table) -> str:
    write_definition(dynamodb, registry_table, replace(definition(), prefix6=request.param))
    gateways_are_up(cloud.registry, 1)
    made = facts("peer", "keygen", "--out", "job.key")
    facts("peer", "enrol", "job", "-t", "auto", "-k", made["public_key"])
    return Path("job.key").read_text().strip()


def config(*words: str):
    return run("peer", "config", "job", "-t", "auto", *words)


def with_key(form: str, *words: str):
    return config("--private-key-file", "job.key", "--format", form, *words)


def parsed_by_networkd(folder: Path) -> str:
    argv = ["unshare", "--mount", "--net", "sh", "-c", PARSE, "-", str(folder)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Enumeration completed" in said
    return "".join(line for line in said.splitlines() if line.startswith("/run/systemd/network/"))


def test_systemd_networkd_understands_every_line_of_its_files(key, tmp_path):
    assert shutil.which(NETWORKD)
    folder = tmp_path / "networkd"
    folder.mkdir()
    assert with_key("networkd", "--out", str(folder)).exit_code == 0
    netdev = folder / "tl-lab.netdev"
    assert {path.name for path in folder.iterdir()} == {"tl-lab.netdev", "tl-lab.network"}
    assert stat.S_IMODE(netdev.stat().st_mode) == 0o600
    assert parsed_by_networkd(folder) == ""
    netdev.write_text(netdev.read_text().replace("AllowedIPs=", "AllowedIPs=nonsense,"))
    assert "ignoring" in parsed_by_networkd(folder), "the parser says what is wrong, so its silence counts"


def test_a_keyfile_holds_the_whole_tunnel(key):
    read = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    read.optionxform = str
    read.read_string(with_key("networkmanager").stdout)
    assert read["connection"]["type"] == "wireguard"
    assert read["wireguard"]["private-key"] == key
    four, *six = facts("peer", "show", "job", "-t", "auto")["addresses"]
    routed = ["10.64.0.1/32", *(["fd12:3456:789a::a40:1/128"] if six else [])]
    assert read[f"wireguard-peer.{public_key('service')}"]["allowed-ips"] == ";".join(routed) + ";"
    assert read[f"wireguard-peer.{public_key('way b')}"]["endpoint"] == "198.51.100.11:51820"
    assert read["ipv4"]["address1"] == f"{four}/32"
    assert dict(read["ipv6"]) == ({"address1": f"{six[0]}/128", "method": "manual"} if six else {"method": "disabled"})
    assert with_key("networkmanager").stdout == with_key("networkmanager").stdout, "the same file each time"


def read_by_networkmanager(path: Path) -> dict[str, Any]:
    said = subprocess.run(
        ["/usr/bin/python3", "-c", KEYFILE, path], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(said.stdout)


@pytest.mark.long
def test_networkmanager_reads_the_whole_tunnel_from_its_keyfile(named, tmp_path):
    path = tmp_path / "tl.nmconnection"
    assert with_key("networkmanager", "--out", str(path)).exit_code == 0
    read, shown = read_by_networkmanager(path), facts("peer", "config", "job", "-t", "auto")
    ways = [[public_key(f"way {slot}"), f"198.51.100.1{at}:51820", 25, [], True] for at, slot in enumerate("ab")]
    assert read == {
        "warnings": [],
        "key": named,
        "mtu": shown["mtu"],
        "peers": [[public_key("service"), None, 0, shown["allowed"], True], *ways],
        "addresses": facts("peer", "show", "job", "-t", "auto")["addresses"],
        "dns": ["10.64.0.1"],
        "search": ["~corp.internal", "~db.example.com"],
    }


def seen_by_a_camera(picture: Path) -> str:
    argv = ["zbarimg", "--raw", "--quiet", str(picture)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.long
def test_a_camera_reads_the_file_from_the_picture_and_from_the_terminal(key, tmp_path):
    assert with_key("png", "--out", "tl.png").exit_code == 0
    text = config("--private-key-file", "job.key", "--no-dns").stdout
    assert seen_by_a_camera(Path("tl.png")).strip() == text.strip()
    # Two dots a character, one above the other, drawn light on dark; a camera wants a few pixels a dot.
    drawn = [line for line in with_key("qr").stdout.splitlines() if set(line) & set("█▀▄")]
    rows = [[one in lit for one in line] for line in drawn for lit in ("█▀", "█▄")]
    pixels = [" ".join("1 1 1 1" if not dot else "0 0 0 0" for dot in row) for row in rows for _ in range(4)]
    shown = tmp_path / "terminal.pbm"
    shown.write_text(f"P1\n{4 * len(rows[0])} {len(pixels)}\n" + "\n".join(pixels) + "\n")
    assert seen_by_a_camera(shown).strip() == text.strip()


def test_the_picture_is_a_png_for_its_owner_alone_and_the_terminal_shows_blocks(key):
    assert with_key("png", "--out", "tl.png").exit_code == 0
    picture = Path("tl.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert stat.S_IMODE(os.stat("tl.png").st_mode) == 0o600  # noqa: PTH116
    shown = with_key("qr")
    assert shown.exit_code == 0
    assert set("█▀▄") & set(shown.stdout)
    assert key not in shown.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--format", "png", "--private-key-file", "job.key"), 2, "needs --out"),
        (("--format", "networkd"), 2, "--private-key-file"),
        (("--format", "fax"), 2, "fax"),
        (("--single",), 3, "write [ways, floating-ip] under twinlock:gateway.endpoints"),
        (("--format", "networkd", "--private-key-file", "job.key", "--out", "no/such/folder"), 3, "can't write"),
    ],
)
def test_a_form_that_can_not_be_is_refused(key, words, code, says):
    refused = config(*words)
    assert (refused.exit_code, says in refused.stderr, refused.stdout) == (code, True, "")
    assert "Traceback" not in refused.stderr


def test_show_says_what_of_a_file_has_aged(cloud, key):
    facts("peer", "enrol", "laptop", "-t", "red", "-k", public_key("laptop"))
    Path("tl.conf").write_text(run("peer", "config", "laptop", "-t", "red").stdout)
    words = ("peer", "show", "laptop", "-t", "red", "--file", "tl.conf")
    assert facts(*words)["aged"] == []
    assert "as it should be" in run(*words).stdout
    for slot in "ab":
        cloud.registry.put_gateway(gateway_record(slot, storage_prefixes=("52.218.0.0/17", "16.12.18.0/23")))
    assert facts(*words)["aged"] == ["lacks AllowedIPs 16.12.18.0/23", "still has AllowedIPs 3.5.64.0/21"]
    assert run("peer", "show", "laptop", "-t", "red", "--file", "none.conf").exit_code == 3


@pytest.fixture
def everywhere(cloud, dynamodb, registry_table, key) -> Callable[[bool], None]:
    """Says whether tenants auto and red reach the internet."""

    def say(internet: bool) -> None:
        tenants = tuple(replace(one, internet=internet and one.name in ("auto", "red")) for one in definition().tenants)
        held = replace(definition(), prefix6="fd12:3456:789a::/96", tenants=tenants)
        write_definition(dynamodb, registry_table, held)

    say(True)
    return say


def test_a_full_tunnel_is_for_tenants_that_reach_the_internet_and_comes_with_a_warning(everywhere):
    made = config("--full", "--json")
    assert made.exit_code == 0 and "all of this device's traffic will go by the gateways" in made.stderr
    assert json.loads(made.stdout)["allowed"] == ["0.0.0.0/0", "::/0"]
    text = config("--full").stdout
    assert text.count("AllowedIPs") == 1 and "AllowedIPs = 0.0.0.0/0, ::/0\n" in text
    assert "0.0.0.0/0" not in config().stdout and config().stderr == ""
    everywhere(False)
    refused = config("--full")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "does not reach the internet" in refused.stderr and "Traceback" not in refused.stderr


def test_a_peer_that_is_kept_from_the_internet_gets_no_full_tunnel(everywhere):
    for name, reach in (("tv", "internet"), ("pc", "nfs")):
        facts("peer", "enrol", name, "-t", "red", "-k", public_key(name), "--reach", reach)
    assert facts("peer", "config", "tv", "-t", "red", "--full")["allowed"] == ["0.0.0.0/0", "::/0"]
    refused = run("peer", "config", "pc", "-t", "red", "--full")
    assert (refused.exit_code, refused.stdout) == (3, "") and "reaches nfs alone" in refused.stderr


def test_a_file_for_all_traffic_is_right_as_long_as_its_tenant_may_have_it(everywhere):
    Path("all.conf").write_text(config("--full").stdout)
    words = ("peer", "show", "job", "-t", "auto", "--file", "all.conf")
    assert facts(*words)["aged"] == []
    everywhere(False)
    assert {"still has AllowedIPs 0.0.0.0/0", "still has AllowedIPs ::/0"} <= set(facts(*words)["aged"])


def test_a_full_tunnel_keeps_wireguards_own_packets_out_of_it_in_each_form(everywhere, tmp_path):
    keyfile = with_key("networkmanager", "--full").stdout
    assert "allowed-ips=0.0.0.0/0;::/0;" in keyfile
    assert "ip4-auto-default-route=1\nip6-auto-default-route=1\n" in keyfile
    folder = tmp_path / "networkd"
    folder.mkdir()
    assert with_key("networkd", "--full", "--out", str(folder)).exit_code == 0
    netdev, network = ((folder / f"tl-lab.{kind}").read_text() for kind in ("netdev", "network"))
    assert "RouteTable=51820\nFirewallMark=51820\n" in netdev and "RouteTable=main" not in netdev
    assert network.count("[RoutingPolicyRule]") == 2 and "FirewallMark=51820\nInvertRule=yes" in network
    assert parsed_by_networkd(folder) == ""


def test_wg_quick_routes_everything_into_a_full_tunnel_but_its_own_packets_to_the_gateways(everywhere, tmp_path):
    """The stock wg-quick, in namespaces of its own."""
    path = tmp_path / "tlfull.conf"
    assert with_key("wg-quick", "--full", "--out", str(path)).exit_code == 0
    argv = ["unshare", "--mount", "--net", "sh", "-ec", QUICK, "-", str(path)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    plain, marked, six = said.stdout.strip().splitlines()
    assert "dev tlfull" in plain and "dev net" in marked and "dev tlfull" in six


def test_the_file_of_a_narrowed_peer_routes_what_it_reaches_alone(cloud):
    gateways_are_up(cloud.registry, 1)
    facts("peer", "enrol", "pc", "-t", "red", "-k", public_key("pc"), "--reach", "nfs")
    shown = facts("peer", "config", "pc", "-t", "red")
    assert (shown["allowed"], shown["reach"]) == (["10.64.0.1/32", "10.80.12.7/32"], ["nfs"])
    unknown = run("peer", "enrol", "tv", "-t", "red", "-k", public_key("tv"), "--reach", "smb")
    assert (unknown.exit_code, unknown.stdout) == (3, "") and "does not reach smb" in unknown.stderr


@pytest.fixture
def named(dynamodb, registry_table, key) -> str:
    write_definition(dynamodb, registry_table, replace(definition(), zones=("corp.internal", "db.example.com")))
    return key


@pytest.mark.parametrize("resolved", [True, False])
def test_wg_quick_tells_systemd_resolved_of_private_names_and_comes_up_without_it(named, tmp_path, resolved):
    """The stock wg-quick; a program in resolvectl's place writes down what it was told."""
    path, tools = tmp_path / "tlnames.conf", tmp_path / "bin"
    tools.mkdir()
    if resolved:
        (tools / "resolvectl").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/told\n')
        (tools / "resolvectl").chmod(0o755)
    assert with_key("wg-quick", "--out", str(path)).exit_code == 0
    script = f"""
    mount -t tmpfs none /run; PATH={tools}:$PATH
    trap 'wg-quick down "$1" >&2' EXIT
    wg-quick up "$1" >&2; ip -o link show tlnames
    """
    argv = ["unshare", "--mount", "--net", "sh", "-ec", script, "-", str(path)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0 and "tlnames" in said.stdout, said.stderr
    if resolved:
        told = ["dns tlnames 10.64.0.1", "domain tlnames ~corp.internal ~db.example.com"]
        assert (tmp_path / "told").read_text().splitlines() == told
    else:
        assert "\ntwinlock: private names need systemd-resolved, and do not resolve here\n" in said.stderr


def test_the_names_address_is_routed_and_every_form_has_them_but_a_phones(named, tmp_path):
    shown = facts("peer", "config", "job", "-t", "auto")
    assert shown["names"] == {"server": "10.64.0.1", "zones": ["corp.internal", "db.example.com"]}
    assert "10.64.0.1/32" in shown["allowed"]
    folder = tmp_path / "networkd"
    folder.mkdir()
    assert with_key("networkd", "--out", str(folder)).exit_code == 0
    assert parsed_by_networkd(folder) == ""
    assert "Domains=~corp.internal ~db.example.com\n" in (folder / "tl-lab.network").read_text()
    read = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    read.read_string(with_key("networkmanager").stdout)
    assert (read["ipv4"]["dns"], read["ipv4"]["dns-search"]) == ("10.64.0.1;", "~corp.internal;~db.example.com;")
    told = with_key("qr")
    assert told.exit_code == 0 and "do not resolve there (corp.internal, db.example.com)" in told.stderr
    for form in ("wg-quick", "networkmanager", "networkd", "qr"):
        without = with_key(form, "--no-dns")
        assert without.exit_code == 0 and "corp.internal" not in without.stdout + without.stderr
    assert with_key("qr").stdout == with_key("qr", "--no-dns").stdout


def test_the_storages_private_name_is_for_those_who_reach_the_storage(cloud, dynamodb, registry_table, key):
    zone = "s3.eu-west-1.amazonaws.com"
    private = replace(definition(), storage_zone=zone, storage_addresses=("10.80.128.9",))
    write_definition(dynamodb, registry_table, private)
    for name, reach in (("pc", ()), ("tv", ("--reach", "nfs"))):
        facts("peer", "enrol", name, "-t", "red", "-k", public_key(name), *reach)
    shown = facts("peer", "config", "pc", "-t", "red")
    assert (shown["names"]["zones"], "10.80.128.9/32" in shown["allowed"]) == ([zone], True)
    for name, tenant in (("tv", "red"), ("job", "auto")):
        shown = facts("peer", "config", name, "-t", tenant)
        assert "names" not in shown and "10.80.128.9/32" not in shown["allowed"]


def test_a_file_whose_zones_have_aged_is_told_and_one_without_names_is_as_it_should_be(named, dynamodb, registry_table):
    words = ("peer", "show", "job", "-t", "auto", "--file", "tl.conf")
    Path("tl.conf").write_text(config("--no-dns").stdout)
    assert facts(*words)["aged"] == []
    Path("tl.conf").write_text(config().stdout.replace("[Peer]", "PostUp = touch /run/mine\n\n[Peer]", 1))
    assert facts(*words)["aged"] == [], "nor is a line of its owner's"
    write_definition(dynamodb, registry_table, replace(definition(), zones=("corp.internal",)))
    assert facts(*words)["aged"] == ["still has zone db.example.com"]
    write_definition(dynamodb, registry_table, definition())
    assert facts(*words)["aged"] == ["still has zone corp.internal", "still has zone db.example.com"]


@pytest.fixture
def floating(dynamodb, registry_table, key) -> str:
    write_definition(dynamodb, registry_table, replace(definition(), floating_address="198.51.100.9"))
    return key


def test_a_client_of_one_peer_gets_the_service_at_the_floating_address_in_every_form(floating, tmp_path):
    shown = facts("peer", "config", "job", "-t", "auto", "--single")
    assert (shown["ways"], shown["endpoint"]) == ([], "198.51.100.9:51820")
    assert shown["text"].count("[Peer]") == 1
    assert "Endpoint = 198.51.100.9:51820\nPersistentKeepalive = 25\n" in shown["text"]
    folder = tmp_path / "networkd"
    folder.mkdir()
    assert with_key("networkd", "--single", "--out", str(folder)).exit_code == 0
    assert parsed_by_networkd(folder) == ""
    assert (folder / "tl-lab.netdev").read_text().count("[WireGuardPeer]") == 1
    keyfile = with_key("networkmanager", "--single").stdout
    assert "endpoint=198.51.100.9:51820\npersistent-keepalive=25" in keyfile
    assert keyfile.count("[wireguard-peer.") == 1
    wide, narrow = with_key("qr").stdout, with_key("qr", "--single").stdout
    assert len(narrow) < len(wide), "a smaller picture: it holds less"
    assert "Endpoint" in facts("peer", "config", "job", "-t", "auto")["text"], "and without --single, ways as ever"


def test_show_knows_a_file_of_one_peer_by_itself(floating):
    Path("tl.conf").write_text(config("--single").stdout)
    words = ("peer", "show", "job", "-t", "auto", "--file", "tl.conf")
    assert facts(*words)["aged"] == []
    Path("tl.conf").write_text(config("--single").stdout.replace("198.51.100.9", "198.51.100.8"))
    assert facts(*words)["aged"] == ["lacks Endpoint 198.51.100.9:51820", "still has Endpoint 198.51.100.8:51820"]


def test_status_says_who_holds_the_floating_address(cloud, floating):
    cloud.registry.put_gateway(gateway_record("a", serving=True, floating=True))
    cloud.registry.put_gateway(gateway_record("b", floating=False))
    assert facts("status")["floating"] == ["a"]
    assert run("status").stdout.count("floating address") == 1
